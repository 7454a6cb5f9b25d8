//! What is removed after its time. Each call is one short transaction.

use chrono::{DateTime, Utc};

use crate::store::run;
use crate::{Error, Store};

/// What a step along a table removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// How many rows.
    pub rows: u64,
    /// Where to go on; `None` when nothing old was met.
    pub next: Option<i64>,
}

impl Store {
    /// Removes reports from before then, of at most `limit` that are looked at behind the number `after`. They
    /// deduplicate: a report that comes again after it was removed counts again.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn remove_reports(
        &self,
        before: DateTime<Utc>,
        after: i64,
        limit: u32,
    ) -> Result<Removed, Error> {
        run!(self, write, retention::reports(before, after, limit))
    }

    /// Removes hourly statistics and what gates have read from before then, at most `limit` rows of a table. The totals stay. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn remove_stat_hours(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
        run!(self, write, retention::stat_hours(before, limit))
    }

    /// Removes who changed devices' tags before then, at most `limit` changes. The tags stay as they are. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn remove_tag_changes(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
        run!(self, write, retention::tag_changes(before, limit))
    }

    /// Removes the deliveries of the oldest campaign that ended before then and that nothing counts for any more, at most
    /// `limit`, and with the last of them the campaign. Returns how many rows.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn remove_campaigns(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
        run!(self, write, retention::campaigns(before, limit))
    }

    /// Removes what devices did that were retired before then, of at most `limit` devices. Their rows stay, and so do
    /// the statistics. Returns of how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn remove_stories(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
        run!(self, write, retirement::remove_old_stories(before, limit))
    }
}
