//! From the domain's types to the protocol's messages, one function for each.

mod forecasts;
mod gates;
pub(crate) mod patches;
mod plans;
mod rollouts;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Build, DeliveryFailure, Device, DeviceBuild, Finding, Hold, Levels, PackageName, Plan, Policy,
    PolicySubject, SdkLevel, SignerRange, Step, VersionCode,
};
use tidegate_proto::{Timestamp, v1};
use tidegate_service::{
    BuildOnDevice, BuildStats, BuildView, Campaign, Comparison, DeviceView, FailedDelivery, Package,
    Progress, RolloutOnDevice, RolloutStats, Told, UpdateFindings,
};

pub(crate) use forecasts::forecast;
pub(crate) use gates::rollout_gate;
pub(crate) use plans::{plan, rollout_event, timeline};
pub(crate) use rollouts::{board, experiment, install_when, rollout, watched_rollout};

pub(crate) fn time(time: DateTime<Utc>) -> Option<Timestamp> {
    Some(time.into())
}

pub(crate) fn build(view: BuildView) -> v1::Build {
    let BuildView {
        build,
        rollout,
        last,
        deleted_at,
    } = view;
    let Build {
        id,
        facts,
        provenance,
        steps,
    } = build;
    let serving = rollout.as_ref().map(|rollout| &rollout.spec);
    let previous_build = last.as_ref().and_then(|last| last.previous_build);
    let last = last.map(|last| last.rollout.spec);
    let last = last.as_ref();
    let examined = facts.installability.is_some();
    let installability = facts.installability.unwrap_or_default();
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
        is_current: serving.is_some_and(|spec| spec.is_current),
        rollout_id: rollout.as_ref().map(|rollout| rollout.id.0),
        rollout_state: serving.map(|spec| spec.state.to_string()),
        staged_rollout_percent: last.map(|spec| spec.settings.percent.rounded_up().into()),
        promoted_at: last.and_then(|spec| time(spec.created_at)),
        promoted_by: last.map(|spec| spec.created_by.clone()),
        rollback_from_build_id: previous_build.map(|id| id.0),
        wifi_only: last.map(|spec| spec.settings.wifi_only),
        must_install: last.map(|spec| spec.settings.must_install),
        installs_on: installability.installs_on.iter().map(sdk_range).collect(),
        findings: installability.findings.into_iter().map(finding).collect(),
        examined,
        deleted_at: deleted_at.and_then(time),
        barrier: steps.barrier,
        min_from_version: steps.min_from_version.map(VersionCode::get),
        against_current: None,
    }
}

/// The answer to an upload.
pub(crate) fn uploaded(view: BuildView, against_current: Option<UpdateFindings>) -> v1::Build {
    let against_current = against_current.map(|found| v1::UpdateFindings {
        base_build_id: found.base.0,
        findings: found.findings.into_iter().map(finding).collect(),
    });
    v1::Build {
        against_current,
        ..build(view)
    }
}

fn sdk_range(levels: &Levels) -> v1::SdkRange {
    v1::SdkRange {
        from_sdk: levels.from_sdk.into(),
        to_sdk: end(levels.to_sdk),
    }
}

fn finding(finding: Finding) -> v1::Finding {
    v1::Finding {
        code: finding.code,
        blocks: finding.blocks,
        from_sdk: finding.levels.from_sdk.into(),
        to_sdk: end(finding.levels.to_sdk),
        message: finding.message,
    }
}

pub(crate) fn comparison(comparison: Comparison) -> v1::BuildComparison {
    let changed = comparison.changed.into_iter().map(|fact| v1::ChangedFact {
        name: fact.name.into(),
        from: fact.from,
        to: fact.to,
    });
    let lists = comparison.lists.into_iter().map(|list| v1::ChangedList {
        name: list.name.into(),
        added: list.added,
        removed: list.removed,
        left_out: count(list.left_out as u64),
    });
    let sizes = comparison.sizes.into_iter().map(|sizes| v1::PartSizes {
        part: sizes.part.into(),
        from_bytes: count(sizes.from),
        to_bytes: count(sizes.to),
    });
    v1::BuildComparison {
        from_build_id: comparison.from.id.0,
        to_build_id: comparison.to.id.0,
        changed: changed.collect(),
        lists: lists.collect(),
        sizes: sizes.collect(),
        update_findings: comparison.update_findings.into_iter().map(finding).collect(),
    }
}

