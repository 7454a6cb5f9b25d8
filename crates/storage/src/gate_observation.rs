//! What tests ask of gates: all that a look finds, judged by nobody, and looks at fleets that were never there.

use chrono::TimeDelta;
use tidegate_domain::RolloutId;
use tidegate_domain::gate::{Arms, BlindTimes, Logrank, LostTest, StepCounts};

use crate::store::run;
use crate::{Error, GateAtHand, GateLook, Store};

/// What looks have added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GateLooks {
    /// At silence.
    pub lost: LostTest,
    /// At crashes.
    pub crashing: Logrank,
}

/// What a gate's devices show.
#[derive(Clone, Debug, PartialEq)]
pub struct GateObservation {
    /// The outcomes of the segment's steps, from 0 to the step at hand.
    pub steps: Vec<StepCounts>,
    /// Who is watched for silence.
    pub lost_arms: Arms,
    /// Who is watched for crashes; none where no member tells of any.
    pub crashing_arms: Option<Arms>,
    /// Of control: how many should have been heard within the last hour, and how many were.
    pub control_polls: (u64, u64),
    /// The looks with this one.
    pub looks: GateLooks,
}

impl Store {
    /// Asks all that a gate's look asks, and judges nothing. Who drops what it returns has lost what was found.
    ///
    /// It marks those that fell silent or crashed since the last look, and adds them to `looks`. `interval`: how often devices
    /// poll.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was marked then.
    pub async fn observe_gate(
        &self,
        at: GateAtHand,
        blind: BlindTimes,
        interval: TimeDelta,
        looks: GateLooks,
    ) -> Result<GateObservation, Error> {
        run!(
            self,
            write,
            gate_observation::observe(&at, &blind, interval, &looks)
        )
    }

    /// Writes down what a gate would have found, which otherwise takes a fleet.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn keep_gate_look(&self, rollout: RolloutId, look: GateLook) -> Result<(), Error> {
        run!(self, write, gate_observation::keep_look(rollout, &look))
    }
}
