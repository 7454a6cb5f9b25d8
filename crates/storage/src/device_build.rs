//! Rows of what became of builds on devices. What changes them is decided in the domain; the queries load and store
//! them.

use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::gate::{Arm, DeviceOutcome};
use tidegate_domain::{DeviceBuild, LastReport, Milestones, Rejection};

use crate::Error;
use crate::gate_tally::GateStep;
use crate::rows::{clean_if, parsed, small};
use crate::schema::{device_builds, device_rollouts};
use crate::time::{micros, moment, moment_if};

/// A row of `device_builds`, without what epochs are compared with.
#[derive(Clone, Queryable, QueryableByName, Selectable, Serialize)]
#[diesel(table_name = device_builds)]
pub(crate) struct DeviceBuildRow {
    pub(crate) device_id: i64,
    pub(crate) build_id: i64,
    offered_at: Option<i64>,
    downloaded_at: Option<i64>,
    verify_failed_at: Option<i64>,
    install_failed_at: Option<i64>,
    installed_at: Option<i64>,
    failure_generation: i64,
    failures: i64,
    reports: i64,
    last_status: Option<String>,
    last_reason: Option<String>,
    last_at: Option<i64>,
    rejected_generation: Option<i64>,
    rejected_until_at: Option<i64>,
    pub(crate) offered_rollout_id: Option<i64>,
}

/// The columns of [`DeviceBuildRow`] with PostgreSQL's names of their types.
pub(crate) const BUILD_COLUMNS: [(&str, &str); 16] = [
    ("device_id", "bigint"),
    ("build_id", "bigint"),
    ("offered_at", "bigint"),
    ("downloaded_at", "bigint"),
    ("verify_failed_at", "bigint"),
    ("install_failed_at", "bigint"),
    ("installed_at", "bigint"),
    ("failure_generation", "bigint"),
    ("failures", "bigint"),
    ("reports", "bigint"),
    ("last_status", "text"),
    ("last_reason", "text"),
    ("last_at", "bigint"),
    ("rejected_generation", "bigint"),
    ("rejected_until_at", "bigint"),
    ("offered_rollout_id", "bigint"),
];

impl DeviceBuildRow {
    pub(crate) fn of(
        device_id: i64,
        build_id: i64,
        offered_rollout_id: Option<i64>,
        history: &DeviceBuild,
    ) -> Self {
        let (milestones, last) = (&history.milestones, history.last.as_ref());
        Self {
            device_id,
            build_id,
            offered_at: milestones.offered_at.map(micros),
            downloaded_at: milestones.downloaded_at.map(micros),
            verify_failed_at: milestones.verify_failed_at.map(micros),
            install_failed_at: milestones.install_failed_at.map(micros),
            installed_at: milestones.installed_at.map(micros),
            failure_generation: history.failure_generation.into(),
            failures: history.failures.into(),
            reports: history.reports.into(),
            last_status: last.map(|last| last.status.as_str().into()),
            last_reason: last.and_then(|last| clean_if(last.reason.as_deref())),
            last_at: last.map(|last| micros(last.at)),
            rejected_generation: history
                .rejection
                .map(|rejection| rejection.retry_generation.into()),
            rejected_until_at: history
                .rejection
                .and_then(|rejection| rejection.until)
                .map(micros),
            offered_rollout_id,
        }
    }

    pub(crate) fn into_history(self) -> Result<DeviceBuild, Error> {
        Ok(DeviceBuild {
            milestones: Milestones {
                offered_at: moment_if(self.offered_at)?,
                downloaded_at: moment_if(self.downloaded_at)?,
                verify_failed_at: moment_if(self.verify_failed_at)?,
                install_failed_at: moment_if(self.install_failed_at)?,
                installed_at: moment_if(self.installed_at)?,
            },
            last: last_report(self.last_status, self.last_reason, self.last_at)?,
            reports: small("device_builds.reports", self.reports)?,
            failure_generation: small("device_builds.failure_generation", self.failure_generation)?,
            failures: small("device_builds.failures", self.failures)?,
            rejection: rejection(self.rejected_generation, self.rejected_until_at)?,
        })
    }
}

