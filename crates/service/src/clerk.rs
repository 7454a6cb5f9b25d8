//! The clerk: takes the steps of plans when they are due, on one server at a time.
//!
//! It decides nothing. What is due is a pure rule of the track as it stands in the database, asked and answered in the
//! transaction that writes it, so that a clerk who is killed, or two who overlap, leave the same steps once each. The
//! lease only keeps servers from asking in vain.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{Change, PackageName};
use tidegate_storage::{Actor, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::background::Rhythm;
use crate::gates::Gates;
use crate::nudges::StepNudges;
use crate::{Clock, Error, Snapshots};

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the lease lasts without being prolonged: another server takes over so long after this one was killed.
const LEASE: Duration = Duration::from_secs(2);

/// How often the shares that ramps have reached are written down.
const KEEP_FLOORS_EVERY: TimeDelta = TimeDelta::seconds(60);

/// The subject of what the server does by itself, which no person or service account can have.
pub const CLERK: &str = "tidegate";

const LEASE_NAME: &str = "clerk";

/// Takes steps.
pub struct Clerk {
    store: Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
    nudges: StepNudges,
    gates: Option<Gates>,
    holder: String,
    floors_kept_at: DateTime<Utc>,
}

impl Clerk {
    /// Over this database, looking at these snapshots for what may be due. `wake` notifies this process's sender of
    /// campaigns that steps ask for; without it FCM is not configured, and steps wake nobody.
    pub fn new(
        store: Store,
        snapshots: Arc<Snapshots>,
        clock: Arc<dyn Clock>,
        wake: Option<Arc<Notify>>,
    ) -> Self {
        Self {
            nudges: StepNudges::new(store.clone(), wake),
            gates: None,
            store,
            snapshots,
            floors_kept_at: clock.now(),
            clock,
            holder: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Looks at gates too.
    #[must_use]
    pub fn judging(self, gates: Gates) -> Self {
        let gates = Some(gates);
        Self { gates, ..self }
    }

    /// Looks until `stop` is canceled, and gives the lease back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut rhythm = Rhythm::of(LOOK_EVERY, stop);
        while rhythm.goes_on().await {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the steps that are due could not be taken");
            }
        }
        if let Err(error) = self.store.give_lease_back(LEASE_NAME, &self.holder).await {
            tracing::warn!(%error, "the clerk's lease could not be given back");
        }
    }

    /// Takes what is due: of each package one step, and what one of its gates asks for.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn look(&mut self) -> Result<(), Error> {
        let now = self.clock.now();
        let keeps_floors = (now - self.floors_kept_at).abs() >= KEEP_FLOORS_EVERY;
        let (due, ramping) = self.packages(now, keeps_floors);
        let gated = match &mut self.gates {
            Some(gates) => gates.packages(now).await?,
            None => vec![],
        };
        if due.is_empty() && ramping.is_empty() && gated.is_empty() {
            return Ok(());
        }
        if !self.store.take_lease(LEASE_NAME, &self.holder, LEASE).await? {
            return Ok(());
        }
        let mut changed = false;
        for package in due {
            changed |= self.take_step(&package, now).await?;
        }
        for package in &gated {
            changed |= self.look_at_gates(package, now).await?;
        }
        for package in ramping {
            changed |= self.store.keep_floors(&package, now).await?;
        }
        if keeps_floors {
            self.floors_kept_at = now;
        }
        if changed {
            self.snapshots.follow_own_change().await;
        }
        Ok(())
    }

    /// Takes a package's step, after its nudge was made. Returns whether there was one to take.
    async fn take_step(&self, package: &PackageName, now: DateTime<Utc>) -> Result<bool, Error> {
        let actor = Self::actor(now);
        if self.nudges_now(package, now) && !self.nudges.make(package, &actor).await? {
            return Ok(false);
        }
        let Some(change) = self.store.take_step(package, actor).await? else {
            return Ok(false);
        };
        tell(package, &change);
        self.nudges.tell_if_unable(package, &change);
        Ok(true)
    }

    async fn look_at_gates(&mut self, package: &PackageName, now: DateTime<Utc>) -> Result<bool, Error> {
        match &mut self.gates {
            Some(gates) => gates.look(package, Self::actor(now)).await,
            None => Ok(false),
        }
    }

    fn nudges_now(&self, package: &PackageName, now: DateTime<Utc>) -> bool {
        let catalog = self.snapshots.catalog();
        let track = catalog.track(package.as_str());
        track.is_some_and(|track| track.nudging(now).next().is_some())
    }

    /// The packages of which something is due, and those whose ramps are to be written down.
    fn packages(&self, now: DateTime<Utc>, keeps_floors: bool) -> (Vec<PackageName>, Vec<PackageName>) {
        let catalog = self.snapshots.catalog();
        let due = catalog.tracks().filter(|track| track.due(now).is_some());
        let ramping = catalog
            .tracks()
            .filter(|track| keeps_floors && !track.floors(now).is_empty());
        let name = |track: &tidegate_domain::Track| track.package.clone();
        (due.map(name).collect(), ramping.map(name).collect())
    }

    fn actor(now: DateTime<Utc>) -> Actor {
        Actor {
            subject: CLERK.to_owned(),
            role: CLERK.to_owned(),
            request_id: None,
            now,
        }
    }
}

fn tell(package: &PackageName, change: &Change) {
    let (after, plan) = (&change.after, change.after.plan.as_ref());
    tracing::info!(
        event = "ota.rollout.step",
        actor = CLERK,
        package_name = %package,
        rollout_id = after.rollout_id.map(|id| id.0),
        build_id = after.build_id.0,
        state = %after.state,
        phase = plan.map(|run| run.phase().as_str()),
        step = plan.map(|run| run.progress.step + 1),
        rollout_percent = after.settings.percent.as_decimal(),
    );
}
