//! Who is watched, in which arm, and until when: from position, share and clock alone, so that any replica finds the same.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Position, Share, Slice};

/// How many control devices there are at most for each treated one: ten take nine tenths of what a larger control could add.
pub const CONTROLS_PER_TREATED: u64 = 10;

/// The most control devices of a step. They poll often for three hours, which a fleet of millions must not.
pub const MAX_CONTROL: u64 = 50_000;

/// How long a device is watched after its entry, in either arm. It bounds how many are at risk, whatever the plan does.
pub const WATCHED_FOR: TimeDelta = TimeDelta::days(7);

/// What may be reached while some stay back: 5 % do.
const HIGHEST_WITH_HOLDBACK: u32 = 95_000_000;

/// Which group a device belongs to in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// It is offered the build.
    Treated,
    /// It is not, and would be if the share were larger.
    Control,
}

/// Where a device stands to a step of a rollout that addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Within the share now.
    Treated,
    /// Within the share that the step ends with, not reached yet. It is in neither arm: it would leave within hours.
    Awaited,
    /// Among the next beyond the step's target.
    Control,
    /// Further beyond, or not in the slice.
    Beyond,
}

/// The positions of a step: of its slice, from the slice's start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRange {
    /// The rollout's slice.
    pub slice: Slice,
    /// The share that the step ends with.
    pub target: Share,
    /// The share up to which control goes.
    pub control: Share,
}

impl StepRange {
    /// The range of a step from this share to that one, among so many devices of the slice as are known when it begins.
    /// With `holdback` nothing above 95 % is reached until the bake has ended.
    pub fn new(slice: Slice, from: Share, target: Share, devices: u64, holdback: bool) -> Self {
        let target = if holdback { held_back(target) } else { target };
        let end = u64::from(Position::END);
        let treated = u64::from(target.get().saturating_sub(from.get()));
        let tenfold = treated * CONTROLS_PER_TREATED;
        let most = MAX_CONTROL
            .saturating_mul(end)
            .checked_div(devices)
            .unwrap_or(end);
        let control = u64::from(target.get()) + tenfold.min(most);
        let control = u32::try_from(control.min(end)).unwrap_or(Position::END);
        Self {
            slice,
            target,
            control: Share::new(i64::from(control)).unwrap_or(Share::WHOLE),
        }
    }

    /// Where the device at this position stands while the share is `reached`.
    pub fn place(&self, position: Position, reached: Share) -> Place {
        let reached = reached.min(self.target);
        [
            (reached, Place::Treated),
            (self.target, Place::Awaited),
            (self.control, Place::Control),
        ]
        .into_iter()
        .find(|(share, _)| self.slice.takes(position, *share))
        .map_or(Place::Beyond, |(_, place)| place)
    }

    /// The arm that a device enters at a poll at which everything but the share lets it have the build. Whoever is
    /// awaited or beyond enters none.
    pub fn arm(&self, position: Position, reached: Share) -> Option<Arm> {
        match self.place(position, reached) {
            Place::Treated => Some(Arm::Treated),
            Place::Control => Some(Arm::Control),
            Place::Awaited | Place::Beyond => None,
        }
    }
}

/// The target of a step of which some devices stay back.
pub(crate) fn held_back(target: Share) -> Share {
    target.min(Share::within(HIGHEST_WITH_HOLDBACK))
}

/// The group within which arms are compared: those of one step that entered in the same hour and were called alike. A
/// device is in one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stratum {
    /// The step, from 0.
    pub step: u16,
    /// The hour of entry, counted from 1970.
    pub hour: i64,
    /// Whether a nudge had called it.
    pub nudged: bool,
}

/// A device of one arm, since its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its arm.
    pub arm: Arm,
    /// The step, from 0.
    pub step: u16,
    /// When it entered.
    pub entered: DateTime<Utc>,
    /// Whether a nudge had called it.
    pub nudged: bool,
}

impl Member {
    /// Whom it is compared with.
    pub fn stratum(&self) -> Stratum {
        Stratum {
            step: self.step,
            hour: self.entered.timestamp().div_euclid(3_600),
            nudged: self.nudged,
        }
    }

    /// Whether it is still watched, as a device at this position of this slice, while the rollout is in `step` and its
    /// share is `reached`. Nothing that the device does ends it: a device leaves [`WATCHED_FOR`] after its entry, control
    /// also when the next step begins, whose control it may enter, and when the share reaches it. Whoever was revoked,
    /// retired or erased leaves too, which only storage knows.
    pub fn is_watched(
        &self,
        position: Position,
        slice: Slice,
        step: u16,
        reached: Share,
        now: DateTime<Utc>,
    ) -> bool {
        let stays = match self.arm {
            Arm::Treated => true,
            Arm::Control => step == self.step && !slice.takes(position, reached),
        };
        stays && now < self.entered + WATCHED_FOR
    }
}
