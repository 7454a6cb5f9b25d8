//! Nudges that hang on the steps of plans: they wake whom a step adds, once its share is reached.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{Change, NudgeOrder, PackageName, Rollout, Stage};
use tidegate_storage::{Actor, NewCampaign, Store};
use tokio::sync::Notify;

use super::begun;
use crate::clerk::CLERK;
use crate::{Error, Kind};

/// For how long a step waits for a campaign that the database does not take. Then it goes on without: a plan must not hang
/// on a nudge.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::minutes(5);

/// Makes the campaigns of steps.
pub(crate) struct StepNudges {
    store: Store,
    /// None: FCM is not configured.
    wake: Option<Arc<Notify>>,
}

impl StepNudges {
    pub(crate) fn new(store: Store, wake: Option<Arc<Notify>>) -> Self {
        Self { store, wake }
    }

    /// Makes the campaigns of a package's steps whose shares have just been reached, before these steps go on: whoever is
    /// killed in between is followed by somebody who makes the same campaigns again, which the database knows by their
    /// keys. Returns whether the package's steps may go on.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the track can't be read.
    pub(crate) async fn make(&self, package: &PackageName, by: &Actor) -> Result<bool, Error> {
        let Some(wake) = &self.wake else { return Ok(true) };
        let track = self.store.track(package).await?;
        let mut go_on = true;
        for rollout in track.nudging(by.now) {
            if let Err(error) = self.make_one(package, rollout, by, wake).await {
                go_on &= error.kind != Kind::Unavailable || is_late(rollout, by.now);
                tell_nobody(package, rollout, &error.message);
            }
        }
        Ok(go_on)
    }

    async fn make_one(
        &self,
        package: &PackageName,
        rollout: &Rollout,
        by: &Actor,
        wake: &Notify,
    ) -> Result<(), Error> {
        let new = NewCampaign {
            order: NudgeOrder::behind(package.clone(), rollout.id).checked()?,
            request_id: uuid::Uuid::new_v4().to_string(),
            idempotency_key: Some(format!("step/{}/{}", rollout.id, step(rollout))),
        };
        let (campaign, is_new) = self.store.create_campaign(new, by.clone()).await?;
        if is_new {
            begun(&campaign, wake);
        }
        Ok(())
    }

    /// Tells of a step that went on that nobody was woken, where this server can't wake anybody.
    pub(crate) fn tell_if_unable(&self, package: &PackageName, change: &Change) {
        if self.wake.is_some() {
            return;
        }
        let begins_to_bake = |rollout: &&Rollout| {
            let run = rollout.spec.plan.as_ref();
            run.is_some_and(|run| run.progress.stage == Stage::Baking && run.step().nudge)
        };
        for rollout in change.updates.iter().filter(begins_to_bake) {
            tell_nobody(
                package,
                rollout,
                "TIDEGATE_FCM_SERVICE_ACCOUNT names no service account",
            );
        }
    }
}

/// The step at hand, from 1.
fn step(rollout: &Rollout) -> usize {
    let run = rollout.spec.plan.as_ref();
    run.map_or(0, |run| run.progress.step + 1)
}

fn is_late(rollout: &Rollout, now: DateTime<Utc>) -> bool {
    let run = rollout.spec.plan.as_ref();
    run.is_none_or(|run| now - run.progress.until > GIVEN_UP_AFTER)
}

fn tell_nobody(package: &PackageName, rollout: &Rollout, why: &str) {
    tracing::warn!(
        event = "ota.rollout.nobody_woken",
        actor = CLERK,
        package_name = %package,
        rollout_id = rollout.id.0,
        step = step(rollout),
        why,
    );
}
