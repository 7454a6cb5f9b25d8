//! Health gates: what their last look found, and the next look.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{Arm, GateFacts, GateReading, Segment};
use tidegate_domain::{Change, DeviceId, PackageName, RolloutId, Share};

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

/// What a look at a package's gates found.
#[derive(Clone, Debug, PartialEq)]
pub struct GatesLooked {
    /// Whether anything was counted or judged otherwise than by the look before.
    pub is_news: bool,
    /// What it changed.
    pub judged: Option<GateJudged>,
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

/// The most treated devices of a step that are watched: the first that come. What 50,000 don't show, more don't either.
pub const MAX_TREATED: i64 = 50_000;

/// A device in an arm of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// The rollout.
    pub rollout: RolloutId,
    /// The device.
    pub device: DeviceId,
    /// Its arm.
    pub arm: Arm,
    /// The step, from 0.
    pub step: u16,
    /// When it entered.
    pub entered: DateTime<Utc>,
}

/// Where a rollout stands when its gate looks.
#[derive(Clone, Copy, Debug)]
pub struct GateAtHand {
    /// The rollout's number.
    pub rollout: i64,
    /// The segment at hand.
    pub segment: Segment,
    /// The step at hand, from 0.
    pub step: u16,
    /// The share now.
    pub share: Share,
    /// The database's time.
    pub now: DateTime<Utc>,
}

/// The failures that gates have counted, of devices with the build and since the rollout began or was resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateFailures(pub(crate) HashMap<RolloutId, u64>);

impl GateFailures {
    /// Those of one rollout; 0 where no gate has looked.
    pub fn of(&self, rollout: RolloutId) -> u64 {
        self.0.get(&rollout).copied().unwrap_or(0)
    }
}

impl Store {
    /// The members of these rollouts' gates that entered from then on, of each arm at most `limit`, the youngest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_members_since(
        &self,
        rollouts: Vec<RolloutId>,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<KnownMember>, Error> {
        run!(self, read, gate_entries::since(&rollouts, since, limit))
    }

    /// How many devices have each of these packages, of those that count.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn fleets(&self, packages: Vec<PackageName>) -> Result<HashMap<PackageName, u64>, Error> {
        run!(self, read, gate_entries::fleets(&packages))
    }

    /// Removes members of gates that nobody watches any more: of rollouts that ended, and those that entered more than
    /// [`tidegate_domain::gate::WATCHED_FOR`] ago. At most `limit` of each arm. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn remove_gate_members(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
        run!(self, write, gate_entries::remove(now, limit))
    }

    /// What was counted of these rollouts: another list means that there is news for their gates.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_mark(&self, rollouts: &[RolloutId]) -> Result<Vec<i64>, Error> {
        let rollouts: Vec<i64> = rollouts.iter().map(|id| id.0).collect();
        run!(self, read, gate_counts::mark(&rollouts))
    }

    /// What the gate of a rollout found when it looked last; none before it has looked at all.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_look(&self, rollout: RolloutId) -> Result<Option<GateLook>, Error> {
        run!(self, read, gates::last_look(rollout))
    }

    /// Has a package's gates look at what happened, at the actor's time, in one transaction: what fell silent or crashed is
    /// found and counted, each rollout is judged, and the first reading that changes something is acted on, with an audit
    /// entry and an event that tell it. Who asks twice acts once.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn look_at_gates(
        &self,
        package: &PackageName,
        actor: Actor,
        question: GateQuestion,
    ) -> Result<GatesLooked, Error> {
        let package = package.clone();
        run!(self, urgent, gates::look(&package, &actor, &question))
    }
}
