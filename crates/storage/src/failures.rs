//! How devices fail with a build, by reason.

use chrono::{DateTime, Utc};
use tidegate_domain::BuildId;

use crate::store::run;
use crate::{Error, Store};

/// The most devices, and the most reports, that are counted for one build's failures: what is beyond them is left out,
/// and [`BuildFailures::is_cut`] says so.
pub const MAX_FAILURES_COUNTED: u64 = 100_000;

/// The most reasons that are told, the most frequent first.
pub const MAX_FAILURE_REASONS: usize = 50;

/// How devices fail with a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFailures {
    /// Devices that failed and will try again.
    pub failing: u64,
    /// Devices that gave it up.
    pub given_up: u64,
    /// Devices that failed and succeeded afterwards.
    pub recovered: u64,
    /// By what the devices' last reports said, the most frequent first.
    pub reasons: Vec<FailureReason>,
    /// Whether there were more devices or reports than are counted.
    pub is_cut: bool,
}

/// What the last reports of some devices said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureReason {
    /// Such as `install_failed` or `deferred`.
    pub status: String,
    /// The reason's code.
    pub reason: String,
    /// The devices whose last report says this.
    pub devices: u64,
    /// The devices that reported it in the last 24 hours, and in the 24 hours before.
    pub last_day: u64,
    /// See `last_day`.
    pub day_before: u64,
    /// The same devices by model, the most frequent first; `None`: not stated.
    pub models: Vec<(Option<String>, u64)>,
    /// The same devices by API level, the most frequent first; `None`: not stated.
    pub levels: Vec<(Option<u32>, u64)>,
}

impl Store {
    /// How devices fail with a build, and what became of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn build_failures(&self, build: BuildId, now: DateTime<Utc>) -> Result<BuildFailures, Error> {
        run!(self, snapshot, failures::of_build(build, now))
    }
}
