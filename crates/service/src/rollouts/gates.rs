//! What gates found.

use chrono::{DateTime, Utc};
use tidegate_domain::gate::{GateReading, GateTerms, RolloutGate, Verdict};
use tidegate_domain::{BuildId, Role, Rollout, RolloutId, RolloutState, Verb};

use tidegate_storage::GateEvidence;

use super::Rollouts;
use crate::{Actor, Error};

/// A rollout's gate, and what it found when it looked last.
pub struct GateView {
    /// The rollout.
    pub rollout: Rollout,
    /// Its gate.
    pub gate: RolloutGate,
    /// What people call the build's version.
    pub version: String,
    /// When it looked last, and what it read; none before it has looked at this segment.
    pub last: Option<(DateTime<Utc>, GateReading)>,
}

impl GateView {
    /// The failures that whoever resumes it must have seen.
    pub fn failures(&self) -> u64 {
        self.last.as_ref().map_or(0, |(_, reading)| reading.failures())
    }

    /// What the gate found, in a sentence.
    pub fn sentence(&self) -> String {
        match &self.last {
            Some((_, reading)) if self.is_halted_by_hand(reading) => {
                format!("Halted by hand. {}", reading.sentence(&self.version))
            }
            Some((_, reading)) => reading.sentence(&self.version),
            None => "Its gate has not looked yet.".to_owned(),
        }
    }

    /// Whether a person halted it, of which the gate knows nothing bad.
    fn is_halted_by_hand(&self, reading: &GateReading) -> bool {
        self.rollout.spec.state == RolloutState::Halted && !matches!(reading.verdict, Verdict::Bad(_))
    }
}

impl Rollouts {
    /// A rollout's gate and what it found.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], with `no_gate` for a rollout without one; [`crate::Kind::Unavailable`].
    pub async fn gate(&self, id: RolloutId) -> Result<GateView, Error> {
        let rollout = self.get(id).await?;
        let state = self.gate_of(rollout).await?;
        state.ok_or_else(|| {
            let message = format!("rollout {id} has no gate: edit it to give it one");
            Error::not_found("no_gate", message)
        })
    }

    /// The same of a rollout at hand; none where it has no gate.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn gate_of(&self, rollout: Rollout) -> Result<Option<GateView>, Error> {
        let Some(gate) = rollout.spec.gate else {
            return Ok(None);
        };
        let look = self.store.gate_look(rollout.id).await?;
        let read = |look: tidegate_storage::GateLook| Some((look.at, gate.reading(look.at, &look.facts)?));
        Ok(Some(GateView {
            version: self.store.build(rollout.spec.build).await?.facts.version_label(),
            last: look.and_then(read),
            rollout,
            gate,
        }))
    }

    /// What a rollout's gate has read so far, oldest first. A reading stays true until the next.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn gate_readings(&self, id: RolloutId) -> Result<Vec<GateEvidence>, Error> {
        Ok(self.store.gate_readings(id).await?)
    }

    /// What is asked of a rollout's gate, for somebody who changes a part of it.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn gate_terms(&self, actor: &Actor, id: RolloutId) -> Result<Option<GateTerms>, Error> {
        actor.require_some(Role::Operator, Verb::Adjust)?;
        Ok(self.get(id).await?.spec.gate.map(|gate| gate.terms))
    }

    /// The gate that a build's package proposes, for somebody who releases the build.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn proposed_gate(&self, actor: &Actor, build: BuildId) -> Result<Option<GateTerms>, Error> {
        actor.require_some(Role::Operator, Verb::Promote)?;
        let package = self.store.build(build).await?.facts.package;
        Ok(self.store.package(&package).await?.gate)
    }
}
