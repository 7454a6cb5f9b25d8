//! What a batch adds to the statistics, summed up before it is written: a build's row is touched once a batch,
//! however many devices it tells of.

use std::collections::BTreeMap;

use tidegate_domain::DeploymentStats;

use crate::time::hour;

/// Sums by build and hour, in the order in which they are to be written.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<(i64, i64), DeploymentStats>);

impl Tally {
    /// What is to be added for this build at this time, in microseconds.
    pub(crate) fn at(&mut self, build: i64, at: i64) -> &mut DeploymentStats {
        self.0.entry((build, hour(at))).or_default()
    }

    /// By build and hour.
    pub(crate) fn hours(&self) -> impl Iterator<Item = (i64, i64, &DeploymentStats)> {
        self.0.iter().map(|((build, hour), stats)| (*build, *hour, stats))
    }

    /// By build.
    pub(crate) fn builds(&self) -> BTreeMap<i64, DeploymentStats> {
        let mut sums: BTreeMap<i64, DeploymentStats> = BTreeMap::new();
        for (build, _, hour) in self.hours() {
            let sum = sums.entry(build).or_default();
            sum.total_checks += hour.total_checks;
            sum.total_eligible += hour.total_eligible;
            sum.total_downloads += hour.total_downloads;
            sum.installs_success += hour.installs_success;
            sum.installs_failed += hour.installs_failed;
            sum.verify_failed += hour.verify_failed;
        }
        sums
    }
}