/// A row of `device_rollouts`.
#[derive(Clone, Queryable, QueryableByName, Selectable, Serialize)]
#[diesel(table_name = device_rollouts)]
pub(crate) struct DeviceRolloutRow {
    pub(crate) device_id: i64,
    pub(crate) rollout_id: i64,
    pub(crate) build_id: i64,
    offered_at: Option<i64>,
    downloaded_at: Option<i64>,
    verify_failed_at: Option<i64>,
    install_failed_at: Option<i64>,
    installed_at: Option<i64>,
    last_status: Option<String>,
    last_reason: Option<String>,
    last_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate_segment: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate_step: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    troubled_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    succeeded_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<i64>,
}

/// How many of [`ROLLOUT_COLUMNS`] a row has that no gate counts.
pub(crate) const UNGATED_COLUMNS: usize = 11;

/// The columns of [`DeviceRolloutRow`] with PostgreSQL's names of their types.
pub(crate) const ROLLOUT_COLUMNS: [(&str, &str); 19] = [
    ("device_id", "bigint"),
    ("rollout_id", "bigint"),
    ("build_id", "bigint"),
    ("offered_at", "bigint"),
    ("downloaded_at", "bigint"),
    ("verify_failed_at", "bigint"),
    ("install_failed_at", "bigint"),
    ("installed_at", "bigint"),
    ("last_status", "text"),
    ("last_reason", "text"),
    ("last_at", "bigint"),
    ("gate_segment", "bigint"),
    ("gate_step", "bigint"),
    ("begun_at", "bigint"),
    ("sent_at", "bigint"),
    ("failed_at", "bigint"),
    ("troubled_at", "bigint"),
    ("succeeded_at", "bigint"),
    ("confirmed_at", "bigint"),
];

/// How a device fares with a build, as a rollout's gate counts it. Each is the first time of a thing, in microseconds,
/// unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gated {
    /// What first offered the build.
    pub(crate) by: GateStep,
    /// The server sent the file's first byte.
    pub(crate) begun_at: Option<i64>,
    /// The server sent its last byte.
    pub(crate) sent_at: Option<i64>,
    /// The device gave the build up, or was back on an older version.
    pub(crate) failed_at: Option<i64>,
    /// Its last failure of any kind.
    pub(crate) troubled_at: Option<i64>,
    /// Its last success.
    pub(crate) succeeded_at: Option<i64>,
    /// A poll after its first success told the version.
    pub(crate) confirmed_at: Option<i64>,
}

impl Gated {
    /// A device that is offered the build for the first time.
    pub(crate) fn by(by: GateStep) -> Self {
        Self {
            by,
            begun_at: None,
            sent_at: None,
            failed_at: None,
            troubled_at: None,
            succeeded_at: None,
            confirmed_at: None,
        }
    }
}

/// What a device did with a build that one rollout offered it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RolloutHistory {
    pub(crate) milestones: Milestones,
    pub(crate) last: Option<LastReport>,
    /// Where no gate counts it: none.
    pub(crate) gated: Option<Gated>,
}

impl RolloutHistory {
    /// What a gate counts it as.
    pub(crate) fn outcome(&self) -> DeviceOutcome {
        let Some(gated) = &self.gated else {
            return DeviceOutcome::default();
        };
        DeviceOutcome {
            begun: gated.begun_at.is_some(),
            sent: gated.sent_at.is_some(),
            failed: gated.failed_at.is_some(),
            corrupt: self.milestones.verify_failed_at.is_some(),
            in_trouble: gated.troubled_at > gated.succeeded_at,
            confirmed: gated.confirmed_at.is_some(),
        }
    }
}

