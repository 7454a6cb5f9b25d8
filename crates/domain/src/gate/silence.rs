//! When a device counts as lost.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::gate::{Evidence, HALT_EVENTS, Logrank};

/// For so long after its entry a device polls often, in either arm: this is when a build that bricks shows.
pub const DENSE_PHASE: TimeDelta = TimeDelta::hours(3);

/// How often it does.
pub const DENSE_INTERVAL: TimeDelta = TimeDelta::minutes(30);

/// A silence that began after the dense phase, or of an agent that can't wake often, counts from here on: a night and
/// what a phone sleeps in beside.
pub const LATE_SILENCE: TimeDelta = TimeDelta::hours(18);

/// From which silence on a device counts as lost that fell silent in the dense phase. Both are tested: the short one finds
/// bricks within two hours, but where many healthy phones miss three polls, only the long one finds them at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// An hour and a half.
    Short,
    /// Six hours.
    Long,
}

impl Patience {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Short, Self::Long];

    /// How long a silence it bears that began in the dense phase.
    pub fn bears(self) -> TimeDelta {
        match self {
            Self::Short => TimeDelta::minutes(90),
            Self::Long => TimeDelta::hours(6),
        }
    }
}

/// When a device counts as lost unless something is heard of it before: a poll, a report or a byte of a download. The
/// times are those of the gate's clock, which stands still while the gate is blind.
///
/// `dense`: its agent polls often after its entry (`dense=1`). `last_heard` is not before `entered`.
pub fn lost_at(
    entered: DateTime<Utc>,
    last_heard: DateTime<Utc>,
    dense: bool,
    patience: Patience,
) -> DateTime<Utc> {
    let in_dense_phase = dense && last_heard < entered + DENSE_PHASE;
    let bears = if in_dense_phase {
        patience.bears()
    } else {
        LATE_SILENCE
    };
    last_heard + bears
}

/// The test for lost devices: one of each [`Patience`], and the mean of what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LostTest {
    /// With a patience of an hour and a half.
    pub short: Logrank,
    /// With one of six hours.
    pub long: Logrank,
}

impl LostTest {
    /// The mean of both.
    pub fn evidence(&self) -> Evidence {
        Evidence::weighted_mean([(0.5, self.short.evidence()), (0.5, self.long.evidence())])
    }

    /// The one that says more, whose counts are shown; one with too few events to halt only where the other has too few
    /// as well.
    pub fn clearer(&self) -> (Patience, &Logrank) {
        let rank = |test: &Logrank| (test.treated_events() >= HALT_EVENTS, test.evidence());
        if rank(&self.long) > rank(&self.short) {
            (Patience::Long, &self.long)
        } else {
            (Patience::Short, &self.short)
        }
    }

    /// How many of the treated fell silent, by the test that found more.
    pub(crate) fn treated_events(&self) -> u64 {
        self.short.treated_events().max(self.long.treated_events())
    }
}
