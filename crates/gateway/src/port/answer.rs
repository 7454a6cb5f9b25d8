//! The requests of one connection, and their answers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures::future::BoxFuture;
use hyper::body::{Frame, SizeHint};
use tidegate_api::PollBody;
use tokio::time::Instant;

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The answers that have something to send, and since when the peer took nothing of it. Over HTTP/1.1 nothing is
    /// here: there a write waits in its place, and the stream has a limit of its own.
    untaken: Mutex<HashMap<u64, Instant>>,
}

impl Requests {
    /// `multiplexed`: the request shares its connection, so that its answer may wait while the connection works.
    pub(super) fn begin(self: &Arc<Self>, multiplexed: bool) -> UnderWay {
        UnderWay {
            requests: Arc::clone(self),
            id: self.begun.fetch_add(1, Ordering::Relaxed),
            multiplexed,
        }
    }

    /// A request was answered at once. Nothing is under way for it: its answer is small and there as a whole.
    pub(super) fn answered_at_once(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have begun, and how many of them have ended.
    pub(super) fn counts(&self) -> (u64, u64) {
        (
            self.begun.load(Ordering::Relaxed),
            self.ended.load(Ordering::Relaxed),
        )
    }

    /// Whether the peer took nothing of an answer for the whole limit.
    pub(super) fn is_stalled(&self, now: Instant, limit: Duration) -> bool {
        let untaken = self.lock();
        untaken
            .values()
            .any(|since| now.saturating_duration_since(*since) >= limit)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered, until the last byte of its answer is handed over.
pub(super) struct UnderWay {
    requests: Arc<Requests>,
    id: u64,
    multiplexed: bool,
}

impl UnderWay {
    /// Notes whether the answer has something that the peer is to take.
    fn has_more(&self, has_more: bool) {
        if !self.multiplexed {
            return;
        }
        let mut untaken = self.requests.lock();
        if has_more {
            #[allow(clippy::disallowed_methods, reason = "how long a peer really takes")]
            untaken.insert(self.id, Instant::now());
        } else {
            untaken.remove(&self.id);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.has_more(false);
        self.requests.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body.
pub(super) enum Answer {
    /// That of a poll.
    Poll(PollBody),
    /// That of a request that was routed. The request is under way until its body is dropped.
    Routed {
        /// What is sent.
        body: Body,
        /// The request.
        under_way: UnderWay,
        /// Ends the answer early.
        cut_off: Option<BoxFuture<'static, ()>>,
    },
}

impl Answer {
    pub(super) fn routed(body: Body, under_way: UnderWay, cut_off: Option<BoxFuture<'static, ()>>) -> Self {
        under_way.has_more(!body.is_end_stream());
        Self::Routed {
            body,
            under_way,
            cut_off,
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let (body, under_way, cut_off) = match self.get_mut() {
            Self::Poll(body) => {
                let frame = Pin::new(body).poll_frame(context);
                return frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})));
            }
            Self::Routed {
                body,
                under_way,
                cut_off,
            } => (body, under_way, cut_off),
        };
        if let Some(cut_off) = cut_off
            && cut_off.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(axum::Error::new("the answer was cut off"))));
        }
        let frame = Pin::new(body).poll_frame(context);
        under_way.has_more(matches!(frame, Poll::Ready(Some(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Poll(body) => body.is_end_stream(),
            Self::Routed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Poll(body) => body.size_hint(),
            Self::Routed { body, .. } => body.size_hint(),
        }
    }
}
