//! The servers that run on this database.

use tidegate_domain::Role;
use tidegate_storage::{ServerHeartbeat, Store};

use crate::{Actor, Error};

/// Looks at the servers that run beside this one.
pub struct Servers(Store);

impl Servers {
    /// On this database.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// The servers that announced themselves within a day and did not say that they ended, those seen last first.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn list(&self, actor: &Actor) -> Result<Vec<ServerHeartbeat>, Error> {
        actor.require(Role::Admin)?;
        Ok(self.0.servers().await?)
    }
}
