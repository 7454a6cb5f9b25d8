//! Looking at the audit log.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tidegate_storage::{AuditEntry, AuditFilter, Broken, Page, Paged, Sealed, Store, Tampered};
use tokio::sync::Semaphore;

use crate::{Clock, Error, Kind};

/// Looks at the audit log. Entries are written by the use cases that they record.
pub struct AuditLog {
    store: Store,
    clock: Arc<dyn Clock>,
    /// A walk takes as long as the log is and holds a connection to the database, so there is one at a time.
    walking: Arc<Semaphore>,
    last: Arc<Mutex<Option<Walk>>>,
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// How many entries the chain has, or where it is broken.
    pub found: Result<u64, Broken>,
    /// How the record began, and with it the MACs; `None`: it has not, and the chain has hashes alone.
    pub sealed: Option<Sealed>,
    /// Accounts that were changed behind the server's back.
    pub tampered: Tampered,
    /// When the walk ended.
    pub at: DateTime<Utc>,
}

impl Walk {
    /// Whether everything is as the server wrote it.
    pub fn is_intact(&self) -> bool {
        self.found.is_ok() && self.tampered == Tampered::default()
    }
}

impl AuditLog {
    /// Over this database.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            walking: Arc::new(Semaphore::new(1)),
            last: Arc::default(),
        }
    }

    /// Entries, newest first.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, filter: AuditFilter, page: Page) -> Result<Paged<AuditEntry>, Error> {
        Ok(self.store.audit(filter, page).await?)
    }

    /// Recomputes the whole chain, and looks at every account. The walk goes on when its caller has left, and [`AuditLog::last_walk`] tells what it
    /// found.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] while another walk is under way; [`crate::Kind::Conflict`] with `record_tampered` when the
    /// record itself was changed, [`crate::Kind::Unavailable`].
    pub async fn verify(&self) -> Result<Walk, Error> {
        let busy = |_| {
            let message = "the chain is being checked already; look again in a moment";
            Error::new(Kind::Exhausted, "chain_is_checked", message)
        };
        let place = Arc::clone(&self.walking).try_acquire_owned().map_err(busy)?;
        let (store, clock, last) = (
            self.store.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.last),
        );
        let walk = tokio::spawn(async move {
            let _place = place;
            let found = store.verify_audit().await?;
            let walk = Walk {
                found,
                sealed: store.sealed().await?,
                tampered: store.tampered_accounts().await?,
                at: clock.now(),
            };
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(walk.clone());
            Ok(walk)
        });
        walk.await
            .unwrap_or_else(|fault| Err(Error::internal("checking the audit log", &fault)))
    }

    /// The last walk since the server started.
    pub fn last_walk(&self) -> Option<Walk> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
