//! What a rollout would do, before anybody makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_domain::forecast::Forecast;
use tidegate_domain::{Build, BuildId, PackageName, Role, RolloutDraft};
use tidegate_storage::ForecastOrder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{OwnedBy, Rollouts};
use crate::{Actor, Error, Kind};

/// The largest fleet of which every device is asked; of a larger one a sample is.
pub const MAX_FORECAST_FLEET: u64 = 1_000_000;

/// How long a forecast may take. A request may take 30 seconds.
const PATIENCE: Duration = Duration::from_secs(25);

/// When somebody who came while another forecast was made is to come again.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// Says what rollouts would do.
pub struct Forecasts {
    rollouts: Arc<Rollouts>,
    interval: Duration,
    most: u64,
    place: Arc<Semaphore>,
}

/// Tells a forecast to stop that nobody waits for any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Forecasts {
    /// Over these rollouts. Devices poll about every `interval`; of a fleet of more than `most` devices a sample is asked.
    pub fn new(rollouts: Arc<Rollouts>, interval: Duration, most: u64) -> Self {
        Self {
            rollouts,
            interval,
            most,
            place: Arc::new(Semaphore::new(1)),
        }
    }

    /// The rollouts that they are about.
    pub fn rollouts(&self) -> &Rollouts {
        &self.rollouts
    }

    /// What a rollout of a build would do, by the poll's own rules for each device of the fleet, and the build's package.
    /// Nothing is changed. Whoever may look may ask; whether they might make it is not asked.
    ///
    /// # Errors
    /// What [`Rollouts::create`] refuses, permissions aside; [`Kind::Unavailable`] while another forecast is made, and for
    /// one that takes too long.
    pub async fn forecast(
        &self,
        actor: &Actor,
        build: BuildId,
        draft: RolloutDraft,
    ) -> Result<(Forecast, PackageName), Error> {
        actor.require(Role::Viewer)?;
        let place = Arc::clone(&self.place).try_acquire_owned();
        self.forecast_at(place.map_err(|_| busy())?, actor, build, draft)
            .await
    }

    /// The same once there is a place, for those who can't do without.
    pub(super) async fn awaited(
        &self,
        actor: &Actor,
        build: BuildId,
        draft: RolloutDraft,
    ) -> Result<Forecast, Error> {
        actor.require(Role::Viewer)?;
        let place = timeout(PATIENCE, Arc::clone(&self.place).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(busy());
        };
        let (forecast, _) = self.forecast_at(place, actor, build, draft).await?;
        Ok(forecast)
    }

    async fn forecast_at(
        &self,
        place: OwnedSemaphorePermit,
        actor: &Actor,
        build: BuildId,
        draft: RolloutDraft,
    ) -> Result<(Forecast, PackageName), Error> {
        let rollouts = &self.rollouts;
        let build = rollouts.makeable(build).await?;
        if draft.priority == 0 {
            rollouts.require_way_back(&build).await?;
        }
        let package = build.facts.package.clone();
        let order = self.order(actor, build, draft).await?;
        let is_waited_for = Arc::new(AtomicBool::new(true));
        let _waiting = Waiting(Arc::clone(&is_waited_for));
        // The place is taken until the work has really ended, not only until nobody waits for it.
        let goes_on = move || {
            let _held = &place;
            is_waited_for.load(Ordering::Acquire)
        };
        let asked = timeout(PATIENCE, rollouts.store.forecast(order, goes_on)).await;
        let forecast = asked.map_err(|_| too_slow())??.ok_or_else(too_slow)?;
        Ok((forecast, package))
    }

    async fn order(&self, actor: &Actor, build: Build, draft: RolloutDraft) -> Result<ForecastOrder, Error> {
        let rollouts = &self.rollouts;
        let OwnedBy {
            actor,
            on_behalf_of,
            now,
        } = OwnedBy::of(&rollouts.store, actor, rollouts.clock.now()).await?;
        Ok(ForecastOrder {
            build,
            draft,
            actor,
            on_behalf_of,
            at: now,
            interval: self.interval,
            most: self.most,
        })
    }
}

fn busy() -> Error {
    let message = "another forecast is being made; try again in a moment";
    Error::new(Kind::Unavailable, "forecast_busy", message).after(COME_AGAIN)
}

fn too_slow() -> Error {
    let message = "the fleet could not be read in time; try again in a moment";
    Error::new(Kind::Unavailable, "unavailable", message)
}
