//! Rollouts and experiments.

use chrono::{DateTime, Utc};
use tidegate_domain::{Audience, CalendarName, InstallTerms, Rollout, RolloutCalendars, Slice, VersionCode};
use tidegate_proto::v1;
use tidegate_service::{ArmView, Board, ExperimentView, OverdueCounts, SliceCensus};

use super::gates;
use super::plans::{plan, plan_progress, waiting};
use super::{count, time};

/// A rollout as it stands at this time.
pub(crate) fn rollout(rollout: Rollout, now: DateTime<Utc>) -> v1::Rollout {
    let spec = rollout.spec;
    let (percent, phase) = (spec.percent(now), spec.phase());
    let approved = spec.consent.approved.as_ref();
    let gate = spec.gate.map(|gate| gate.terms);
    v1::Rollout {
        rollout_id: rollout.id.0,
        package_name: spec.package.to_string(),
        build_id: spec.build.0,
        state: spec.state.to_string(),
        is_current: spec.is_current,
        name: spec.name,
        priority: spec.priority.into(),
        revision: spec.revision.into(),
        whole_percent: percent.rounded_up().into(),
        rollout_percent: percent.as_decimal(),
        progress: spec.plan.as_ref().map(plan_progress),
        phase: phase.map(|phase| phase.to_string()).unwrap_or_default(),
        plan: spec.plan.as_ref().map(|run| plan(&run.plan)),
        approved_by: approved.map(|approved| approved.by.clone()).unwrap_or_default(),
        approved_at: approved.and_then(|approved| time(approved.at)),
        edited_by: spec.consent.edited_by,
        waiting: spec.consent.request.map(waiting),
        slice: slice(spec.settings.slice),
        salt: spec.settings.salt,
        audience: audience(&spec.settings.audience),
        wifi_only: spec.settings.wifi_only,
        must_install: spec.settings.must_install,
        force_downgrade: spec.takes_back.is_some(),
        attempt: spec.retry_generation.into(),
        previous_rollout_id: spec.previous.map(|id| id.0),
        rollback_from_build_id: spec.rolled_back_from.map(|id| id.0),
        created_by: spec.created_by,
        created_at: time(spec.created_at),
        experiment_id: spec.experiment.map(|id| id.0),
        calendars: rollout_calendars(&spec.settings.calendars),
        ignore_freeze: spec.settings.ignore_freeze,
        install_when: install_when(&spec.settings.install),
        install_deadline: spec.settings.install.deadline.and_then(time),
        overdue_devices: None,
        gate: gate.map(|terms| gates::gate(&terms.settings)),
        on_halt: gates::on_halt(gate),
        roll_back_forced: gates::is_forced(gate),
    }
}

/// A rollout's calendars; absent when any time will do.
fn rollout_calendars(calendars: &RolloutCalendars) -> Option<v1::RolloutCalendars> {
    let name = |name: &Option<CalendarName>| name.as_ref().map(ToString::to_string);
    let is_any = calendars.download.is_none() && calendars.install.is_none();
    (!is_any).then(|| v1::RolloutCalendars {
        download: name(&calendars.download),
        install: name(&calendars.install),
    })
}

/// A rollout with the number of its overdue devices, where its deadline has passed.
pub(crate) fn watched_rollout(rollout: Rollout, now: DateTime<Utc>, overdue: &OverdueCounts) -> v1::Rollout {
    let overdue = overdue.get(&rollout.id).copied();
    v1::Rollout {
        overdue_devices: overdue.map(count),
        ..self::rollout(rollout, now)
    }
}

pub(crate) fn install_when(terms: &InstallTerms) -> Vec<String> {
    terms.when.iter().map(ToString::to_string).collect()
}

pub(crate) fn experiment(view: ExperimentView, now: DateTime<Utc>) -> v1::Experiment {
    let (id, spec) = (view.experiment.id, view.experiment.spec);
    let conclusion = spec.conclusion.as_ref();
    let promoted = conclusion.and_then(|conclusion| conclusion.promoted);
    let state = if conclusion.is_some() {
        "concluded"
    } else {
        "running"
    };
    v1::Experiment {
        experiment_id: id.0,
        package_name: spec.package.to_string(),
        name: spec.name,
        state: state.to_owned(),
        priority: spec.priority.into(),
        audience: audience(&spec.audience),
        salt: spec.salt,
        arms: view.arms.into_iter().map(|of| arm(of, now)).collect(),
        holdout: spec.holdout.map(|slice| v1::Holdout {
            slice: Some(part(slice)),
            devices: view.holdout.as_ref().map(slice_devices),
        }),
        created_by: spec.created_by,
        created_at: time(spec.created_at),
        concluded_by: conclusion.map(|conclusion| conclusion.by.clone()),
        concluded_at: conclusion.and_then(|conclusion| time(conclusion.at)),
        winner_build_id: promoted.map(|(build, _)| build.0),
        rollout_percent: promoted.map(|(_, percent)| percent.as_decimal()),
    }
}

fn arm(arm: ArmView, now: DateTime<Utc>) -> v1::ExperimentArm {
    v1::ExperimentArm {
        rollout: Some(rollout(arm.rollout, now)),
        version_code: arm.version.map_or(0, VersionCode::get),
        total_checks: arm.stats.total_checks,
        total_eligible: arm.stats.total_eligible,
        total_downloads: arm.stats.total_downloads,
        installs_success: arm.stats.installs_success,
        installs_failed: arm.stats.installs_failed,
        verify_failed: arm.stats.verify_failed,
        last_updated: arm.last_updated.and_then(time),
        devices: arm.slice.as_ref().map(slice_devices),
    }
}

fn slice_devices(of: &SliceCensus) -> v1::SliceDevices {
    let versions = of.versions.iter().map(|(version, devices)| v1::VersionDevices {
        version_code: version.get(),
        count: count(*devices),
    });
    v1::SliceDevices {
        count: count(of.devices),
        versions: versions.collect(),
        others: count(of.others),
        measured_at: time(of.measured_at),
    }
}

pub(crate) fn board(board: &Board, overdue: &OverdueCounts) -> v1::RolloutBoard {
    let rows = board.track.serving.iter().zip(&board.taken);
    let rows = rows.map(|(release, taken)| v1::RolloutBoardRow {
        rollout: Some(watched_rollout(release.rollout.clone(), board.at, overdue)),
        devices: count(*taken),
    });
    let taken: u64 = board.taken.iter().sum();
    v1::RolloutBoard {
        package_name: board.track.package.to_string(),
        rows: rows.collect(),
        devices: count(board.total),
        untaken_devices: count(board.total.saturating_sub(taken)),
        estimated: board.estimated,
    }
}

/// The whole fleet is left out.
fn slice(slice: Slice) -> Option<v1::Slice> {
    (slice != Slice::WHOLE).then(|| part(slice))
}

pub(super) fn part(slice: Slice) -> v1::Slice {
    v1::Slice {
        start_percent: slice.start.as_percent(),
        auto_start: false,
        width_percent: Some(slice.width.as_percent()),
    }
}

/// An audience of everybody is left out. Older clients know lists only, so these are told where they say it all.
pub(super) fn audience(audience: &Audience) -> Option<v1::Audience> {
    let (regions, models) = audience.lists().unwrap_or_default();
    (!audience.is_everybody()).then(|| v1::Audience {
        regions: regions.to_vec(),
        models: models.to_vec(),
        expression: audience.to_string(),
    })
}
