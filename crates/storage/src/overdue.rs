//! Devices that have not installed what a rollout offered them though its deadline has passed.
//!
//! A device is overdue with a rollout that serves when it was offered a build by it, reported no installation, counts (it is
//! neither retired nor inactive), and runs a lower version than the rollout's build, or the one that the rollout takes back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::RolloutId;

use crate::store::run;
use crate::{Error, Store};

/// The most overdue devices of a rollout that are counted: its number is no higher than this.
pub const MAX_OVERDUE_DEVICES: u32 = 100_000;

/// How many devices are overdue, by rollout. Of those that were asked for, rollouts whose deadline has passed are in it, also
/// with no device.
pub type OverdueCounts = HashMap<RolloutId, u64>;

impl Store {
    /// The overdue devices of the newest rollouts whose deadline has passed, of so many at most.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn overdue(&self, now: DateTime<Utc>, limit: u32) -> Result<OverdueCounts, Error> {
        run!(self, snapshot, overdue::newest(now, limit))
    }

    /// The overdue devices of these rollouts.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn overdue_of(
        &self,
        rollouts: Vec<RolloutId>,
        now: DateTime<Utc>,
    ) -> Result<OverdueCounts, Error> {
        run!(self, snapshot, overdue::of(&rollouts, now))
    }
}
