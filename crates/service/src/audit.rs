//! Looking at the audit log.

use tidegate_storage::{AuditEntry, AuditFilter, Broken, Page, Paged, Store};

use crate::Error;

/// Looks at the audit log. Entries are written by the use cases that they record.
pub struct AuditLog {
    store: Store,
}

impl AuditLog {
    /// Over this database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Entries, newest first.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, filter: AuditFilter, page: Page) -> Result<Paged<AuditEntry>, Error> {
        Ok(self.store.audit(filter, page).await?)
    }

    /// Recomputes the whole chain: how many entries it has, or where it is broken.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn verify(&self) -> Result<Result<u64, Broken>, Error> {
        Ok(self.store.verify_audit().await?)
    }
}
