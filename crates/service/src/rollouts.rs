//! Releasing builds: making rollouts, changing and ending them.
//!
//! Every verb runs the pure rule of [`Track`] inside one transaction that also writes the audit entry, then has
//! the catalog rebuilt, so that the very next poll is answered by the new state.

mod forecasts;
mod gates;
mod pacing;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use tidegate_artifacts as artifacts;
use tidegate_domain::{
    Build, BuildId, By, Change, PackageName, Percent, Promotion, Release, Resume, Role, Rollout,
    RolloutDraft, RolloutEdit, RolloutId, RolloutState, Track, Verb, Which,
};
use tidegate_storage::{
    Attempts, GateFailures, OverdueCounts, Page, Paged, RolloutFilter, SERVICE_PREFIX, Store, TrackChange,
};

pub use forecasts::{Forecasts, MAX_FORECAST_FLEET};
pub use gates::GateView;
pub use steps::Timeline;

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
    /// The build.
    pub build: Build,
    /// Its rollout: current now, unless it waits to be approved or for its time.
    pub rollout: Rollout,
    /// The build that was current before.
    pub previous: Option<BuildId>,
    /// The rollouts above the base, which go on.
    pub going_on: Vec<Rollout>,
}

/// What an adjustment did.
pub struct Adjusted {
    /// The share before.
    pub old: Percent,
    /// The share now, or when it is approved.
    pub new: Percent,
    /// Whether it waits for an approval.
    pub waits: bool,
}

