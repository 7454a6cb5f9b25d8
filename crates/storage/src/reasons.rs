//! Why devices failed or waited, counted as their reports are written.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, ReportStatus};

use crate::store::run;
use crate::{Error, Store};

/// The most reasons of one build and rollout that are kept apart: they are the devices' own words, and a device may invent
/// any number of them. Further ones count without their words.
pub const MAX_REASONS: usize = 100;

/// How often a build failed, or was put off, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonCount {
    /// What was reported.
    pub status: ReportStatus,
    /// The device's word for why, or `android_status 4` when it gave only Android's code; `None` for neither, and
    /// for reasons beyond [`MAX_REASONS`].
    pub reason: Option<String>,
    /// How many reports said so.
    pub reports: i64,
    /// When the last of them came.
    pub last_at: DateTime<Utc>,
}

impl Store {
    /// The reasons that were reported for a build's failures and delays, most frequent first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn reasons(&self, build: BuildId) -> Result<Vec<ReasonCount>, Error> {
        run!(self, read, reasons::list(build))
    }
}
