//! From where on a gate counts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The part of a rollout's life that is judged. Whoever resumes a halted rollout has seen its failures, so a new segment
/// begins with all evidence at 1, and counts only devices that were first offered the build after it: what is still to
/// come of earlier ones does not trip it again. Devices at risk stay at risk.
///
/// Each segment may halt a good build once more in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Which one it is, from 1.
    pub number: u32,
    /// When the rollout began or was resumed, by the database's clock.
    pub began: DateTime<Utc>,
}

impl Segment {
    /// That of a rollout that begins now.
    pub fn first(now: DateTime<Utc>) -> Self {
        Self {
            number: 1,
            began: now,
        }
    }

    /// That of a rollout that is resumed now.
    #[must_use]
    pub fn next(self, now: DateTime<Utc>) -> Self {
        Self {
            number: self.number.saturating_add(1),
            began: now,
        }
    }

    /// Whether it counts a device that was first offered the build at this time.
    pub fn counts(&self, first_offered: DateTime<Utc>) -> bool {
        first_offered > self.began
    }
}
