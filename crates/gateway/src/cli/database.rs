//! `tidegate migrate`.

use tidegate_storage::Store;

use crate::{Config, Error, keys};

/// Runs the migrations that are missing, or only names them.
pub(super) async fn migrate(config: &Config, dry_run: bool) -> Result<String, Error> {
    let fault = |fault: tidegate_storage::Error| Error::unusable("database_url")(&fault);
    let names = if dry_run {
        Store::missing_migrations(&config.database).await.map_err(fault)?
    } else {
        keys::create_folder(&config.data_dir)?;
        let store = Store::connect(&config.database).await.map_err(fault)?;
        store.migrate().await.map_err(fault)?
    };
    Ok(match (names.is_empty(), dry_run) {
        (true, _) => "the tables are up to date".to_owned(),
        (false, true) => format!("would run: {}", names.join(", ")),
        (false, false) => format!("ran: {}", names.join(", ")),
    })
}
