//! How much of a form is held that no part of it has yielded yet.
//!
//! A part's head has no length, and the form's parser holds it until it ends: one without an end would have it hold
//! all that comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use futures::StreamExt as _;

/// How many bytes may be held. The parser reads ahead while the network brings more, so the bound leaves it room.
pub(crate) const MAX_BACKLOG_BYTES: usize = 32 * 1024 * 1024;

/// Counts what is held of one form.
#[derive(Clone, Default)]
pub(crate) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Ends a body of which more than [`MAX_BACKLOG_BYTES`] are held.
    pub(crate) fn watch(&self, body: Body) -> Body {
        let held = Arc::clone(&self.0);
        Body::from_stream(body.into_data_stream().map(move |bytes| {
            let bytes = bytes?;
            let before = held.fetch_add(bytes.len(), Ordering::Relaxed);
            if before + bytes.len() > MAX_BACKLOG_BYTES {
                return Err(axum::Error::new("a part of the form has no end to its head"));
            }
            Ok(bytes)
        }))
    }

    /// Notes what a part has yielded. Heads are never noted: there are few of them.
    pub(crate) fn yielded(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const MEGABYTE: usize = 1024 * 1024;

    /// How many megabytes get through when each is yielded, or none is.
    async fn through(yields: bool) -> usize {
        let backlog = Backlog::default();
        let endless = stream::repeat_with(|| Ok::<_, axum::Error>(vec![b'x'; MEGABYTE])).take(100);
        let mut body = backlog.watch(Body::from_stream(endless)).into_data_stream();
        let mut megabytes = 0;
        while let Some(Ok(bytes)) = body.next().await {
            megabytes += 1;
            if yields {
                backlog.yielded(bytes.len());
            }
        }
        megabytes
    }

    #[tokio::test]
    async fn what_no_part_yields_has_a_bound_and_a_file_has_none() {
        assert_eq!(through(false).await, MAX_BACKLOG_BYTES / MEGABYTE);
        assert_eq!(through(true).await, 100);
    }
}
