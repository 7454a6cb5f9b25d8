//! Whether there is a database already, asked without making one.

use crate::settings::Place;
use crate::store::run;
use crate::{Error, Settings, Store};

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
}
