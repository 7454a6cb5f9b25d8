//! What a database has already, asked without making one.

use crate::settings::Place;
use crate::store::run;
use crate::{Error, Settings, Store, migrations};

impl Store {
    /// Whether the database is there with its tables, of this version or an earlier one. Creates nothing.
    ///
    /// # Errors
    /// [`Error::Settings`] for a URL that cannot work, [`Error::Unavailable`] when the database does not answer.
    pub async fn is_made(settings: &Settings) -> Result<bool, Error> {
        if let Place::Sqlite(path) = settings.check()?
            && !path.exists()
        {
            return Ok(false);
        }
        let store = Self::connect(settings).await?;
        run!(store, read, epochs::are_there())
    }

    /// The names of the migrations that a database lacks, which are all of them where there is none. Creates nothing.
    ///
    /// # Errors
    /// As [`Store::is_made`], and as [`Store::pending`].
    pub async fn missing_migrations(settings: &Settings) -> Result<Vec<String>, Error> {
        match settings.check()? {
            Place::Sqlite(path) if !path.exists() => migrations::names(),
            _ => Self::connect(settings).await?.pending().await,
        }
    }
}
