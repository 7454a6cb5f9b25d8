//! Plans by hand, and second persons.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, Coming, PackageName, Role, Rollout, RolloutId, Track, Verb};
use tidegate_storage::{PackageEvent, Page, Paged, RolloutEvent, SERVICE_PREFIX};

use super::Rollouts;
use crate::{Actor, Error, Kind};

/// The longest reason for doing without a second person, in bytes.
const MAX_BREAK_GLASS_BYTES: usize = 1_000;

/// A rollout, and what is to come of it by itself.
pub struct Timeline {
    /// The rollout as it stands.
    pub rollout: Rollout,
    /// The time at which it was looked at.
    pub at: DateTime<Utc>,
    /// What is to come, in its order, as far as it is known.
    pub coming: Vec<Coming>,
}

impl Rollouts {
    /// Begins a scheduled rollout now, or lets one that is held go on.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`], and what [`Track::start`] refuses.
    pub async fn start(&self, actor: &Actor, id: RolloutId) -> Result<Rollout, Error> {
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.start(id, by.as_by());
        let change = self.change_one(actor, id, Verb::Resume, rule).await?;
        tracing::info!(
            event = "ota.rollout.start",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = id.0,
        );
        self.get(id).await
    }

    /// Begins the next step of a plan now, if it is at the step that the caller saw, from 1.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`], and what [`Track::advance`] and [`Track::require_step`] refuse.
    pub async fn advance(&self, actor: &Actor, id: RolloutId, seen: Option<usize>) -> Result<Rollout, Error> {
        let by = self.by(actor).await?;
        let rule = move |track: &Track| {
            track.require_step(id, seen)?;
            track.advance(id, by.as_by())
        };
        let change = self.change_one(actor, id, Verb::Adjust, rule).await?;
        tracing::info!(
            event = "ota.rollout.advance",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = id.0,
            rollout_percent = change.after.settings.percent.as_decimal(),
        );
        self.get(id).await
    }

    /// Holds a rollout's share where it is. Offers go on.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`], and what [`Track::hold`] refuses.
    pub async fn hold(&self, actor: &Actor, id: RolloutId) -> Result<Rollout, Error> {
        let by = self.by(actor).await?;
        let rule = move |track: &Track| track.hold(id, by.as_by());
        let change = self.change_one(actor, id, Verb::Pause, rule).await?;
        tracing::info!(
            event = "ota.rollout.hold",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = id.0,
        );
        self.get(id).await
    }

    /// Approves what waits of a rollout. Only a person who is logged in can, and who has not edited it last. `break_glass`,
    /// the reason of an admin who has nobody to ask, does without the second person.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] with `not_a_person` too, [`Kind::NotFound`], and what [`Track::approve`] refuses.
    pub async fn approve(
        &self,
        actor: &Actor,
        id: RolloutId,
        seen: Option<u32>,
        break_glass: Option<String>,
    ) -> Result<Rollout, Error> {
        match &break_glass {
            Some(reason) => require_reason(actor, reason)?,
            None => self.require_person(actor).await?,
        }
        let (by, reason) = (self.by(actor).await?, break_glass.clone());
        let rule = move |track: &Track| track.approve(id, seen, reason.as_deref(), by.as_by());
        let change = self.change_one(actor, id, Verb::Promote, rule).await?;
        let build = change.after.build_id.0;
        match break_glass {
            None => tracing::info!(
                event = "ota.rollout.approve",
                actor = actor.subject,
                build_id = build,
                rollout_id = id.0,
            ),
            Some(reason) => tracing::warn!(
                event = "ota.rollout.break_glass",
                actor = actor.subject,
                build_id = build,
                rollout_id = id.0,
                reason,
            ),
        }
        self.get(id).await
    }

    /// Refuses what waits of a rollout.
    ///
    /// # Errors
    /// As for [`Rollouts::approve`], and what [`Track::deny`] refuses. Who edited it may deny it.
    pub async fn deny(&self, actor: &Actor, id: RolloutId, seen: Option<u32>) -> Result<Rollout, Error> {
        let by = self.by(actor).await?;
        let rule = move |track: &Track| {
            track.require_revision(id, seen)?;
            track.deny(id, by.as_by())
        };
        let change = self.change_one(actor, id, Verb::Promote, rule).await?;
        tracing::info!(
            event = "ota.rollout.deny",
            actor = actor.subject,
            build_id = change.after.build_id.0,
            rollout_id = id.0,
        );
        self.get(id).await
    }

    /// What happened to a rollout, newest first.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a bad page token, [`Kind::Unavailable`].
    pub async fn events(&self, id: RolloutId, page: Page) -> Result<Paged<RolloutEvent>, Error> {
        Ok(self.store.rollout_events(id, page).await?)
    }

    /// What happened to a package's rollouts since then, or to those of one of its builds, newest first.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn package_events(
        &self,
        package: &PackageName,
        build: Option<BuildId>,
        from: DateTime<Utc>,
    ) -> Result<Vec<PackageEvent>, Error> {
        Ok(self.store.package_events(package, build, from).await?)
    }

    /// What is to come of a rollout.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn timeline(&self, id: RolloutId) -> Result<Timeline, Error> {
        let rollout = self.get(id).await?;
        let track = self.store.track(&rollout.spec.package).await?;
        let serving = track.serving.iter().find(|release| release.rollout.id == id);
        Ok(Timeline {
            coming: serving.map(|release| track.coming(release)).unwrap_or_default(),
            at: self.now(),
            rollout,
        })
    }

    /// The time by which shares are told.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Refuses everybody but a person who is logged in: neither a service account nor a token that was handed out can say
    /// that a second pair of eyes has looked.
    async fn require_person(&self, actor: &Actor) -> Result<(), Error> {
        actor.require(Role::Operator)?;
        let handed_out = match &actor.credential {
            Some(credential) => self.store.is_handed_out(&credential.token_id).await?,
            None => true,
        };
        if !handed_out && !actor.subject.starts_with(SERVICE_PREFIX) {
            return Ok(());
        }
        let message = "only a person who is logged in can approve, not a service account, a token that was handed out or \
                       the console";
        Err(Error::new(Kind::Forbidden, "not_a_person", message))
    }
}

/// What doing without a second person takes: an admin, no machine, and a reason.
fn require_reason(actor: &Actor, reason: &str) -> Result<(), Error> {
    actor.require(Role::Admin)?;
    if actor.subject.starts_with(SERVICE_PREFIX) {
        let message = "a service account can't do without a second person";
        return Err(Error::new(Kind::Forbidden, "not_a_person", message));
    }
    if reason.trim().is_empty() || reason.len() > MAX_BREAK_GLASS_BYTES {
        let fault = format!("must say why, in 1 to {MAX_BREAK_GLASS_BYTES} bytes");
        return Err(Error::invalid("break_glass", fault));
    }
    Ok(tidegate_domain::check_visible("break_glass", reason, true)?)
}