impl DeviceRolloutRow {
    pub(crate) fn of((device_id, rollout_id, build_id): (i64, i64, i64), history: &RolloutHistory) -> Self {
        let (milestones, last, gated) = (&history.milestones, history.last.as_ref(), history.gated);
        Self {
            device_id,
            rollout_id,
            build_id,
            offered_at: milestones.offered_at.map(micros),
            downloaded_at: milestones.downloaded_at.map(micros),
            verify_failed_at: milestones.verify_failed_at.map(micros),
            install_failed_at: milestones.install_failed_at.map(micros),
            installed_at: milestones.installed_at.map(micros),
            last_status: last.map(|last| last.status.as_str().into()),
            last_reason: last.and_then(|last| clean_if(last.reason.as_deref())),
            last_at: last.map(|last| micros(last.at)),
            gate_segment: gated.map(|gated| gated.by.segment.into()),
            gate_step: gated.map(|gated| gated.by.step.into()),
            begun_at: gated.and_then(|gated| gated.begun_at),
            sent_at: gated.and_then(|gated| gated.sent_at),
            failed_at: gated.and_then(|gated| gated.failed_at),
            troubled_at: gated.and_then(|gated| gated.troubled_at),
            succeeded_at: gated.and_then(|gated| gated.succeeded_at),
            confirmed_at: gated.and_then(|gated| gated.confirmed_at),
        }
    }

    /// Whether a gate counts it.
    pub(crate) fn is_gated(&self) -> bool {
        self.gate_segment.is_some()
    }

    fn gated(&self) -> Result<Option<Gated>, Error> {
        let (Some(segment), Some(step)) = (self.gate_segment, self.gate_step) else {
            return Ok(None);
        };
        Ok(Some(Gated {
            by: gate_step(segment, step)?,
            begun_at: self.begun_at,
            sent_at: self.sent_at,
            failed_at: self.failed_at,
            troubled_at: self.troubled_at,
            succeeded_at: self.succeeded_at,
            confirmed_at: self.confirmed_at,
        }))
    }

    pub(crate) fn into_history(self) -> Result<RolloutHistory, Error> {
        Ok(RolloutHistory {
            gated: self.gated()?,
            milestones: Milestones {
                offered_at: moment_if(self.offered_at)?,
                downloaded_at: moment_if(self.downloaded_at)?,
                verify_failed_at: moment_if(self.verify_failed_at)?,
                install_failed_at: moment_if(self.install_failed_at)?,
                installed_at: moment_if(self.installed_at)?,
            },
            last: last_report(self.last_status, self.last_reason, self.last_at)?,
        })
    }
}

fn last_report(
    status: Option<String>,
    reason: Option<String>,
    at: Option<i64>,
) -> Result<Option<LastReport>, Error> {
    let (Some(status), Some(at)) = (status, at) else {
        return Ok(None);
    };
    Ok(Some(LastReport {
        status: parsed("last_status", status.parse())?,
        reason,
        at: moment(at)?,
    }))
}

/// A segment and a step as they stand in their columns.
pub(crate) fn gate_step(segment: i64, step: i64) -> Result<GateStep, Error> {
    Ok(GateStep {
        segment: small("gate_segment", segment)?,
        step: self::step(step)?,
    })
}

/// A step as it stands in its column.
pub(crate) fn step(step: i64) -> Result<u16, Error> {
    u16::try_from(step).map_err(|fault| Error::corrupt("gate_step", fault))
}

/// An arm as it stands in its column.
pub(crate) fn arm(treated: bool) -> Arm {
    match treated {
        true => Arm::Treated,
        false => Arm::Control,
    }
}

/// A rejection as it stands in its two columns.
pub(crate) fn rejection(generation: Option<i64>, until: Option<i64>) -> Result<Option<Rejection>, Error> {
    let Some(generation) = generation else {
        return Ok(None);
    };
    Ok(Some(Rejection {
        retry_generation: small("device_builds.rejected_generation", generation)?,
        until: moment_if(until)?,
    }))
}