/// The end of a range of API levels; absent for none.
fn end(to_sdk: SdkLevel) -> Option<i64> {
    (to_sdk != SdkLevel::MAX).then(|| to_sdk.into())
}

pub(crate) fn package(package: &Package) -> v1::Package {
    let asked = package.approval_request.as_ref();
    v1::Package {
        package_name: package.name.to_string(),
        signers: package
            .pin
            .iter()
            .flat_map(|pin| pin.ranges())
            .map(signer_range)
            .collect(),
        allow_debuggable: package.allow_debuggable,
        approval: package.approval.to_string(),
        approval_asked: asked.map(|asked| asked.approval.to_string()).unwrap_or_default(),
        approval_asked_by: asked.map(|asked| asked.by.clone()).unwrap_or_default(),
        approval_asked_at: asked.and_then(|asked| time(asked.at)),
        plan: Some(plan(package.plan.as_ref().unwrap_or(&Plan::careful()))),
        gate: package.gate.map(|terms| gates::gate(&terms.settings)),
        on_halt: gates::on_halt(package.gate),
        roll_back_forced: gates::is_forced(package.gate),
    }
}

fn signer_range(range: &SignerRange) -> v1::SignerRange {
    v1::SignerRange {
        signer_fingerprint: range.fingerprint.to_string(),
        from_sdk: range.from_sdk.into(),
        to_sdk: end(range.to_sdk),
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
    let BuildStats {
        build,
        stats,
        last_updated,
        rollouts,
        hours,
    } = stats;
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
        last_updated: last_updated.and_then(time),
        rollouts: rollouts.iter().map(rollout_stats).collect(),
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

fn rollout_stats(of: &RolloutStats) -> v1::RolloutStats {
    v1::RolloutStats {
        rollout_id: of.rollout.0,
        build_id: of.build.0,
        total_checks: of.stats.total_checks,
        total_eligible: of.stats.total_eligible,
        total_downloads: of.stats.total_downloads,
        installs_success: of.stats.installs_success,
        installs_failed: of.stats.installs_failed,
        verify_failed: of.stats.verify_failed,
        adoption_rate: of.stats.adoption_rate(),
        last_updated: of.last_updated.and_then(time),
    }
}

/// A device without its history.
pub(crate) fn device(device: Device) -> v1::Device {
    let facts = device.shown();
    v1::Device {
        device_id: device.id.to_string(),
        tags: facts.tags().map(str::to_owned).collect(),
        alias: device.alias,
        model: facts.model.map(Cow::into_owned),
        manufacturer: facts.manufacturer.map(Cow::into_owned),
        sdk: facts.sdk.map(i64::from),
        android_version: facts.android.map(Cow::into_owned),
        region: facts.region.map(Cow::into_owned),
        abi: facts.abis.map(Cow::into_owned),
        zone: facts.zone.map(Cow::into_owned),
        protocol: facts.protocol.into(),
        has_fcm_token: device.has_fcm_token,
        installed: device
            .installed
            .into_iter()
            .map(|(package, version)| v1::InstalledPackage {
                package_name: package.to_string(),
                version_code: version.get(),
            })
            .collect(),
        enrolled_at: time(device.enrolled_at),
        last_seen_at: device.last_seen_at.and_then(time),
        retired_at: device.retired_at.and_then(time),
        inactive_since: device.inactive_at.and_then(time),
        builds: vec![],
        rollouts: vec![],
        standings: vec![],
        awaits_enrolment: !device.has_enrolled,
        enrolment_allowed_until: device.enrolment_allowed_until.and_then(time),
        duplicate_seen_at: device.duplicate_seen_at.and_then(time),
        operator_tags: vec![],
        policies: vec![],
    }
}

/// A device as lists show it: without its history, and with what its last polls were told.
pub(crate) fn listed_device(device: Device, told: Vec<(PackageName, Told)>) -> v1::Device {
    // As on the device itself, a poll that was not made has no standing.
    let polled = told.into_iter().filter(|(_, told)| *told != Told::NotPolled);
    v1::Device {
        standings: polled
            .map(|(package, told)| standing((package, told.to_string())))
            .collect(),
        ..self::device(device)
    }
}

fn standing((package, told): (PackageName, String)) -> v1::Standing {
    v1::Standing {
        package_name: package.to_string(),
        told,
    }
}

/// A device with its history.
pub(crate) fn device_view(view: DeviceView) -> v1::Device {
    let policies = view.policies.into_iter().map(|of| policy(of, view.at));
    v1::Device {
        builds: view.builds.into_iter().map(device_build).collect(),
        rollouts: view.rollouts.into_iter().map(device_rollout).collect(),
        standings: view.standings.into_iter().map(standing).collect(),
        operator_tags: view.overlay.tags().iter().map(ToString::to_string).collect(),
        policies: policies.collect(),
        ..device(view.device)
    }
}

/// A policy as it stands at this time.
pub(crate) fn policy(policy: Policy, now: DateTime<Utc>) -> v1::Policy {
    let holding = policy.holds(now);
    let spec = policy.spec;
    let (tag, device_id) = match spec.subject {
        PolicySubject::Everybody => (String::new(), String::new()),
        PolicySubject::Tag(tag) => (tag.into(), String::new()),
        PolicySubject::Device(id) => (String::new(), id.into()),
    };
    v1::Policy {
        policy_id: policy.id.0,
        tag,
        device_id,
        package_name: spec.package.map(String::from).unwrap_or_default(),
        max_version: spec.terms.max_version.map(VersionCode::get),
        hold: spec.terms.hold.is_some(),
        hold_until: spec.terms.hold.and_then(Hold::ends_at).and_then(time),
        holding,
        remark: spec.remark,
        created_by: policy.created_by,
        created_at: time(policy.created_at),
    }
}

fn device_build(of: BuildOnDevice) -> v1::DeviceBuild {
    let DeviceBuild {
        milestones,
        last,
        rejection,
        ..
    } = of.history;
    v1::DeviceBuild {
        build_id: of.build.0,
        package_name: of.package.to_string(),
        version_code: of.version_code.get(),
        offered_at: milestones.offered_at.and_then(time),
        downloaded_at: milestones.downloaded_at.and_then(time),
        installed_at: milestones.installed_at.and_then(time),
        install_failed_at: milestones.install_failed_at.and_then(time),
        verify_failed_at: milestones.verify_failed_at.and_then(time),
        last_status: last.as_ref().map(|last| last.status.to_string()),
        last_reported_at: last.as_ref().and_then(|last| time(last.at)),
        last_reason: last.and_then(|last| last.reason),
        rejected: rejection.is_some_and(|rejection| rejection.lifted_at().is_none()),
        rejected_until: rejection
            .filter(|rejection| rejection.lifted_at().is_none())
            .and_then(|rejection| rejection.until)
            .and_then(time),
    }
}

fn device_rollout(of: RolloutOnDevice) -> v1::DeviceRollout {
    v1::DeviceRollout {
        rollout_id: of.rollout.0,
        build_id: of.build.0,
        offered_at: of.milestones.offered_at.and_then(time),
        downloaded_at: of.milestones.downloaded_at.and_then(time),
        installed_at: of.milestones.installed_at.and_then(time),
        install_failed_at: of.milestones.install_failed_at.and_then(time),
        verify_failed_at: of.milestones.verify_failed_at.and_then(time),
        last_status: of.last.as_ref().map(|last| last.status.to_string()),
        last_reported_at: of.last.as_ref().and_then(|last| time(last.at)),
        last_reason: of.last.and_then(|last| last.reason),
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
            .map(|(name, value)| (name.into_owned(), value))
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
