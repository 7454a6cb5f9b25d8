//! When a backup was put in the place of the database.

use std::sync::Arc;

use tidegate_domain::Role;
use tidegate_storage::{Restoration, Store};

use crate::{Actor, Clock, Error, Snapshots};

/// Tells the server of restored backups, and what is left to do after one.
pub struct Restorations {
    store: Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

impl Restorations {
    /// Over this database, refreshing these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            snapshots,
            clock,
        }
    }

    /// Takes note that the tables are those of a backup: people's and machines' tokens end, devices' hold, and numbers skip
    /// ahead. Until somebody dismisses it, [`Restorations::open`] tells of it.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn restored(&self, actor: &Actor) -> Result<(), Error> {
        actor.require(Role::Admin)?;
        let note = actor
            .on_record(self.clock.now())
            .note("server.restored", "server");
        self.store.note_restoration(note).await?;
        self.snapshots.follow_own_change().await;
        tracing::warn!(event = "ota.server.restored", actor = actor.subject);
        Ok(())
    }

    /// The last restoration after which nobody has said yet that the revocations since the backup were repeated.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn open(&self) -> Result<Option<Restoration>, Error> {
        Ok(self.store.open_restoration().await?)
    }

    /// Takes note that the revocations since the backup were repeated.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn dismiss(&self, actor: &Actor) -> Result<(), Error> {
        actor.require(Role::Operator)?;
        let note = actor
            .on_record(self.clock.now())
            .note("server.restored.dismiss", "server");
        Ok(self.store.dismiss_restoration(note).await?)
    }
}
