//! Telling the port that a caller has shown a valid credential.
//!
//! A port counts the connections of those who have shown none, so that a stranger cannot take the places of devices. It
//! cannot check a credential itself, and the many handlers that check one should not each have to remember to say so. So
//! every check that succeeds ends in [`seen`], and whoever runs the request hears of it.

use std::future::Future;
use std::sync::Arc;

/// Hears that the request at hand carries a valid credential.
pub trait CredentialWatch: Send + Sync {
    /// A credential was valid. Called once or several times.
    fn seen(&self);
}

tokio::task_local! {
    static WATCH: Arc<dyn CredentialWatch>;
}

/// Runs a request whose credentials `watch` wants to hear of.
pub fn watch_credentials<F: Future>(
    watch: Arc<dyn CredentialWatch>,
    request: F,
) -> impl Future<Output = F::Output> {
    WATCH.scope(watch, request)
}

/// The same for a request that is answered at once.
pub fn watch_credentials_now<R>(watch: Arc<dyn CredentialWatch>, request: impl FnOnce() -> R) -> R {
    WATCH.sync_scope(watch, request)
}

/// The request at hand carries a valid credential. Outside of a request this does nothing.
pub(crate) fn seen() {
    let _ = WATCH.try_with(|watch| watch.seen());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Heard(AtomicU32);

    impl CredentialWatch for Heard {
        fn seen(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn the_one_who_runs_the_request_hears_of_it_and_nobody_else() {
        let (one, other) = (Arc::<Heard>::default(), Arc::<Heard>::default());
        watch_credentials(Arc::clone(&one) as Arc<dyn CredentialWatch>, async {
            tokio::task::yield_now().await;
            seen();
        })
        .await;
        watch_credentials(Arc::clone(&other) as Arc<dyn CredentialWatch>, async {}).await;
        seen();
        let heard = |heard: &Heard| heard.0.load(Ordering::Relaxed);
        assert_eq!((heard(&one), heard(&other)), (1, 0));
        watch_credentials_now(Arc::clone(&other) as Arc<dyn CredentialWatch>, seen);
        assert_eq!((heard(&one), heard(&other)), (1, 1));
    }
}
