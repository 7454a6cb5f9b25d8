//! The outcomes of a step's devices, counted.

use serde::{Deserialize, Serialize};

/// How one device of a step fares, as far as it is known. Facts only come to it; only a failure that a success follows is
/// trouble no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceOutcome {
    /// It was sent the file's first byte, or was redirected to it.
    pub begun: bool,
    /// It was sent the file's last byte, or was redirected to it.
    pub sent: bool,
    /// It gave the build up: a terminal failure, a spent retry budget, or it is back on an older version after success.
    pub failed: bool,
    /// It told `verify_failed`.
    pub corrupt: bool,
    /// It told a failure of any kind, also one that it tries again after, and no success since.
    pub in_trouble: bool,
    /// It told a success, and a later poll told the version.
    pub confirmed: bool,
}

/// How the devices fare that a step was the first to offer the build to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCounts {
    /// They were offered the build.
    pub reached: u64,
    /// Of those, they were sent the file's first byte.
    pub begun: u64,
    /// Of those, they were sent the file's last byte.
    pub sent: u64,
    /// Of those sent the last byte, they failed.
    pub failed: u64,
    /// Of those sent the first byte, they were sent a damaged file.
    pub corrupt: u64,
    /// They told a failure that no success followed.
    pub in_trouble: u64,
    /// They run the build for certain.
    pub confirmed: u64,
}

impl StepCounts {
    /// Counts a device that is reached.
    pub fn reach(&mut self) {
        self.reached += 1;
    }

    /// Counts what is new of a device that was counted as `before` and is `after` now.
    pub fn change(&mut self, before: DeviceOutcome, after: DeviceOutcome) {
        let (before, after) = (marks(before), marks(after));
        let counts = [
            &mut self.begun,
            &mut self.sent,
            &mut self.failed,
            &mut self.corrupt,
            &mut self.in_trouble,
            &mut self.confirmed,
        ];
        for (count, (was, is)) in counts.into_iter().zip(before.into_iter().zip(after)) {
            *count = (*count + u64::from(is)).saturating_sub(u64::from(was));
        }
    }

    /// Those that were reached and don't run the build for certain: failed, lost, or undecided.
    pub fn unconfirmed(&self) -> u64 {
        self.reached.saturating_sub(self.confirmed)
    }
}

/// What a device counts as, in the order of the counts.
fn marks(outcome: DeviceOutcome) -> [bool; 6] {
    // A device counts as failed only among those whose number is kept: the order of n must not depend on the outcome.
    [
        outcome.begun,
        outcome.sent,
        outcome.failed && outcome.sent,
        outcome.corrupt && outcome.begun,
        outcome.in_trouble && !outcome.confirmed,
        outcome.confirmed,
    ]
}
