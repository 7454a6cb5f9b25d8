//! Experiments: builds tried side by side, and what became of their devices.
//!
//! An arm is a rollout, so its counts are the rollout's, and pausing or ending it is [`Rollouts`]' to do. How many devices
//! lie in a slice, and what they run, comes from the last count of the fleet, which knows whole cohorts without a salt and
//! no audience: for other experiments it is left out rather than estimated.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    BuildId, Conclusion, ConclusionDraft, DeploymentStats, Experiment, ExperimentDraft, ExperimentId,
    ExperimentSpec, PackageName, Role, Rollout, RolloutId, Slice, Track, Verb, VersionCode, Winner,
};
use tidegate_storage::{Attempts, ExperimentFilter, ExperimentWithArms, Page, Paged, RolloutStats, Store};

use crate::rollouts::OwnedBy;
use crate::{Actor, Clock, Error, Fleet, Rollouts, SliceCensus, Snapshots};

/// Begins, shows and concludes experiments.
pub struct Experiments {
    store: Store,
    rollouts: Arc<Rollouts>,
    snapshots: Arc<Snapshots>,
    fleet: Arc<Fleet>,
    clock: Arc<dyn Clock>,
}

/// An experiment, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentView {
    /// The experiment.
    pub experiment: Experiment,
    /// Its arms in their order.
    pub arms: Vec<ArmView>,
    /// The devices of the hold-out; none without one, and where they were not counted.
    pub holdout: Option<SliceCensus>,
}

/// An arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmView {
    /// Its rollout.
    pub rollout: Rollout,
    /// The version of its build.
    pub version: Option<VersionCode>,
    /// What it did with its build.
    pub stats: DeploymentStats,
    /// When the last thing that they count happened.
    pub last_updated: Option<DateTime<Utc>>,
    /// The devices of its slice, whatever its share is now; none where they were not counted.
    pub slice: Option<SliceCensus>,
}

