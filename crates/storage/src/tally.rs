//! What a batch adds to the statistics, summed up before it is written: a row is touched once a batch, however many
//! devices it tells of.
//!
//! Everything is counted twice, for its build and for the rollout that offered it. The build's numbers are no sum of
//! its rollouts': a device that met two rollouts of one build is one device of the build.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_domain::{DeploymentStats, ReportStatus};

use crate::gate_tally::GateTally;
use crate::time::hour;

/// Sums by what is counted and hour, in the order in which they are to be written.
#[derive(Default)]
pub(crate) struct Tally {
    builds: BTreeMap<(i64, i64), DeploymentStats>,
    rollouts: BTreeMap<(i64, i64, i64), DeploymentStats>,
    latest: Option<i64>,
    /// What gates count.
    pub(crate) gates: GateTally,
}

/// A row of sums; of a build's where there is no rollout, of a total's where there is no hour.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Sums {
    pub(crate) rollout_id: Option<i64>,
    pub(crate) build_id: i64,
    pub(crate) hour_at: Option<i64>,
    /// When the last thing happened that the batch tells of.
    pub(crate) last_updated_at: i64,
    #[serde(flatten)]
    pub(crate) stats: DeploymentStats,
}

impl Tally {
    /// What is to be added for this build at this time, in microseconds.
    pub(crate) fn build(&mut self, build: i64, at: i64) -> &mut DeploymentStats {
        self.latest = self.latest.max(Some(at));
        self.builds.entry((build, hour(at))).or_default()
    }

    /// What is to be added for what this rollout does with this build.
    pub(crate) fn rollout(&mut self, rollout: i64, build: i64, at: i64) -> &mut DeploymentStats {
        self.latest = self.latest.max(Some(at));
        self.rollouts.entry((rollout, build, hour(at))).or_default()
    }

    /// By build and hour.
    pub(crate) fn build_hours(&self) -> Vec<Sums> {
        let row = |(&(build_id, hour), &stats): (&(i64, i64), &DeploymentStats)| {
            self.sums(None, build_id, Some(hour), stats)
        };
        self.builds.iter().map(row).collect()
    }

    /// By rollout, build and hour.
    pub(crate) fn rollout_hours(&self) -> Vec<Sums> {
        let row = |(&(rollout, build_id, hour), &stats): (&(i64, i64, i64), &DeploymentStats)| {
            self.sums(Some(rollout), build_id, Some(hour), stats)
        };
        self.rollouts.iter().map(row).collect()
    }

    fn sums(
        &self,
        rollout_id: Option<i64>,
        build_id: i64,
        hour_at: Option<i64>,
        stats: DeploymentStats,
    ) -> Sums {
        Sums {
            rollout_id,
            build_id,
            hour_at,
            last_updated_at: self.latest.unwrap_or_default(),
            stats,
        }
    }
}

/// The same without the hours.
pub(crate) fn totals(hours: &[Sums]) -> Vec<Sums> {
    let mut totals: BTreeMap<(Option<i64>, i64), Sums> = BTreeMap::new();
    for hour in hours {
        let total = totals.entry((hour.rollout_id, hour.build_id)).or_insert(Sums {
            hour_at: None,
            stats: DeploymentStats::default(),
            ..*hour
        });
        total.stats += hour.stats;
    }
    totals.into_values().collect()
}

/// Counts a device that reached what this status says for the first time.
pub(crate) fn count(stats: &mut DeploymentStats, status: ReportStatus) {
    match status {
        ReportStatus::Downloaded => stats.total_downloads += 1,
        ReportStatus::VerifyFailed => stats.verify_failed += 1,
        ReportStatus::InstallFailed => stats.installs_failed += 1,
        ReportStatus::InstallSuccess => stats.installs_success += 1,
        ReportStatus::Deferred => {}
    }
}
