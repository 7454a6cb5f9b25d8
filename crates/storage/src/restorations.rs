//! What the database is told when a backup was put in its place.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::store::{AnyEngine, run};
use crate::{AuditNote, Error, Store, sqlite};

/// By how much the numbers of builds, rollouts and campaigns skip ahead: what was made since the backup had numbers that
/// devices remember, and that nothing else may get.
pub const NUMBERS_SKIPPED: i64 = 10_000;

/// By how much the generations of people's and machines' tokens skip ahead.
pub const GENERATIONS_SKIPPED: i64 = 1_000;

/// A backup that was put in the place of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// When the server was told.
    pub at: DateTime<Utc>,
    /// The subject that told it.
    pub by: String,
}

impl Store {
    /// Takes note that the tables are those of a backup. All admin tokens end, those that the backup does not know among
    /// them; devices' tokens hold. Numbers skip ahead by [`NUMBERS_SKIPPED`].
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn note_restoration(&self, audit: AuditNote) -> Result<(), Error> {
        run!(self, write, restorations::note(&audit))
    }

    /// The last restoration, until it is dismissed.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn open_restoration(&self) -> Result<Option<Restoration>, Error> {
        run!(self, read, restorations::open())
    }

    /// Takes note that what was revoked since the backup was revoked again. Without an open restoration nothing is
    /// written.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn dismiss_restoration(&self, audit: AuditNote) -> Result<(), Error> {
        run!(self, write, restorations::dismiss(&audit))
    }

    /// Copies the database, as it is at one moment, to a file that must not be there yet, while others go on reading and
    /// writing. The file is its owner's alone. Returns `false` for PostgreSQL, which has a tool of its own for that.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file is there or cannot be written; [`Error::Full`].
    pub async fn copy_to(&self, file: PathBuf) -> Result<bool, Error> {
        match self.engine() {
            AnyEngine::Sqlite(engine) => {
                let copy = move |conn: &mut sqlite::Conn| sqlite::copy_to(conn, &file);
                engine.writers.run(copy).await.map(|()| true)
            }
            AnyEngine::Postgres(_) => Ok(false),
        }
    }
}
