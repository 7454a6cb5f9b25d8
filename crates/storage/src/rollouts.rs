//! Rollouts: the changes to a package's track, and its history.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    self as domain, BuildId, Change, PackageName, Percent, Rollout, RolloutId, RolloutState, Track,
};

use crate::store::run;
use crate::{Actor, Error, GateFailures, Page, Paged, Store};

/// Which rollouts; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutFilter {
    /// Of this package.
    pub package: Option<PackageName>,
    /// Of this build.
    pub build: Option<BuildId>,
    /// In this state.
    pub state: Option<RolloutState>,
}

/// A build's rollout, and what was released before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRollout {
    /// The rollout.
    pub rollout: Rollout,
    /// The build that a roll-back would return to.
    pub previous_build: Option<BuildId>,
}

/// Something that happened to a rollout, and how it stood afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it: the subject of a credential, or `tidegate` for what a plan does by itself.
    pub actor: String,
    /// The audit log's word for it.
    pub action: String,
    /// The state.
    pub state: RolloutState,
    /// The phase of its plan.
    pub phase: Option<String>,
    /// The step of its plan, from 1.
    pub step: Option<u32>,
    /// The share.
    pub percent: Percent,
    /// Why, in words: what the gate found, or what a person said.
    pub remark: Option<String>,
}

impl RolloutEvent {
    /// Whether a step only goes on by this that its gate kept waiting, as the event before tells.
    pub fn goes_on_from(&self, before: &Self) -> bool {
        let waited = |phase: &str| matches!(phase, "blind" | "waiting_evidence" | "stuck");
        self.action == "ota.rollout.step"
            && before.step == self.step
            && before.phase.as_deref().is_some_and(waited)
            && !self.phase.as_deref().is_some_and(waited)
            && self.phase.as_deref() != Some("done")
    }
}

/// The most events that are told of a package at once.
pub const MAX_PACKAGE_EVENTS: i64 = 200;

/// Something that happened to one of a package's rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageEvent {
    /// The rollout.
    pub rollout: RolloutId,
    /// The build that it offers.
    pub build: BuildId,
    /// Whether it is the rollout's first: what ends or outranks others is among their events too.
    pub begins: bool,
    /// What happened.
    pub event: RolloutEvent,
}

/// How often each build of a package was released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(pub(crate) HashMap<BuildId, u32>);

impl Attempts {
    /// The highest retry generation among the build's rollouts; 0 when there is none.
    pub fn of(&self, build: BuildId) -> u32 {
        self.0.get(&build).copied().unwrap_or(0)
    }
}

/// What [`Store::change_track`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackChange {
    /// What the rule decided. When it is empty, nothing was written.
    pub change: Change,
    /// The rollouts that were added, with their numbers.
    pub inserted: Vec<Rollout>,
    /// The track that the rule looked at.
    pub before: Track,
}

impl Store {
    /// Changes a package's track of releases by a pure rule, in one transaction that holds the package for
    /// itself: loads the track, asks the rule, writes all that it decided together with one audit entry
    /// (the change's action, target `package/<name>`, its facts before and after), and raises the catalog's epoch.
    /// An empty change writes nothing. The rule is asked again when the database wants the transaction run again.
    ///
    /// A package that nobody knows has an empty track.
    ///
    /// # Errors
    /// [`Error::Rule`] when the rule refuses; nothing was written then.
    pub async fn change_track<F>(
        &self,
        package: PackageName,
        actor: Actor,
        rule: F,
    ) -> Result<TrackChange, Error>
    where
        F: Fn(&Track, &Attempts) -> Result<Change, domain::Error> + Send + 'static,
    {
        run!(self, urgent, rollouts::change_track(&package, &actor, &rule))
    }

    /// Resumes a rollout by a pure rule, as [`Store::change_track`] changes a track. The rule is told the failures that gates
    /// have counted of the package's halted rollouts, as they are in the same transaction.
    ///
    /// # Errors
    /// As for [`Store::change_track`].
    pub async fn resume_rollout<F>(
        &self,
        package: PackageName,
        actor: Actor,
        rule: F,
    ) -> Result<TrackChange, Error>
    where
        F: Fn(&Track, &GateFailures) -> Result<Change, domain::Error> + Send + 'static,
    {
        run!(self, urgent, rollouts::resume(&package, &actor, &rule))
    }

    /// One rollout.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn rollout(&self, id: RolloutId) -> Result<Rollout, Error> {
        run!(self, read, rollouts::get(id))
    }

    /// Takes the step of a package's plans that is due first at the actor's time, if one is, as [`Store::change_track`]
    /// changes a track.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn take_step(&self, package: &PackageName, actor: Actor) -> Result<Option<Change>, Error> {
        let package = package.clone();
        run!(self, urgent, rollouts::take_step(&package, &actor))
    }

    /// Writes down how far a package's ramps have come, so that a clock that is set back takes nothing from them. Returns
    /// whether there was something to write.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn keep_floors(&self, package: &PackageName, now: DateTime<Utc>) -> Result<bool, Error> {
        let package = package.clone();
        run!(self, urgent, rollouts::keep_floors(&package, now))
    }

    /// What happened to a rollout, newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn rollout_events(&self, id: RolloutId, page: Page) -> Result<Paged<RolloutEvent>, Error> {
        run!(self, read, rollout_events::list(id, &page))
    }

    /// What happened to a package's rollouts since then, or to those of one of its builds, newest first, at most
    /// [`MAX_PACKAGE_EVENTS`].
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn package_events(
        &self,
        package: &PackageName,
        build: Option<BuildId>,
        from: DateTime<Utc>,
    ) -> Result<Vec<PackageEvent>, Error> {
        let package = package.clone();
        run!(self, read, rollout_events::of_package(&package, build, from))
    }

    /// The track of a package as it stands.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn track(&self, package: &PackageName) -> Result<Track, Error> {
        let package = package.clone();
        run!(self, snapshot, rollouts::track(&package))
    }

    /// The rollouts that match, newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn rollouts(&self, filter: RolloutFilter, page: Page) -> Result<Paged<Rollout>, Error> {
        run!(self, read, rollouts::list(&filter, &page))
    }

    /// Of each of these builds the rollout that serves it, the current one before others and newer before older ones;
    /// for a build that none serves, its last one. Builds that were never released are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn last_rollouts(&self, builds: Vec<BuildId>) -> Result<HashMap<BuildId, BuildRollout>, Error> {
        run!(self, snapshot, rollouts::last_of(&builds))
    }
}
