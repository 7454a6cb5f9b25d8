//! The requests of one connection, and whether the connection is worth keeping.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures::future::BoxFuture;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::SILENCE_LIMIT;

/// How often is looked whether a peer takes its answers, within the time that it has for it.
const LOOKS: u32 = 4;

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The answers that have something to send, and since when the peer took nothing of it. Over HTTP/1.1 nothing is
    /// here: there a write waits in its place, and the stream has a limit of its own.
    untaken: Mutex<HashMap<u64, Instant>>,
}

/// Why a connection is not kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was under way for the whole limit.
    Silence,
    /// The peer took nothing of an answer for the whole limit.
    Stall,
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

    /// Waits for a reason to end the connection. hyper limits the silence of HTTP/1.1 alone, and only from a request's
    /// first line on; a peer that answers pings would otherwise be kept for ever.
    pub(super) async fn end(&self, stall: Duration) -> End {
        tokio::select! {
            () = self.silence() => End::Silence,
            () = self.stall(stall) => End::Stall,
        }
    }

    async fn silence(&self) {
        let mut before = 0;
        loop {
            tokio::time::sleep(SILENCE_LIMIT).await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == before && begun == self.ended.load(Ordering::Relaxed) {
                return;
            }
            before = begun;
        }
    }

    async fn stall(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / LOOKS).await;
            if self.lock().values().any(|since| since.elapsed() >= limit) {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Instant>> {
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

/// An answer's body. Its request is under way until it is dropped.
pub(super) struct Answer {
    body: Body,
    under_way: UnderWay,
    /// Ends the answer early.
    cut_off: Option<BoxFuture<'static, ()>>,
}

impl Answer {
    pub(super) fn new(body: Body, under_way: UnderWay, cut_off: Option<BoxFuture<'static, ()>>) -> Self {
        under_way.has_more(!body.is_end_stream());
        Self {
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
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(cut_off) = &mut self.cut_off
            && cut_off.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(axum::Error::new("the answer was cut off"))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.under_way.has_more(matches!(frame, Poll::Ready(Some(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::stream;

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    async fn end(requests: &Requests) -> Option<End> {
        tokio::time::timeout(3 * SILENCE_LIMIT, requests.end(STALL))
            .await
            .ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_while_an_answer_is_under_way_and_not_for_ever_after() {
        let requests = Arc::new(Requests::default());
        assert_eq!(end(&requests).await, Some(End::Silence), "a silent one");
        let under_way = requests.begin(true);
        assert_eq!(end(&requests).await, None, "a request that takes long");
        drop(under_way);
        assert_eq!(
            end(&requests).await,
            Some(End::Silence),
            "one that only answers pings"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_now_and_then_is_kept() {
        let requests = Arc::new(Requests::default());
        let asking = async {
            loop {
                drop(requests.begin(true));
                tokio::time::sleep(SILENCE_LIMIT / 2).await;
            }
        };
        tokio::select! {
            () = asking => {}
            ended = end(&requests) => assert_eq!(ended, None),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_its_connection_and_one_that_has_nothing_to_say_does_not() {
        let requests = Arc::new(Requests::default());
        let untaken = Answer::new(Body::from("text"), requests.begin(true), None);
        let begun = Instant::now();
        assert_eq!(end(&requests).await, Some(End::Stall));
        assert!(begun.elapsed() <= STALL + STALL / LOOKS);
        drop(untaken);

        let quiet = stream::pending::<Result<Bytes, axum::Error>>();
        let mut listening = Answer::new(Body::from_stream(quiet), requests.begin(true), None);
        let listens = std::future::poll_fn(|context| Pin::new(&mut listening).poll_frame(context));
        tokio::select! {
            _ = listens => {}
            ended = end(&requests) => assert_eq!(ended, None, "live numbers"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_slowly_is_kept() {
        let requests = Arc::new(Requests::default());
        let chunks = stream::repeat_with(|| Ok::<_, axum::Error>(Bytes::from_static(b"chunk"))).boxed();
        let mut long = Answer::new(Body::from_stream(chunks), requests.begin(true), None);
        let slow = async {
            loop {
                tokio::time::sleep(STALL / 2).await;
                std::future::poll_fn(|context| Pin::new(&mut long).poll_frame(context)).await;
            }
        };
        tokio::select! {
            () = slow => {}
            ended = end(&requests) => assert_eq!(ended, None),
        }
    }
}
