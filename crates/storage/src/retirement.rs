//! Devices that leave the fleet: retired, erased, or not seen for so long that they are not counted.

use chrono::{DateTime, Utc};
use tidegate_domain::DeviceId;

use crate::store::run;
use crate::{AuditNote, Error, Store};

/// How far a walk along the devices that were not seen has come. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InactiveCursor {
    /// When the last one was seen, in microseconds; `None` among those that never came.
    pub(crate) last_seen: Option<i64>,
    /// Its number.
    pub(crate) id: i64,
}

/// What a step of that walk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// How many devices are inactive since.
    pub devices: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<InactiveCursor>,
}

impl Store {
    /// Takes a device out of the fleet: it is in no list, count or campaign any more, its token is refused, and what it
    /// failed with is forgotten. Its row and its story stay. Returns whether it was in the fleet; if it was not, nothing
    /// is written.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn retire_device(&self, id: &DeviceId, audit: AuditNote) -> Result<bool, Error> {
        let id = id.clone();
        run!(self, write, retirement::retire(&id, &audit))
    }

    /// Removes all that is known of a device, and with it what the audit log's pseudonym stands for. Statistics stay.
    /// Deliveries that were still queued for it are given up.
    ///
    /// Device tokens need no row to be good, so `tags` keep those of this id out: keyed hashes of it, which whoever
    /// checks tokens can make and whoever reads the database can't. The tokens' epoch rises.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn erase_device(
        &self,
        id: &DeviceId,
        tags: Vec<[u8; 32]>,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let id = id.clone();
        run!(self, write, retirement::erase(&id, &tags, &audit))
    }

    /// The lowest token generation that is accepted from each erased id, by its tag, as far as it was written after this
    /// value of the tokens' epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn erased_since(&self, epoch: i64) -> Result<Vec<([u8; 32], u32)>, Error> {
        run!(self, read, retirement::erased_since(epoch))
    }

    /// Counts devices no longer that were not seen since then, and of those that never came the ones that enrolled
    /// before. Looks at no more than `limit`. Their next poll counts them again.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn mark_inactive(
        &self,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
        after: InactiveCursor,
        limit: u32,
    ) -> Result<Marked, Error> {
        run!(self, write, retirement::mark_inactive(since, now, after, limit))
    }

    /// Counts inactive devices again that were seen since then, or all, at most `limit` of them. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn unmark_inactive(&self, since: Option<DateTime<Utc>>, limit: u32) -> Result<u64, Error> {
        run!(self, write, retirement::unmark_inactive(since, limit))
    }
}