impl Experiments {
    /// Over this database and this count of the fleet, refreshing these snapshots.
    pub fn new(
        store: Store,
        rollouts: Arc<Rollouts>,
        snapshots: Arc<Snapshots>,
        fleet: Arc<Fleet>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            rollouts,
            snapshots,
            fleet,
            clock,
        }
    }

    /// Begins an experiment. One that runs already on the same terms is returned and not made again.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`]; [`crate::Kind::NotFound`] for the package or a build; `build_deleted` and
    /// `file_missing` for a build that can't be handed out; what [`Track::start_experiment`] refuses.
    pub async fn create(
        &self,
        actor: &Actor,
        package: PackageName,
        draft: ExperimentDraft,
    ) -> Result<ExperimentView, Error> {
        actor.require_verb(Role::Operator, Verb::Promote, Some(&package))?;
        draft.check()?;
        let mut builds = Vec::with_capacity(draft.arms.len());
        for arm in &draft.arms {
            builds.push(self.rollouts.releasable(actor, arm.build).await?);
        }
        let by = self.by(actor).await?;
        let rule = move |track: &Track, running: &[Experiment], attempts: &Attempts| {
            let attempts = |build| attempts.of(build);
            track.start_experiment(&draft, &builds, running, attempts, by.as_by())
        };
        let on_record = actor.on_record(self.clock.now());
        let begun = self.store.start_experiment(package, on_record, rule).await?;
        self.tell("create", actor, &begun.now, begun.changed).await;
        self.shown(begun.now).await
    }

    /// Concludes an experiment: ends its arms, and makes the winner's build the base where there is one. The same
    /// conclusion again changes nothing.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], what [`Track::conclude`] refuses, and `file_missing` as for
    /// [`Rollouts::promote`].
    pub async fn conclude(
        &self,
        actor: &Actor,
        id: ExperimentId,
        draft: ConclusionDraft,
    ) -> Result<ExperimentView, Error> {
        // Without a winner it ends rollouts, as canceling one does.
        let verb = match draft.winner {
            Some(_) => Verb::Promote,
            None => Verb::RollBack,
        };
        actor.require_some(Role::Operator, verb)?;
        let seen = self.store.experiment(id).await?;
        actor.require_verb(Role::Operator, verb, Some(&seen.experiment.spec.package))?;
        if seen.experiment.spec.conclusion.is_none()
            && let Some(build) = draft.winner.and_then(|winner| won(&seen.arms, winner))
        {
            let build = self.rollouts.releasable(actor, build).await?;
            self.rollouts.require_way_back(&build).await?;
        }
        let by = self.by(actor).await?;
        let rule = move |track: &Track, seen: &ExperimentWithArms, attempts: &Attempts| {
            let attempts = |build| attempts.of(build);
            track.conclude(&seen.experiment, &seen.arms, draft, attempts, by.as_by())
        };
        let on_record = actor.on_record(self.clock.now());
        let ended = self.store.conclude_experiment(id, on_record, rule).await?;
        self.tell("conclude", actor, &ended.now, ended.changed).await;
        self.shown(ended.now).await
    }

    /// One experiment.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, id: ExperimentId) -> Result<ExperimentView, Error> {
        let found = self.store.experiment(id).await?;
        self.shown(found).await
    }

    /// Experiments, newest first.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, filter: ExperimentFilter, page: Page) -> Result<Paged<ExperimentView>, Error> {
        let found = self.store.experiments(filter, page).await?;
        let items = self.side_by_side(found.items).await?;
        Ok(Paged {
            items,
            next_page_token: found.next_page_token,
        })
    }

    async fn shown(&self, experiment: ExperimentWithArms) -> Result<ExperimentView, Error> {
        let mut shown = self.side_by_side(vec![experiment]).await?;
        shown
            .pop()
            .ok_or_else(|| Error::internal("showing an experiment", &"it is gone"))
    }

    /// With what is counted of them, in three questions to the database at most.
    async fn side_by_side(&self, found: Vec<ExperimentWithArms>) -> Result<Vec<ExperimentView>, Error> {
        let arms = || found.iter().flat_map(|experiment| &experiment.arms);
        let (rollouts, builds) = (
            arms().map(|arm| arm.id).collect(),
            arms().map(|arm| arm.spec.build).collect(),
        );
        let stats = self.store.stats_of_rollouts(rollouts).await?;
        // A barrier that an arm hands out on the way is not what it tries.
        let stats: HashMap<(RolloutId, BuildId), RolloutStats> = stats
            .into_iter()
            .map(|stats| ((stats.rollout, stats.build), stats))
            .collect();
        let versions = self.store.versions_of(builds).await?;
        let view = |found: ExperimentWithArms| {
            let spec = &found.experiment.spec;
            let arm = |rollout: Rollout| {
                let build = rollout.spec.build;
                let stats = stats.get(&(rollout.id, build));
                ArmView {
                    version: versions.get(&build).copied(),
                    stats: stats.map(|stats| stats.stats).unwrap_or_default(),
                    last_updated: stats.and_then(|stats| stats.last_updated),
                    slice: self.counted(spec, rollout.spec.settings.slice),
                    rollout,
                }
            };
            ExperimentView {
                arms: found.arms.into_iter().map(arm).collect(),
                holdout: spec.holdout.and_then(|slice| self.counted(spec, slice)),
                experiment: found.experiment,
            }
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// The devices of a slice, where the last count of the fleet tells them exactly.
    fn counted(&self, spec: &ExperimentSpec, slice: Slice) -> Option<SliceCensus> {
        let knows = spec.salt.is_none() && spec.audience.is_everybody();
        knows.then(|| self.fleet.slice(&spec.package, slice)).flatten()
    }

    /// The time by which shares are told.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn by(&self, actor: &Actor) -> Result<OwnedBy, Error> {
        OwnedBy::of(&self.store, actor, self.clock.now()).await
    }

    async fn tell(&self, action: &'static str, actor: &Actor, now: &ExperimentWithArms, changed: bool) {
        if changed {
            self.snapshots.follow_own_change().await;
        }
        let Experiment { id, spec } = &now.experiment;
        let promoted = |conclusion: &Conclusion| Some(conclusion.promoted?.0.0);
        tracing::info!(
            event = "ota.experiment",
            action,
            actor = actor.subject,
            package_name = %spec.package,
            experiment_id = id.0,
            arms = now.arms.len(),
            winner_build_id = spec.conclusion.as_ref().and_then(promoted),
            changed,
        );
    }
}

/// The build of the arm that is named as the winner, if it is one.
fn won(arms: &[Rollout], winner: Winner) -> Option<BuildId> {
    let is_named = |arm: &&Rollout| match winner {
        Winner::Build(build) => arm.spec.build == build,
        Winner::Rollout(rollout) => arm.id == rollout,
    };
    arms.iter().find(is_named).map(|arm| arm.spec.build)
}
