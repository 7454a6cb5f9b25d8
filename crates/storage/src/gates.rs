//! Health gates: what their last look found, and the next look.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{GateFacts, GateReading};
use tidegate_domain::{Change, PackageName, RolloutId};

use crate::store::run;
use crate::{Actor, Error, Store};

/// What a gate's last look found.
#[derive(Clone, Debug, PartialEq)]
pub struct GateLook {
    /// When it found something new.
    pub at: DateTime<Utc>,
    /// What it found: [`tidegate_domain::gate::judge`] reads it.
    pub facts: GateFacts,
}

/// What a look needs to know that is not in the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateQuestion {
    /// How many devices the package has.
    pub fleet: u64,
    /// How often a device is asked to poll.
    pub poll_interval: TimeDelta,
}

/// What a gate's reading changed.
#[derive(Clone, Debug, PartialEq)]
pub struct GateJudged {
    /// The rollout.
    pub rollout: RolloutId,
    /// What was done.
    pub change: Change,
    /// The reading that led to it.
    pub reading: GateReading,
    /// The same in a sentence.
    pub sentence: String,
}

impl Store {
    /// What the gate of a rollout found when it looked last; none before it has looked at all.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_look(&self, rollout: RolloutId) -> Result<Option<GateLook>, Error> {
        run!(self, read, gates::last_look(rollout))
    }

    /// Has a package's gates look at what happened, at the actor's time, in one transaction: what fell silent or crashed is
    /// found and counted, each rollout is judged, and the first reading that changes something is acted on, with an audit
    /// entry and an event that tell it. Who asks twice acts once. Returns what was changed.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn look_at_gates(
        &self,
        package: &PackageName,
        actor: Actor,
        question: GateQuestion,
    ) -> Result<Option<GateJudged>, Error> {
        let package = package.clone();
        run!(self, urgent, gates::look(&package, &actor, &question))
    }
}
