//! From the domain's types to the protocol's messages, one function for each.

use chrono::{DateTime, Utc};
use tidegate_domain::{Audience, Build, DeliveryFailure, Device, Rollout, SdkLevel, SignerRange, Step};
use tidegate_proto::{Timestamp, v1};
use tidegate_service::{BuildStats, BuildView, Campaign, FailedDelivery, Package, Progress};

pub(crate) fn time(time: DateTime<Utc>) -> Option<Timestamp> {
    Some(time.into())
}

pub(crate) fn build(view: BuildView) -> v1::Build {
    let BuildView { build, rollout } = view;
    let Build {
        id,
        facts,
        provenance,
    } = build;
    let rollout = rollout.map(|rollout| (rollout.id, rollout.spec));
    let spec = rollout.as_ref().map(|(_, spec)| spec);
    v1::Build {
        build_id: id.0,
        package_name: facts.package.to_string(),
        version_code: facts.version_code.get(),
        version_name: facts.version_name,
        sha256: facts.sha256.to_string(),
        file_size: i64::try_from(facts.size).unwrap_or(i64::MAX),
        signer_fingerprint: facts.signers.seen_by(None).to_string(),
        signers: facts.signers.ranges().iter().map(signer_range).collect(),
        schemes: facts.schemes,
        lineage: facts.lineage.iter().map(ToString::to_string).collect(),
        warnings: facts.warnings,
        min_sdk: facts.min_sdk.into(),
        target_sdk: facts.target_sdk.into(),
        abis: facts.abis,
        debuggable: facts.debuggable,
        release_notes: provenance.notes,
        build_type: provenance.build_type,
        ci_run_id: provenance.ci_run_id,
        git_sha: provenance.git_sha,
        uploaded_by: provenance.uploaded_by,
        uploaded_at: time(provenance.uploaded_at),
        is_current: spec.is_some_and(|spec| spec.is_current),
        rollout_id: rollout.as_ref().map(|(id, _)| id.0),
        rollout_state: spec.map(|spec| spec.state.to_string()),
        staged_rollout_percent: spec.map(|spec| spec.settings.percent.into()),
        promoted_at: spec.and_then(|spec| time(spec.created_at)),
        promoted_by: spec.map(|spec| spec.created_by.clone()),
        rollback_from_build_id: spec.and_then(|spec| spec.rolled_back_from).map(|id| id.0),
    }
}

pub(crate) fn package(package: &Package) -> v1::Package {
    v1::Package {
        package_name: package.name.to_string(),
        signers: package
            .pin
            .iter()
            .flat_map(|pin| pin.ranges())
            .map(signer_range)
            .collect(),
        allow_debuggable: package.allow_debuggable,
    }
}

fn signer_range(range: &SignerRange) -> v1::SignerRange {
    v1::SignerRange {
        signer_fingerprint: range.fingerprint.to_string(),
        from_sdk: range.from_sdk.into(),
        to_sdk: (range.to_sdk != SdkLevel::MAX).then(|| range.to_sdk.into()),
    }
}

pub(crate) fn build_ref(build: &Build) -> v1::BuildRef {
    v1::BuildRef {
        build_id: build.id.0,
        version_code: build.facts.version_code.get(),
        version_name: build.facts.version_name.clone(),
    }
}

pub(crate) fn stats(stats: BuildStats) -> v1::DeploymentStats {
    let BuildStats { build, stats, hours } = stats;
    v1::DeploymentStats {
        build_id: build.id.0,
        package_name: build.facts.package.to_string(),
        version_code: build.facts.version_code.get(),
        version_name: build.facts.version_name,
        total_checks: stats.total_checks,
        total_eligible: stats.total_eligible,
        total_downloads: stats.total_downloads,
        installs_success: stats.installs_success,
        installs_failed: stats.installs_failed,
        verify_failed: stats.verify_failed,
        adoption_rate: stats.adoption_rate(),
        hours: hours
            .into_iter()
            .map(|hour| v1::HourlyStats {
                hour: time(hour.hour),
                checks: hour.stats.total_checks,
                eligible: hour.stats.total_eligible,
                downloads: hour.stats.total_downloads,
                installs_success: hour.stats.installs_success,
                installs_failed: hour.stats.installs_failed,
                verify_failed: hour.stats.verify_failed,
            })
            .collect(),
    }
}

