//! What a gate has read since its rollout began, so that a page can show how its evidence grew.

use chrono::{DateTime, Utc};
use tidegate_domain::RolloutId;

use crate::store::run;
use crate::{Error, Store};

/// The most readings that are kept of a rollout. Beyond it every second one goes, so that the past gets coarser.
pub const MAX_GATE_READINGS: usize = 500;

/// The evidence that a gate had at one time: natural logarithms of e-values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateEvidence {
    /// The minute of the reading; of several in a minute it is the last.
    pub minute: DateTime<Utc>,
    /// That too many devices fail.
    pub failed: f64,
    /// That too many are sent a damaged file.
    pub corrupt: f64,
    /// That devices fall silent; none where that was not measured.
    pub lost: Option<f64>,
    /// That devices crash; none where that was not measured.
    pub crashing: Option<f64>,
    /// That the step at hand is good; none for a small fleet.
    pub good: Option<f64>,
}

impl Store {
    /// What the gate of a rollout has read, oldest first, at most [`MAX_GATE_READINGS`]. A reading stays true until the
    /// next: a look that finds nothing new leaves none.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn gate_readings(&self, rollout: RolloutId) -> Result<Vec<GateEvidence>, Error> {
        run!(self, read, gate_readings::list(rollout))
    }
}
