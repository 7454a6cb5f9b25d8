//! Releasing builds: promote, adjust, pause, resume, roll back.
//!
//! Every verb runs the pure rule of [`Track`] inside one transaction that also writes the audit entry, then has
//! the catalog rebuilt, so that the very next poll is answered by the new state.

use std::sync::Arc;
use std::time::Duration;

use tidegate_artifacts as artifacts;
use tidegate_domain::{
    Build, BuildId, By, Change, PackageName, Percent, Promotion, Role, Rollout, RolloutState, Track, Verb,
};
use tidegate_storage::{Attempts, Page, Paged, RolloutFilter, Store};

use crate::{Actor, Clock, Error, Kind, Snapshots};

/// How long the artifact store is waited for before a release is changed without its word.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Releases builds.
pub struct Rollouts {
    store: Store,
    artifacts: artifacts::Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

/// What a promotion did.
pub struct Promoted {
    /// The build that is current now.
    pub build: Build,
    /// The build that was current before.
    pub previous: Option<BuildId>,
}

/// What an adjustment did.
pub struct Adjusted {
    /// The share before.
    pub old: Percent,
    /// The share now.
    pub new: Percent,
}

/// What a roll-back did.
pub struct RolledBack {
    /// The build that was taken back.
    pub from: Arc<Build>,
    /// The build that is current now.
    pub to: Arc<Build>,
}

impl Rollouts {
    /// Over this database and the builds' files, refreshing these snapshots.
    pub fn new(
        store: Store,
        artifacts: artifacts::Store,
        snapshots: Arc<Snapshots>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            artifacts,
            snapshots,
            clock,
        }
    }

    /// Makes a build its package's current one, in the place of `seen` where the caller names the build that they saw
    /// to be current.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], what [`Track::promote`] refuses, and `file_missing` when the
    /// artifact store lost the build's file or that of the build that is offered now, to which a roll-back would return.
    pub async fn promote(
        &self,
        actor: &Actor,
        id: BuildId,
        promotion: Promotion,
        seen: Option<BuildId>,
    ) -> Result<Promoted, Error> {
        actor.require_some(Role::Operator, Verb::Promote)?;
        let build = self.store.build(id).await?;
        actor.require_verb(Role::Operator, Verb::Promote, Some(&build.facts.package))?;
        if self.store.build_deleted_at(id).await?.is_some() {
            return Err(tidegate_storage::Error::BuildDeleted { build: id }.into());
        }
        self.require_file(&build, "upload the same file again").await?;
        self.require_way_back(&build).await?;
        let rule = {
            let (build, by) = (build.clone(), self.by(actor));
            move |track: &Track, attempts: &Attempts| {
                let change = track.promote(&build, &promotion, attempts.of(id), by.as_by())?;
                // What is as it should be already may be asked for again.
                if !change.is_empty() {
                    still_current(track, seen)?;
                }
                Ok(change)
            }
        };
        let (track, change) = self.change(actor, build.facts.package.clone(), rule).await?;
        tracing::info!(
            event = "ota.promote",
            actor = actor.subject,
            package_name = %build.facts.package,
            build_id = id.0,
            version_code = build.facts.version_code.get(),
            rollout_percent = change.after.settings.percent.get(),
            wifi_only = change.after.settings.wifi_only,
            must_install = change.after.settings.must_install,
            changed = !change.is_empty(),
        );
        // A repeated promotion is answered like the first: with the build that it replaced.
        let previous = if change.is_empty() {
            track.predecessor.as_ref()
        } else {
            track.current()
        };
        Ok(Promoted {
            previous: previous.map(|release| release.build.id),
            build,
        })
    }

    /// Changes the share that a serving build is offered to.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::adjust`] refuses.
    pub async fn adjust(&self, actor: &Actor, id: BuildId, percent: Percent) -> Result<Adjusted, Error> {
        let change = self
            .change_build(actor, id, Verb::Adjust, move |track| track.adjust(id, percent))
            .await?;
        let old = change
            .before
            .as_ref()
            .map_or(percent, |before| before.settings.percent);
        tracing::info!(
            event = "ota.rollout.adjust",
            actor = actor.subject,
            build_id = id.0,
            old_percent = old.get(),
            new_percent = percent.get(),
        );
        Ok(Adjusted { old, new: percent })
    }

    /// Stops offering a build, in all of its rollouts that serve.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::pause`] refuses.
    pub async fn pause(&self, actor: &Actor, id: BuildId) -> Result<RolloutState, Error> {
        let change = self
            .change_build(actor, id, Verb::Pause, move |track| track.pause(id))
            .await?;
        tracing::info!(
            event = "ota.rollout.pause",
            actor = actor.subject,
            build_id = id.0
        );
        Ok(change.after.state)
    }

    /// Offers a paused or halted build again.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::resume`] refuses.
    pub async fn resume(&self, actor: &Actor, id: BuildId) -> Result<RolloutState, Error> {
        let change = self
            .change_build(actor, id, Verb::Resume, move |track| track.resume(id))
            .await?;
        tracing::info!(
            event = "ota.rollout.resume",
            actor = actor.subject,
            build_id = id.0
        );
        Ok(change.after.state)
    }