/// What a roll-back did.
pub struct RolledBack {
    /// The build that was taken back.
    pub from: Arc<Build>,
    /// The build that is current now.
    pub to: Arc<Build>,
    /// The rollouts above the base, which go on.
    pub going_on: Vec<Rollout>,
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
        may_ignore_freezes(actor, promotion.settings.ignore_freeze)?;
        let build = self.releasable(actor, id).await?;
        self.require_way_back(&build).await?;
        let rule = {
            let (build, by) = (build.clone(), self.by(actor).await?);
            move |track: &Track, attempts: &Attempts| {
                let change = track.promote(&build, &promotion, attempts.of(id), by.as_by())?;
                // What is as it should be already may be asked for again.
                if !change.is_empty() {
                    still_current(track, seen)?;
                }
                Ok(change)
            }
        };
        let changed = self.change(actor, build.facts.package.clone(), rule).await?;
        let rollout = made(&changed)?;
        let (track, change) = (changed.before, changed.change);
        tell_promotion(actor, &build, &change);
        // A repeated promotion is answered like the first: with the build that it replaced.
        let previous = if change.is_empty() {
            track.predecessor.as_ref()
        } else {
            track.current()
        };
        Ok(Promoted {
            previous: previous.map(|release| release.build.id),
            going_on: going_on(&track),
            rollout: self.get(rollout).await?,
            build,
        })
    }

    /// Makes a rollout. One of priority 0 is the package's base, as a promotion makes it; one above serves some devices
    /// beside all others, until it is ended. One that serves already on the same terms is returned and not made again.
    ///
    /// # Errors
    /// As for [`Rollouts::promote`], and what [`Track::create`] refuses.
    pub async fn create(&self, actor: &Actor, build: BuildId, draft: RolloutDraft) -> Result<Rollout, Error> {
        may_ignore_freezes(actor, draft.promotion.settings.ignore_freeze)?;
        let build = self.releasable(actor, build).await?;
        if draft.priority == 0 {
            self.require_way_back(&build).await?;
        }
        let rule = {
            let (build, by) = (build.clone(), self.by(actor).await?);
            move |track: &Track, attempts: &Attempts| {
                track.create(&build, &draft, attempts.of(build.id), by.as_by())
            }
        };
        let changed = self.change(actor, build.facts.package.clone(), rule).await?;
        let (id, after) = (made(&changed)?, &changed.change.after);
        if after.priority == 0 {
            tell_promotion(actor, &build, &changed.change);
            return self.get(id).await;
        }
        tracing::info!(
            event = "ota.rollout.create",
            actor = actor.subject,
            package_name = %build.facts.package,
            rollout_id = id.0,
            build_id = build.id.0,
            version_code = build.facts.version_code.get(),
            priority = after.priority,
            rollout_percent = after.settings.percent.as_decimal(),
            state = %after.state,
            ignore_freeze = after.settings.ignore_freeze,
            changed = !changed.change.is_empty(),
        );
        self.get(id).await
    }

    /// A build that this person may release, and whose file is there.
    pub(crate) async fn releasable(&self, actor: &Actor, id: BuildId) -> Result<Build, Error> {
        actor.require_some(Role::Operator, Verb::Promote)?;
        let build = self.store.build(id).await?;
        actor.require_verb(Role::Operator, Verb::Promote, Some(&build.facts.package))?;
        self.require_makeable(&build).await?;
        Ok(build)
    }

    /// A build of which a rollout can be made, whoever may do so.
    async fn makeable(&self, id: BuildId) -> Result<Build, Error> {
        let build = self.store.build(id).await?;
        self.require_makeable(&build).await?;
        Ok(build)
    }

    async fn require_makeable(&self, build: &Build) -> Result<(), Error> {
        let id = build.id;
        if self.store.build_deleted_at(id).await?.is_some() {
            return Err(tidegate_storage::Error::BuildDeleted { build: id }.into());
        }
        self.require_file(build, "upload the same file again").await
    }

    /// One rollout.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, id: RolloutId) -> Result<Rollout, Error> {
        Ok(self.store.rollout(id).await?)
    }

    /// How many devices are overdue, of each of these rollouts that serves and whose deadline has passed.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn overdue<'a>(
        &self,
        rollouts: impl IntoIterator<Item = &'a Rollout>,
    ) -> Result<OverdueCounts, Error> {
        let now = self.clock.now();
        let is_past =
            |rollout: &&Rollout| rollout.spec.state.serves() && rollout.spec.settings.install.is_past(now);
        let past: Vec<RolloutId> = rollouts
            .into_iter()
            .filter(is_past)
            .map(|rollout| rollout.id)
            .collect();
        match past.is_empty() {
            true => Ok(OverdueCounts::new()),
            false => Ok(self.store.overdue_of(past, now).await?),
        }
    }

    /// Changes a rollout's terms, if it is still at the revision that the caller saw.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::edit`] refuses.
    pub async fn edit(
        &self,
        actor: &Actor,
        id: RolloutId,
        edit: RolloutEdit,
        seen: u32,
    ) -> Result<Rollout, Error> {
        if edit.chooses_devices() {
            actor.require_some(Role::Operator, Verb::Promote)?;
            let package = self.get(id).await?.spec.package;
            actor.require_verb(Role::Operator, Verb::Promote, Some(&package))?;
        }
        may_ignore_freezes(actor, edit.ignore_freeze == Some(true))?;
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.edit(id, edit.clone(), seen, by.as_by());
        let change = self.change_one(actor, id, Verb::Adjust, rule).await?;
        tracing::info!(
            event = "ota.rollout.edit",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = id.0,
            new_percent = change.after.settings.percent.as_decimal(),
            ignore_freeze = change.after.settings.ignore_freeze,
        );
        self.get(id).await
    }

    /// Changes the share that a rollout is offered to; `seen`: if that one is still at this revision.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::adjust`] and [`Track::require_revision`]
    /// refuse.
    pub async fn adjust(
        &self,
        actor: &Actor,
        which: impl Into<Which>,
        percent: Percent,
        seen: Option<(RolloutId, u32)>,
    ) -> Result<Adjusted, Error> {
        let which = which.into();
        let by = self.by(actor).await?;
        let rule = move |track: &Track| {
            if let Some((rollout, revision)) = seen {
                track.require_revision(rollout, Some(revision))?;
            }
            track.adjust(which, percent, by.as_by())
        };
        let change = self.change_one(actor, which, Verb::Adjust, rule).await?;
        let old = change
            .before
            .as_ref()
            .map_or(percent, |before| before.settings.percent);
        tracing::info!(
            event = "ota.rollout.adjust",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = change.after.rollout_id.map(|id| id.0),
            old_percent = old.as_decimal(),
            new_percent = percent.as_decimal(),
        );
        Ok(Adjusted {
            old,
            new: percent,
            waits: change.after.consent.request.is_some(),
        })
    }

    /// Stops offering a build, in all of its rollouts that serve, or one rollout.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::pause`] refuses.
    pub async fn pause(&self, actor: &Actor, which: impl Into<Which>) -> Result<RolloutState, Error> {
        let which = which.into();
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.pause(which, by.as_by());
        let change = self.change_one(actor, which, Verb::Pause, rule).await?;
        tracing::info!(
            event = "ota.rollout.pause",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = change.after.rollout_id.map(|id| id.0),
        );
        Ok(change.after.state)
    }

    /// Stops offering a build that was found bad, in all of its rollouts that serve, or one rollout.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::halt`] refuses.
    pub async fn halt(&self, actor: &Actor, which: impl Into<Which>) -> Result<RolloutState, Error> {
        let which = which.into();
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.halt(which, by.as_by());
        let change = self.change_one(actor, which, Verb::Pause, rule).await?;
        tracing::info!(
            event = "ota.rollout.halt",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = change.after.rollout_id.map(|id| id.0),
        );
        Ok(change.after.state)
    }

    /// Offers a paused or halted build again. A halted rollout with a gate goes on when all that failed was seen.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::resume`] refuses.
    pub async fn resume(
        &self,
        actor: &Actor,
        which: impl Into<Which>,
        resume: Resume,
    ) -> Result<RolloutState, Error> {
        let which = which.into();
        let package = self.package_for(actor, which, Verb::Resume).await?;
        let by = self.by(actor).await?;
        let rule = move |track: &Track, failures: &GateFailures| {
            track.resume(which, &resume, |rollout| failures.of(rollout), by.as_by())
        };
        let on_record = actor.on_record(self.clock.now());
        let changed = self.store.resume_rollout(package, on_record, rule).await?;
        let change = self.followed(changed).await.change;
        tracing::info!(
            event = "ota.rollout.resume",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = change.after.rollout_id.map(|id| id.0),
            acknowledged_failures = change.after.resumed.acknowledged_failures,
        );
        Ok(change.after.state)
    }

    /// Declares a rollout to everybody done. It goes on serving latecomers.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::complete`] refuses.
    pub async fn complete(&self, actor: &Actor, id: RolloutId) -> Result<RolloutState, Error> {
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.complete(id, by.as_by());
        let change = self.change_one(actor, id, Verb::Adjust, rule).await?;
        tracing::info!(
            event = "ota.rollout.complete",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = change.after.rollout_id.map(|id| id.0),
        );
        Ok(change.after.state)
    }

    /// Ends a rollout before it is done. Its devices are judged by what remains.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], and what [`Track::cancel`] refuses.
    pub async fn cancel(&self, actor: &Actor, id: RolloutId) -> Result<RolloutState, Error> {
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.cancel(id, by.as_by());
        let change = self.change_one(actor, id, Verb::RollBack, rule).await?;
        tracing::info!(
            event = "ota.rollout.cancel",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = change.after.rollout_id.map(|id| id.0),
        );
        Ok(change.after.state)
    }

    /// Takes a rollout back: the current base goes back to its predecessor, any other one ends. Returns the rollout that
    /// was taken back.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], what [`Track::roll_back_rollout`] refuses, and
    /// `file_missing` as for [`Rollouts::roll_back`].
    pub async fn roll_back_rollout(
        &self,
        actor: &Actor,
        id: RolloutId,
        force_downgrade: bool,
    ) -> Result<Rollout, Error> {
        actor.require_some(Role::Operator, Verb::RollBack)?;
        let bad = self.get(id).await?.spec;
        if bad.is_current {
            self.roll_back(actor, Some(bad.package), Some(bad.build), force_downgrade)
                .await?;
            return self.get(id).await;
        }
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.roll_back_rollout(id, force_downgrade, by.as_by());
        let change = self.change_one(actor, id, Verb::RollBack, rule).await?;
        tracing::info!(
            event = "ota.rollout.roll_back",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = id.0,
            force_downgrade,
        );
        self.get(id).await
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
        self.require_predecessor(&package).await?;
        let by = self.by(actor).await?;
        let rule = move |track: &Track, _: &Attempts| {
            still_current(track, bad)?;
            track.roll_back(force_downgrade, by.as_by())
        };
        let track = self.change(actor, package.clone(), rule).await?.before;
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
            going_on: going_on(&track),
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

    /// Refuses to go back to a build whose file is gone.
    async fn require_predecessor(&self, package: &PackageName) -> Result<(), Error> {
        let Some(previous) = self.store.track(package).await?.predecessor else {
            return Ok(());
        };
        let advice = "upload the same file again, or pause the bad build until there is a better one";
        self.require_file(&previous.build, advice).await
    }

    /// Refuses to replace a build that is offered and could not be gone back to. One that is held may be replaced:
    /// whoever lost a file must be able to go on.
    pub(crate) async fn require_way_back(&self, next: &Build) -> Result<(), Error> {
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

    async fn by(&self, actor: &Actor) -> Result<OwnedBy, Error> {
        OwnedBy::of(&self.store, actor, self.clock.now()).await
    }

    /// Applies a rule to what is named.
    async fn change_one(
        &self,
        actor: &Actor,
        which: impl Into<Which>,
        verb: Verb,
        rule: impl Fn(&Track) -> Result<Change, tidegate_domain::Error> + Send + 'static,
    ) -> Result<Change, Error> {
        let package = self.package_for(actor, which.into(), verb).await?;
        let rule = move |track: &Track, _: &Attempts| rule(track);
        let change = self.change(actor, package, rule).await?.change;
        Ok(change)
    }

    /// The package of what is named, where this person may do so to it.
    async fn package_for(&self, actor: &Actor, which: Which, verb: Verb) -> Result<PackageName, Error> {
        actor.require_some(Role::Operator, verb)?;
        let package = match which {
            Which::Build(build) => self.store.build(build).await?.facts.package,
            Which::Rollout(rollout) => self.store.rollout(rollout).await?.spec.package,
        };
        actor.require_verb(Role::Operator, verb, Some(&package))?;
        Ok(package)
    }

    /// Applies a rule to a package's track.
    async fn change(
        &self,
        actor: &Actor,
        package: PackageName,
        rule: impl Fn(&Track, &Attempts) -> Result<Change, tidegate_domain::Error> + Send + 'static,
    ) -> Result<TrackChange, Error> {
        let changed = self
            .store
            .change_track(package, actor.on_record(self.clock.now()), rule)
            .await?;
        Ok(self.followed(changed).await)
    }

    /// Has the catalog rebuilt where something was changed.
    async fn followed(&self, changed: TrackChange) -> TrackChange {
        if !changed.change.is_empty() {
            self.snapshots.follow_own_change().await;
        }
        changed
    }
}

/// The rollout that a change made, or found made already.
fn made(changed: &TrackChange) -> Result<RolloutId, Error> {
    let made = changed.inserted.first().map(|rollout| rollout.id);
    made.or(changed.change.after.rollout_id)
        .ok_or_else(|| Error::internal("making a rollout", &"a change without a rollout in it"))
}

fn tell_promotion(actor: &Actor, build: &Build, change: &Change) {
    tracing::info!(
        event = "ota.promote",
        actor = actor.subject,
        package_name = %build.facts.package,
        build_id = build.id.0,
        version_code = build.facts.version_code.get(),
        rollout_percent = change.after.settings.percent.as_decimal(),
        wifi_only = change.after.settings.wifi_only,
        must_install = change.after.settings.must_install,
        state = %change.after.state,
        changed = !change.is_empty(),
    );
}

/// The rollouts that neither a promotion nor a roll-back of the base ends.
fn going_on(track: &Track) -> Vec<Rollout> {
    let above = track.above_base();
    above.map(|release: &Release| release.rollout.clone()).collect()
}

/// To reach devices during a freeze is for those who answer for the fleet.
fn may_ignore_freezes(actor: &Actor, asked: bool) -> Result<(), Error> {
    match asked {
        true => actor.require(Role::Admin),
        false => Ok(()),
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
pub(crate) struct OwnedBy {
    actor: String,
    on_behalf_of: Option<String>,
    now: chrono::DateTime<chrono::Utc>,
}

impl OwnedBy {
    /// What a service account does counts as its maker's word too.
    pub(crate) async fn of(
        store: &Store,
        actor: &Actor,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Self, Error> {
        let on_behalf_of = match actor.subject.strip_prefix(SERVICE_PREFIX) {
            Some(name) => Some(store.service_account(name).await?.created_by),
            None => None,
        };
        Ok(Self {
            actor: actor.subject.clone(),
            on_behalf_of,
            now,
        })
    }

    pub(crate) fn as_by(&self) -> By<'_> {
        By {
            actor: &self.actor,
            on_behalf_of: self.on_behalf_of.as_deref(),
            now: self.now,
        }
    }
}
