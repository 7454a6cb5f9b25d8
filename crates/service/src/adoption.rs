//! How far the fleet is with each rollout, for those who watch.
//!
//! The statistics of builds are the database's and are asked for when somebody looks, then kept for a moment; what the
//! devices run is the fleet's last count. On any number of servers they are the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{BuildId, DeploymentStats, PackageName, RolloutState, VersionCode};
use tidegate_storage::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Error, Fleet, Snapshots};

/// How long the statistics of the builds that serve are kept.
pub(crate) const STATS_KEPT_FOR: Duration = Duration::from_secs(5);

/// How many rollouts are told of, the newest of all packages. More than any operator watches.
pub(crate) const MAX_WATCHED_ROLLOUTS: usize = 100;

/// Watches the rollouts that serve.
pub struct Adoption {
    store: Store,
    snapshots: Arc<Snapshots>,
    fleet: Arc<Fleet>,
    kept: Mutex<Kept>,
}

/// What was read, and when.
#[derive(Default)]
struct Kept {
    stats: Option<(Instant, i64, HashMap<BuildId, DeploymentStats>)>,
}

/// One rollout that serves.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutNumbers {
    /// Its package.
    pub package: PackageName,
    /// Its build.
    pub build: BuildId,
    /// The build's version.
    pub version_code: VersionCode,
    /// The share of the fleet that it is offered to, in percent.
    pub percent: f64,
    /// Whether it offers anything at the moment: neither paused nor halted nor yet to begin.
    pub active: bool,
    /// Devices that installed the build, of those that were offered it, 0 to 1.
    pub adoption: f64,
    /// Devices that run the build's version, of all that have the package, 0 to 1; to be compared with the percent.
    pub share: f64,
}

impl Adoption {
    /// Over this database and these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, fleet: Arc<Fleet>) -> Self {
        Self {
            store,
            snapshots,
            fleet,
            kept: Mutex::default(),
        }
    }

    /// The rollouts that serve, newest first. One question at a time goes to the database.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer.
    pub async fn rollouts(&self) -> Result<Vec<RolloutNumbers>, Error> {
        let mut kept = self.kept.lock().await;
        let mut rollouts = self.serving();
        kept.refresh(&self.store, self.snapshots.catalog_version(), &rollouts)
            .await?;
        for rollout in &mut rollouts {
            rollout.adoption = kept.adoption(rollout.build);
            rollout.share = self.fleet.share(&rollout.package, rollout.version_code);
        }
        Ok(rollouts)
    }

    fn serving(&self) -> Vec<RolloutNumbers> {
        let (catalog, now) = (self.snapshots.catalog(), self.snapshots.now());
        let releases = catalog.releases();
        let mut newest: Vec<_> = releases
            .map(|release| {
                let spec = &release.rollout.spec;
                let numbers = RolloutNumbers {
                    package: spec.package.clone(),
                    build: release.build.id,
                    version_code: release.build.facts.version_code,
                    percent: spec.percent(now).as_decimal(),
                    active: matches!(spec.state, RolloutState::Active | RolloutState::Completed),
                    adoption: 0.0,
                    share: 0.0,
                };
                (release.rollout.id, numbers)
            })
            .collect();
        newest.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        newest.truncate(MAX_WATCHED_ROLLOUTS);
        newest.into_iter().map(|(_, numbers)| numbers).collect()
    }
}

impl Kept {
    async fn refresh(
        &mut self,
        store: &Store,
        catalog: i64,
        rollouts: &[RolloutNumbers],
    ) -> Result<(), Error> {
        let fresh =
            |(read, version, _): &(Instant, i64, _)| *version == catalog && read.elapsed() < STATS_KEPT_FOR;
        if !self.stats.as_ref().is_some_and(fresh) {
            let builds = rollouts.iter().map(|rollout| rollout.build).collect();
            let stats = store.stats_of(builds).await?;
            #[allow(clippy::disallowed_methods, reason = "how old a reading really is")]
            let now = Instant::now();
            self.stats = Some((now, catalog, stats));
        }
        Ok(())
    }

    fn adoption(&self, build: BuildId) -> f64 {
        let stats = self.stats.as_ref().and_then(|(_, _, stats)| stats.get(&build));
        stats.map_or(0.0, |stats| stats.adoption_rate() / 100.0)
    }
}