    /// Takes a package's current build back, if it is `bad` where that is named. The package may be left out beside it,
    /// or while only one releases anything.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], what [`Track::roll_back`] refuses, and `file_missing` when the artifact store lost the
    /// previous build's file.
    pub async fn roll_back(
        &self,
        actor: &Actor,
        package: Option<PackageName>,
        bad: Option<BuildId>,
        force_downgrade: bool,
    ) -> Result<RolledBack, Error> {
        actor.require_some(Role::Operator, Verb::RollBack)?;
        let package = match (package, bad) {
            (Some(package), _) => package,
            (None, Some(bad)) => self.store.build(bad).await?.facts.package,
            (None, None) => self.snapshots.only_package()?,
        };
        actor.require_verb(Role::Operator, Verb::RollBack, Some(&package))?;
        if let Some(previous) = self.store.track(&package).await?.predecessor {
            let advice = "upload the same file again, or pause the bad build until there is a better one";
            self.require_file(&previous.build, advice).await?;
        }
        let by = self.by(actor);
        let rule = move |track: &Track, _: &Attempts| {
            still_current(track, bad)?;
            track.roll_back(force_downgrade, by.as_by())
        };
        let (track, _) = self.change(actor, package.clone(), rule).await?;
        let (Some(from), Some(to)) = (track.current(), &track.predecessor) else {
            return Err(Error::internal(
                "rolling back",
                &"a track without a current and a previous release",
            ));
        };
        tracing::info!(
            event = "ota.rollback",
            actor = actor.subject,
            package_name = %package,
            from_build_id = from.build.id.0,
            to_build_id = to.build.id.0,
            force_downgrade,
        );
        Ok(RolledBack {
            from: Arc::clone(&from.build),
            to: Arc::clone(&to.build),
        })
    }

    /// Rollouts, newest first.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, filter: RolloutFilter, page: Page) -> Result<Paged<Rollout>, Error> {
        Ok(self.store.rollouts(filter, page).await?)
    }

    /// A package's releases as they stand: what serves, and what a roll-back would go back to.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn track(&self, package: &PackageName) -> Result<Track, Error> {
        Ok(self.store.track(package).await?)
    }

    /// Refuses to replace a build that is offered and could not be gone back to. One that is held may be replaced:
    /// whoever lost a file must be able to go on.
    async fn require_way_back(&self, next: &Build) -> Result<(), Error> {
        let track = self.store.track(&next.facts.package).await?;
        let offered = track
            .current()
            .filter(|release| is_offered(release.rollout.spec.state) && release.build.id != next.id);
        match offered {
            Some(release) => {
                let advice = "a roll-back would return to it: upload the same file again, or pause it first to go on \
                              without a way back";
                self.require_file(&release.build, advice).await
            }
            None => Ok(()),
        }
    }

    /// Refuses when the artifact store says that it has no such file. A store that does not answer stops nobody: that
    /// nothing can be downloaded now must not keep a bad build on offer.
    async fn require_file(&self, build: &Build, advice: &str) -> Result<(), Error> {
        let size = build.facts.size;
        let what = match tokio::time::timeout(LOOK_LIMIT, self.artifacts.size(&build.facts.sha256.0)).await {
            Ok(Ok(Some(there))) if there == size => return Ok(()),
            Ok(Ok(Some(there))) => format!("has {there} bytes in the artifact store instead of {size}"),
            Ok(Ok(None)) => "is gone from the artifact store".to_owned(),
            Ok(Err(fault)) => {
                tell_unseen(build, &fault);
                return Ok(());
            }
            Err(fault) => {
                tell_unseen(build, &fault);
                return Ok(());
            }
        };
        let message = format!("the file of build {} {what}; {advice}", build.id);
        Err(Error::new(Kind::Conflict, "file_missing", message))
    }

    fn by(&self, actor: &Actor) -> OwnedBy {
        OwnedBy {
            actor: actor.subject.clone(),
            now: self.clock.now(),
        }
    }

    async fn change_build(
        &self,
        actor: &Actor,
        id: BuildId,
        verb: Verb,
        rule: impl Fn(&Track) -> Result<Change, tidegate_domain::Error> + Send + 'static,
    ) -> Result<Change, Error> {
        actor.require_some(Role::Operator, verb)?;
        let build = self.store.build(id).await?;
        actor.require_verb(Role::Operator, verb, Some(&build.facts.package))?;
        let rule = move |track: &Track, _: &Attempts| rule(track);
        Ok(self.change(actor, build.facts.package, rule).await?.1)
    }

    /// Applies a rule to a package's track: the track as it was, and what changed.
    async fn change(
        &self,
        actor: &Actor,
        package: PackageName,
        rule: impl Fn(&Track, &Attempts) -> Result<Change, tidegate_domain::Error> + Send + 'static,
    ) -> Result<(Track, Change), Error> {
        let changed = self
            .store
            .change_track(package, actor.on_record(self.clock.now()), rule)
            .await?;
        if !changed.change.is_empty() {
            self.snapshots.follow_own_change().await;
        }
        Ok((changed.before, changed.change))
    }
}

fn is_offered(state: RolloutState) -> bool {
    matches!(state, RolloutState::Active | RolloutState::Completed)
}

fn tell_unseen(build: &Build, fault: &dyn std::fmt::Display) {
    tracing::warn!(build_id = build.id.0, %fault, "a release is changed without a look at the build's file");
}

/// Refuses when another build is current than the one that the caller saw.
fn still_current(track: &Track, seen: Option<BuildId>) -> Result<(), tidegate_domain::Error> {
    let current = track.current().map(|release| release.build.id);
    match seen {
        Some(build) if current != seen => Err(tidegate_domain::Error::NotCurrent { build }),
        _ => Ok(()),
    }
}

/// [`By`] for a closure that outlives the call.
struct OwnedBy {
    actor: String,
    now: chrono::DateTime<chrono::Utc>,
}

impl OwnedBy {
    fn as_by(&self) -> By<'_> {
        By {
            actor: &self.actor,
            now: self.now,
        }
    }
}
