//! What every server keeps in memory, and the numbers that say when it is stale.

use chrono::{DateTime, Utc};
use tidegate_domain::Catalog;

use crate::store::run;
use crate::{Error, Store};

/// Numbers that rise when something changes that servers keep in memory. A server that reads a higher one than it
/// had loads that thing again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Builds, rollouts, policies and calendars: [`Store::load_catalog`]. When it rises, load the rejections too: they are only
    /// those of builds that serve.
    pub catalog: i64,
    /// Revoked devices: [`Store::revoked_generations`].
    pub tokens: i64,
    /// Builds that devices gave up: [`Store::rejections`].
    pub rejections: i64,
    /// Accounts and admin tokens that ended: [`Store::account_changes`].
    pub people: i64,
    /// Tags of devices: [`Store::tags_after`].
    pub tags: i64,
    /// Patches: [`Store::patches`].
    pub patches: i64,
}

impl Store {
    /// The database's time.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn time(&self) -> Result<DateTime<Utc>, Error> {
        run!(self, read, epochs::time())
    }

    /// All packages that release something, with their builds' signers, all policies, the calendars that rollouts name, and
    /// the epochs as they were at that moment. The calendars are not worked out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn load_catalog(&self) -> Result<(Catalog, Epochs), Error> {
        run!(self, snapshot, catalog::load())
    }

    /// The epochs, in one cheap query.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn epochs(&self) -> Result<Epochs, Error> {
        run!(self, read, epochs::all())
    }
}
