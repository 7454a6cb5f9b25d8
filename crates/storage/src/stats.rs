//! Deployment statistics.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, DeploymentStats, RolloutId};

use crate::store::run;
use crate::{Error, Store};

/// The most hours that one answer holds: 62 days.
pub const MAX_STAT_HOURS: i64 = 62 * 24;

/// The most rollouts of one build whose statistics are told.
pub const MAX_ROLLOUTS_OF_BUILD: i64 = 100;

/// A build's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuildStats {
    /// The counts.
    pub stats: DeploymentStats,
    /// When the last thing that they count happened; `None` while nothing did.
    pub last_updated: Option<DateTime<Utc>>,
}

/// What one rollout did with a build. A device that two rollouts of a build reached counts for each of them, and once
/// for the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStats {
    /// The rollout.
    pub rollout: RolloutId,
    /// The build.
    pub build: BuildId,
    /// The counts.
    pub stats: DeploymentStats,
    /// As in [`BuildStats`].
    pub last_updated: Option<DateTime<Utc>>,
}

/// One hour of a build's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourOfStats {
    /// When it began.
    pub hour: DateTime<Utc>,
    /// What rose in it, by how much.
    pub stats: DeploymentStats,
}

impl Store {
    /// A build's statistics.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such build.
    pub async fn stats(&self, build: BuildId) -> Result<BuildStats, Error> {
        run!(self, read, stats::get(build))
    }

    /// What each rollout did with a build, newest rollout first, at most [`MAX_ROLLOUTS_OF_BUILD`]. Rollouts of the
    /// build that nobody met yet are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn rollout_stats(&self, build: BuildId) -> Result<Vec<RolloutStats>, Error> {
        run!(self, read, stats::of_rollouts(build))
    }

    /// The statistics of several builds at once; those that do not exist are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn stats_of(&self, builds: Vec<BuildId>) -> Result<HashMap<BuildId, DeploymentStats>, Error> {
        run!(self, read, stats::many(&builds))
    }

    /// What several rollouts did, with each build that they handed out; those that nobody met yet are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn stats_of_rollouts(&self, rollouts: Vec<RolloutId>) -> Result<Vec<RolloutStats>, Error> {
        run!(self, read, stats::of_several_rollouts(&rollouts))
    }

    /// What rose in each hour that began in `from..to`, oldest first; hours in which nothing happened are left out.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such build; [`Error::Rule`] when the range is longer than
    /// [`MAX_STAT_HOURS`].
    pub async fn stats_by_hour(
        &self,
        build: BuildId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<HourOfStats>, Error> {
        run!(self, snapshot, stats::by_hour(build, from, to))
    }
}
