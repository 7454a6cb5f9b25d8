//! Health gates: what their last look found.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::RolloutId;
use tidegate_domain::gate::GateFacts;

use crate::store::run;
use crate::{Error, Store};

/// What a gate's last look found.
#[derive(Clone, Debug, PartialEq)]
pub struct GateLook {
    /// When it looked.
    pub at: DateTime<Utc>,
    /// What it found: [`tidegate_domain::gate::judge`] reads it.
    pub facts: GateFacts,
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
    /// What the gate of a rollout found when it looked last; none before it has looked at all.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_look(&self, rollout: RolloutId) -> Result<Option<GateLook>, Error> {
        run!(self, read, gates::last_look(rollout))
    }

    /// Writes down what a gate would have found, which otherwise takes a fleet. For tests.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    #[cfg(feature = "testing")]
    pub async fn keep_gate_look(&self, rollout: RolloutId, look: GateLook) -> Result<(), Error> {
        run!(self, write, gates::keep_look(rollout, &look))
    }
}
