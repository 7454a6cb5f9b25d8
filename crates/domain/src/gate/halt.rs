//! What made a gate halt a rollout, kept for as long as it stays so.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{GateAction, GateReading, Metric, Verdict};
use crate::Error;

/// What a gate saw when it halted its rollout. What is counted later can't make the halt look unfounded: who was offered
/// the build before goes on to install it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateHalt {
    /// When.
    pub at: DateTime<Utc>,
    /// The test that found the build bad.
    pub by: Metric,
    /// Devices with the build that it had happened to.
    pub seen: u64,
    /// Out of so many.
    pub devices: u64,
    /// Devices without the build that it had happened to; 0 where none are compared.
    pub control_seen: u64,
    /// Out of so many.
    pub control: u64,
    /// Why the rollout was not taken back though that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_rolled_back: Option<NotRolledBack>,
}

/// Why a gate only halted what it was to roll back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRolledBack {
    /// No earlier release is left to go back to.
    NoEarlierRelease,
    /// The one that is left was paused or halted.
    EarlierIsStopped,
    /// The one that is left is signed by another key, so no device can be forced back to it.
    OtherSigner,
    /// The current build takes devices back from another version already.
    TakesBackAnother,
    /// Another rollout serves the same build.
    SeveralServing,
}

impl NotRolledBack {
    /// What a refused roll-back means.
    pub(crate) fn for_error(error: &Error) -> Self {
        match error {
            Error::SignerMismatch { .. } => Self::OtherSigner,
            Error::TakesBackAnother { .. } => Self::TakesBackAnother,
            Error::SeveralServing { .. } => Self::SeveralServing,
            _ => Self::NoEarlierRelease,
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoEarlierRelease => "there is no earlier release to go back to",
            Self::EarlierIsStopped => "the release to go back to is stopped itself",
            Self::OtherSigner => "the release to go back to is signed by another key",
            Self::TakesBackAnother => "the current build takes another version back already",
            Self::SeveralServing => "another rollout serves the same build",
        }
    }
}

impl GateHalt {
    /// By what a reading finds; none where it finds nothing bad.
    pub(crate) fn of(reading: &GateReading, at: DateTime<Utc>) -> Option<Self> {
        let Verdict::Bad(by) = reading.verdict else {
            return None;
        };
        let (seen, devices, control_seen, control) = counted(reading, by);
        Some(Self {
            at,
            by,
            seen,
            devices,
            control_seen,
            control,
            not_rolled_back: None,
        })
    }

    /// What was found later, of a rollout that stays halted: the counts go on, the verdict does not change.
    pub(super) fn upheld(self, mut reading: GateReading) -> GateReading {
        reading.failed.halts_after = None;
        reading.corrupt.halts_after = None;
        reading.lost.halts_after = None;
        reading.crashing.halts_after = None;
        GateReading {
            verdict: Verdict::Bad(self.by),
            action: GateAction::Halt,
            halt: Some(self),
            ..reading
        }
    }

    /// The reading with the counts of the moment of the halt.
    pub(super) fn as_it_was(self, mut reading: GateReading) -> GateReading {
        match self.by {
            Metric::Failed => (reading.failed.seen, reading.failed.devices) = (self.seen, self.devices),
            Metric::Corrupt => (reading.corrupt.seen, reading.corrupt.devices) = (self.seen, self.devices),
            Metric::Lost | Metric::Crashing => {
                let compared = match self.by {
                    Metric::Lost => &mut reading.lost,
                    _ => &mut reading.crashing,
                };
                (compared.seen, compared.treated) = (self.seen, self.devices);
                (compared.control_seen, compared.control) = (self.control_seen, self.control);
            }
        }
        reading
    }

    /// What has become of it since, where that is something else: so many of so many devices with the build.
    pub(super) fn grown(self, reading: &GateReading) -> Option<(u64, u64)> {
        let (seen, devices, ..) = counted(reading, self.by);
        ((seen, devices) != (self.seen, self.devices)).then_some((seen, devices))
    }
}

/// Seen and devices with the build, and the same of control.
fn counted(reading: &GateReading, by: Metric) -> (u64, u64, u64, u64) {
    let share = |of: &super::ShareReading| (of.seen, of.devices, 0, 0);
    let compared = |of: &super::ComparedReading| (of.seen, of.treated, of.control_seen, of.control);
    match by {
        Metric::Failed => share(&reading.failed),
        Metric::Corrupt => share(&reading.corrupt),
        Metric::Lost => compared(&reading.lost),
        Metric::Crashing => compared(&reading.crashing),
    }
}
