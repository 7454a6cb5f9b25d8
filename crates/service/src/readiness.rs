//! Whether the server can do its work.

use tidegate_artifacts as artifacts;
use tidegate_storage::Store;

use crate::Error;

/// Asks what the server depends on.
pub struct Readiness {
    store: Store,
    artifacts: artifacts::Store,
}

impl Readiness {
    /// Of these stores.
    pub fn new(store: Store, artifacts: artifacts::Store) -> Self {
        Self { store, artifacts }
    }

    /// Whether the database and the artifact store answer.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn check(&self) -> Result<(), Error> {
        self.store.ready().await?;
        self.artifacts.ready().await?;
        Ok(())
    }
}
