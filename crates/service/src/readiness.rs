//! Whether the server can do its work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_artifacts as artifacts;
use tidegate_storage::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Error, Kind};

/// How long an answer is given again without asking anew, so that probes from everywhere cost one question.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// Asks what the server depends on.
pub struct Readiness {
    store: Store,
    artifacts: artifacts::Store,
    draining: AtomicBool,
    /// Held while asking, so that all who ask meanwhile wait for the one answer.
    last: Mutex<Option<(Instant, Result<(), Error>)>>,
}

impl Readiness {
    /// Of these stores.
    pub fn new(store: Store, artifacts: artifacts::Store) -> Self {
        Self {
            store,
            artifacts,
            draining: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// From now on nobody is to be sent here any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the database and the artifact store answer and the server is not about to end.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn check(&self) -> Result<(), Error> {
        if self.draining.load(Ordering::Relaxed) {
            let message = "the server finishes what is under way and takes nothing new";
            return Err(Error::new(Kind::Unavailable, "draining", message));
        }
        let mut last = self.last.lock().await;
        if let Some((asked, answer)) = &*last
            && asked.elapsed() < REMEMBERED_FOR
        {
            return answer.clone();
        }
        let answer = self.ask().await;
        #[allow(clippy::disallowed_methods, reason = "how old an answer really is")]
        let now = Instant::now();
        *last = Some((now, answer.clone()));
        answer
    }

    async fn ask(&self) -> Result<(), Error> {
        self.store.ready().await?;
        self.artifacts.ready().await?;
        Ok(())
    }
}
