//! Servers that run on this database. Migrations wait for those that were seen lately: a server that meets tables of
//! another version fails in its queries, or writes what the new tables no longer expect.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::store::run;
use crate::{Error, Store};

/// How often a server announces itself.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// How long a server is taken to run after it announced itself last: several announcements may be late or lost.
pub const HEARTBEAT_FRESH_FOR: Duration = Duration::from_secs(30);

/// How long a server that ended without [`Store::leave`] stays in the table.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// How many servers are listed at most. Far fewer run on one database.
pub const MAX_SERVERS_LISTED: i64 = 200;

/// A server as it announced itself last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHeartbeat {
    /// Names the process.
    pub id: String,
    /// The version that it runs.
    pub version: String,
    /// When it began, by its own clock.
    pub started_at: DateTime<Utc>,
    /// How long ago it announced itself last, by the database's clock.
    pub seen_ago: Duration,
}

impl ServerHeartbeat {
    /// Whether it is taken to run: it was seen within [`HEARTBEAT_FRESH_FOR`].
    pub fn is_fresh(&self) -> bool {
        self.seen_ago < HEARTBEAT_FRESH_FOR
    }
}

impl Store {
    /// The servers that announced themselves within a day and did not say that they ended, those seen last first; at most
    /// [`MAX_SERVERS_LISTED`].
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn servers(&self) -> Result<Vec<ServerHeartbeat>, Error> {
        run!(self, read, servers::list())
    }

    /// Notes that a server of this version runs, to be called each [`HEARTBEAT_EVERY`]. `id` names the process: no two
    /// that run may share one. The first call keeps `now` as its start.
    ///
    /// When it was seen is written by the database's clock, so that the servers' clocks need not agree.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn announce(&self, id: &str, version: &str, now: DateTime<Utc>) -> Result<(), Error> {
        let (id, version) = (id.to_owned(), version.to_owned());
        run!(self, write, servers::announce(&id, &version, now))
    }

    /// Notes that a server has ended, so that migrations need not wait for it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn leave(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        run!(self, write, servers::leave(&id))
    }
}
