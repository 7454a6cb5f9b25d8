//! Health gates: what their last look found.

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

impl Store {
    /// What the gate of a rollout found when it looked last; none before it has looked at all.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_look(&self, rollout: RolloutId) -> Result<Option<GateLook>, Error> {
        run!(self, read, gates::last_look(rollout))
    }
}