pub(crate) fn rollout(rollout: Rollout) -> v1::Rollout {
    let spec = rollout.spec;
    v1::Rollout {
        rollout_id: rollout.id.0,
        package_name: spec.package.to_string(),
        build_id: spec.build.0,
        state: spec.state.to_string(),
        is_current: spec.is_current,
        rollout_percent: spec.settings.percent.into(),
        salt: spec.settings.salt,
        audience: audience(spec.settings.audience),
        wifi_only: spec.settings.wifi_only,
        must_install: spec.settings.must_install,
        force_downgrade: spec.settings.force_downgrade,
        attempt: spec.attempt.into(),
        previous_rollout_id: spec.previous.map(|id| id.0),
        rollback_from_build_id: spec.rolled_back_from.map(|id| id.0),
        created_by: spec.created_by,
        created_at: time(spec.created_at),
    }
}

/// An audience of everybody is left out.
fn audience(audience: Audience) -> Option<v1::Audience> {
    (audience != Audience::default()).then_some(v1::Audience {
        regions: audience.regions,
        models: audience.models,
    })
}

pub(crate) fn device(device: Device, builds: Vec<v1::DeviceBuild>) -> v1::Device {
    let Device {
        id,
        attributes,
        has_fcm_token,
        token_generation: _,
        installed,
        enrolled_at,
        last_seen_at,
    } = device;
    v1::Device {
        device_id: id.to_string(),
        alias: attributes.alias,
        model: attributes.model,
        manufacturer: attributes.manufacturer,
        sdk: attributes.sdk.map(i64::from),
        android_version: attributes.android_version,
        region: attributes.region,
        tags: attributes.tags,
        has_fcm_token,
        installed: installed
            .into_iter()
            .map(|(package, version)| v1::InstalledPackage {
                package_name: package.to_string(),
                version_code: version.get(),
            })
            .collect(),
        enrolled_at: time(enrolled_at),
        last_seen_at: last_seen_at.and_then(time),
        builds,
    }
}

pub(crate) fn rule_answer(step: Step) -> v1::RuleAnswer {
    v1::RuleAnswer {
        rule: step.rule.to_owned(),
        rollout_id: step.rollout.map(|id| id.0),
        build_id: step.build.map(|id| id.0),
        inputs: step
            .inputs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        passed: step.passed,
        answer: step.answer,
    }
}

/// `no_answer`: how many devices gave none, where that is known.
pub(crate) fn campaign(campaign: Campaign, no_answer: Option<u64>) -> v1::Campaign {
    v1::Campaign {
        campaign_id: campaign.id.0,
        state: campaign.state.to_string(),
        held: campaign.suspended,
        package_name: campaign.package.map(|package| package.to_string()),
        audience: campaign.audience.to_string(),
        named: campaign.named,
        priority: campaign.priority.to_string(),
        ttl_s: count(campaign.ttl.as_secs()),
        created_by: campaign.created_by,
        created_at: time(campaign.created_at),
        started_at: campaign.started_at.and_then(time),
        ended_at: campaign.ended_at.and_then(time),
        progress: Some(progress(&campaign.progress, no_answer)),
    }
}

fn progress(progress: &Progress, no_answer: Option<u64>) -> v1::CampaignProgress {
    let failure = |(reason, number): &(DeliveryFailure, u64)| v1::FailureCount {
        reason: reason.to_string(),
        count: count(*number),
    };
    v1::CampaignProgress {
        total: count(progress.total),
        queued: count(progress.queued),
        sent: count(progress.sent),
        failed: count(progress.failed),
        failed_by_reason: progress.failed_by.iter().map(failure).collect(),
        canceled: count(progress.canceled),
        acknowledged: count(progress.acknowledged),
        polled: count(progress.polled),
        installed: count(progress.installed),
        no_answer: no_answer.map(count),
    }
}

pub(crate) fn failed_device(failed: FailedDelivery) -> v1::FailedDevice {
    v1::FailedDevice {
        device_id: failed.device.to_string(),
        alias: failed.alias,
        reason: failed.reason.to_string(),
    }
}

/// A number of things, which the protocol spells as a signed number.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
