//! Looking at builds: what they are, who is offered them, what became of them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{Build, BuildId, DeploymentStats, PackageName, Role, Rollout, RolloutId, Verb};
use tidegate_storage::{
    BuildEdit, BuildFailures, BuildFilter, BuildRollout, HourOfStats, Page, Paged, ReasonCount, RolloutStats,
    Store,
};

use crate::upload::check_notes;
use crate::{Actor, Clock, Error, Snapshots};

/// How many hours [`Builds::stats`] tells one by one at most: thirty days.
pub const MAX_STATS_HOURS: i64 = 720;

/// Looks at builds.
pub struct Builds {
    pub(crate) store: Store,
    snapshots: Arc<Snapshots>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A build, and how it is or was released.
pub struct BuildView {
    /// The build.
    pub build: Build,
    /// The rollout that offers it, while one does: the current one before others.
    pub rollout: Option<Rollout>,
    /// The same, or else the last one that did.
    pub last: Option<BuildRollout>,
    /// When it was deleted, if it was.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// What became of a build.
pub struct BuildStats {
    /// The build.
    pub build: Build,
    /// The counts.
    pub stats: DeploymentStats,
    /// When the last thing that they count happened.
    pub last_updated: Option<DateTime<Utc>>,
    /// What each of its rollouts did, newest rollout first.
    pub rollouts: Vec<RolloutStats>,
    /// The last hours, oldest first.
    pub hours: Vec<HourOfStats>,
}

impl Builds {
    /// Over this database and these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            snapshots,
            clock,
        }
    }

    /// One build.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, id: BuildId) -> Result<BuildView, Error> {
        let build = self.store.build(id).await?;
        let last = self.store.last_rollouts(vec![id]).await?.remove(&id);
        let deleted_at = self.store.build_deleted_at(id).await?;
        Ok(BuildView {
            deleted_at,
            ..self.view(build, last)
        })
    }

    /// Builds, newest first, without deleted ones.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, package: Option<PackageName>, page: Page) -> Result<Paged<BuildView>, Error> {
        let builds = self.store.builds(BuildFilter { package }, page).await?;
        let ids = builds.items.iter().map(|build| build.id).collect();
        let mut last = self.store.last_rollouts(ids).await?;
        Ok(builds.map(|build| {
            let last = last.remove(&build.id);
            self.view(build, last)
        }))
    }

    /// A build without how it is released.
    pub(crate) async fn build(&self, id: BuildId) -> Result<Build, Error> {
        Ok(self.store.build(id).await?)
    }

    /// The current build of this one's package, unless it is this one.
    pub(crate) fn current_beside(&self, build: &Build) -> Option<Build> {
        let catalog = self.snapshots.catalog();
        let current = catalog.track(build.facts.package.as_str())?.current()?;
        (current.build.id != build.id).then(|| Build::clone(&current.build))
    }

    /// What the build is compared with others by; `None` while its file was not examined.
    pub(crate) async fn stored_profile(&self, id: BuildId) -> Result<Option<String>, Error> {
        Ok(self.store.build_profile(id).await?)
    }

    /// Changes what people may change of a build: its release notes, and which builds devices take in between. Devices
    /// are told with their next poll.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`] for over-long notes and for a version to come from that is not
    /// below the build's own, [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn edit(&self, actor: &Actor, id: BuildId, edit: BuildEdit) -> Result<BuildView, Error> {
        actor.require_some(Role::Operator, Verb::Upload)?;
        if let Some(notes) = &edit.notes {
            check_notes(notes)?;
        }
        let package = self.store.build(id).await?.facts.package;
        actor.require_verb(Role::Operator, Verb::Upload, Some(&package))?;
        // Who is offered what changes with the steps, as it does with a promotion.
        let changes_steps = edit.barrier.is_some() || edit.min_from_version.is_some();
        if changes_steps {
            actor.require_verb(Role::Operator, Verb::Promote, Some(&package))?;
        }
        let action = if changes_steps {
            "ota.build.edit"
        } else {
            "ota.notes"
        };
        let note = actor
            .on_record(self.clock.now())
            .note(action, format!("package/{package}"));
        let before = self.store.edit_build(id, edit, note).await?;
        let after = self.store.build(id).await?;
        if before != after {
            self.snapshots.follow_own_change().await;
            if changes_steps {
                tracing::info!(event = "ota.build.edit", actor = actor.subject, build_id = id.0);
            } else {
                tracing::info!(event = "ota.notes", actor = actor.subject, build_id = id.0);
            }
        }
        self.get(id).await
    }

    /// The builds that serve now, from memory, and the rollout of each.
    pub fn serving(&self) -> Vec<(BuildId, Rollout)> {
        let catalog = self.snapshots.catalog();
        catalog
            .releases()
            .map(|release| (release.build.id, release.rollout.clone()))
            .collect()
    }

    /// The counts of several builds.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn stats_of(&self, ids: &[BuildId]) -> Result<HashMap<BuildId, DeploymentStats>, Error> {
        Ok(self.store.stats_of(ids.to_vec()).await?.into_iter().collect())
    }

    /// What several rollouts did, with each build that they handed out.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn stats_of_rollouts(&self, ids: Vec<RolloutId>) -> Result<Vec<RolloutStats>, Error> {
        Ok(self.store.stats_of_rollouts(ids).await?)
    }

    /// A build's counts, and its last `hours` one by one.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for too many hours, [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn stats(&self, id: BuildId, hours: i64) -> Result<BuildStats, Error> {
        if !(0..=MAX_STATS_HOURS).contains(&hours) {
            return Err(Error::invalid(
                "hours",
                format!("must be from 0 to {MAX_STATS_HOURS}"),
            ));
        }
        let build = self.store.build(id).await?;
        let of_build = self.store.stats(id).await?;
        let rollouts = self.store.rollout_stats(id).await?;
        let hours = if hours == 0 {
            vec![]
        } else {
            self.hours(id, hours).await?
        };
        Ok(BuildStats {
            build,
            stats: of_build.stats,
            last_updated: of_build.last_updated,
            rollouts,
            hours,
        })
    }

    /// Why devices failed with a build or put it off, most frequent first.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn reasons(&self, id: BuildId) -> Result<Vec<ReasonCount>, Error> {
        Ok(self.store.reasons(id).await?)
    }

    /// How devices fail with a build, and what became of them.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn failures(&self, id: BuildId) -> Result<BuildFailures, Error> {
        Ok(self.store.build_failures(id, self.clock.now()).await?)
    }

    async fn hours(&self, id: BuildId, hours: i64) -> Result<Vec<HourOfStats>, Error> {
        let now: DateTime<Utc> = self.clock.now();
        // The range does not include its end, and an hour that begins right now is one of the hours.
        let (from, to) = (now - TimeDelta::hours(hours), now + TimeDelta::microseconds(1));
        Ok(self.store.stats_by_hour(id, from, to).await?)
    }

    fn view(&self, build: Build, last: Option<BuildRollout>) -> BuildView {
        let catalog = self.snapshots.catalog();
        let track = catalog.track(build.facts.package.as_str());
        let mut serving = track.into_iter().flat_map(|track| &track.serving);
        let release = serving.find(|release| release.build.id == build.id);
        BuildView {
            rollout: release.map(|release| release.rollout.clone()),
            last,
            build,
            deleted_at: None,
        }
    }
}
