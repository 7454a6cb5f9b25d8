//! The connections of a port, and whether each is worth keeping.
//!
//! One task looks at all of them now and then. A timer in each connection would cost every poll its setting.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::SILENCE_LIMIT;
use super::answer::Requests;
use super::ending::{Ending, Order};

/// How often within a limit is looked whether a connection has passed it.
const LOOKS: u32 = 5;

/// The connections of a port.
#[derive(Default)]
pub(super) struct Connections {
    next: AtomicU64,
    all: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// A connection.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) ending: Arc<Ending>,
    pub(super) requests: Arc<Requests>,
    /// How many requests had begun when it was looked at last.
    begun: AtomicU64,
    /// How many looks in a row found nothing under way and nothing new.
    silent: AtomicU32,
}

/// A connection's place among the others, until it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    pub(super) connection: Arc<Connection>,
}

impl Connections {
    /// A place for one more.
    pub(super) fn admit(self: &Arc<Self>) -> Place {
        let connection = Arc::<Connection>::default();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Arc::clone(&connection));
        Place {
            connections: Arc::clone(self),
            id,
            connection,
        }
    }

    /// Ends those that are silent, or whose peer takes nothing of an answer, for as long as this is polled.
    pub(super) async fn keep_worthy(&self, stall: Duration) {
        let every = |limit: Duration| {
            let mut interval = tokio::time::interval(limit / LOOKS);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (mut silence, mut stalls) = (every(SILENCE_LIMIT), every(stall));
        loop {
            tokio::select! {
                _ = silence.tick() => self.end_if(Connection::is_silent),
                now = stalls.tick() => self.end_if(|connection| connection.requests.is_stalled(now, stall)),
            }
        }
    }

    fn end_if(&self, unworthy: impl Fn(&Connection) -> bool) {
        for connection in self.lock().values().filter(|connection| unworthy(connection)) {
            connection.ending.order(Order::End);
        }
    }

    /// Has all of them finish what is under way.
    pub(super) fn finish(&self) {
        for connection in self.lock().values() {
            connection.ending.order(Order::Finish);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Whether nothing was under way for the whole limit, by looks that are `SILENCE_LIMIT / LOOKS` apart. hyper limits the
    /// silence of HTTP/1.1 alone; a peer that answers pings would otherwise be kept for ever.
    fn is_silent(&self) -> bool {
        let (begun, ended) = self.requests.counts();
        let is_new = self.begun.swap(begun, Ordering::Relaxed) != begun;
        if is_new || begun != ended {
            self.silent.store(0, Ordering::Relaxed);
            return false;
        }
        // The first look came some time after the last request.
        self.silent.fetch_add(1, Ordering::Relaxed) >= LOOKS
    }

    /// Runs `work`, such as a handshake, unless the connection is ended meanwhile.
    pub(super) async fn unless_ended<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| match self.ending.asked(context) {
            Order::End => Poll::Ready(None),
            Order::GoOn | Order::Finish => work.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// Answers the requests of a connection of hyper's until it ends; `finish` has it take no more.
    pub(super) async fn converse<C: Future>(
        &self,
        mut connection: Pin<Box<C>>,
        finish: impl Fn(Pin<&mut C>),
    ) {
        let mut is_finishing = false;
        std::future::poll_fn(|context| {
            match self.ending.asked(context) {
                Order::GoOn => {}
                Order::Finish if is_finishing => {}
                Order::Finish => {
                    is_finishing = true;
                    finish(connection.as_mut());
                }
                Order::End => return Poll::Ready(()),
            }
            // Not logged how it ends: peers break off, or break the protocol, all the time.
            connection.as_mut().poll(context).map(drop)
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes, HttpBody as _};
    use futures::StreamExt as _;
    use futures::stream;
    use tokio::time::Instant;

    use super::super::answer::Answer;
    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    /// How long the connection is kept; `None` for much longer than any limit.
    async fn kept(connections: &Arc<Connections>, place: &Place) -> Option<Duration> {
        let begun = Instant::now();
        tokio::select! {
            () = connections.keep_worthy(STALL) => unreachable!("it looks for ever"),
            () = place.connection.ending.ended() => Some(begun.elapsed()),
            () = tokio::time::sleep(4 * SILENCE_LIMIT) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_while_an_answer_is_under_way_and_not_for_ever_after() {
        let connections = Arc::<Connections>::default();
        let place = connections.admit();
        let limits = SILENCE_LIMIT..=SILENCE_LIMIT + SILENCE_LIMIT / LOOKS;
        let silent = kept(&connections, &place).await.unwrap();
        assert!(limits.contains(&silent), "a silent one: {silent:?}");

        let place = connections.admit();
        let under_way = place.connection.requests.begin(true);
        assert_eq!(
            kept(&connections, &place).await,
            None,
            "a request that takes long"
        );
        drop(under_way);
        let pings = kept(&connections, &place).await.unwrap();
        assert!(pings >= SILENCE_LIMIT, "one that only answers pings: {pings:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_now_and_then_is_kept() {
        for is_poll in [false, true] {
            let connections = Arc::<Connections>::default();
            let place = connections.admit();
            let asking = async {
                loop {
                    let requests = &place.connection.requests;
                    match is_poll {
                        true => requests.answered_at_once(),
                        false => drop(requests.begin(true)),
                    }
                    tokio::time::sleep(SILENCE_LIMIT / 2).await;
                }
            };
            tokio::select! {
                () = asking => {}
                ended = kept(&connections, &place) => assert_eq!(ended, None),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_its_connection_and_one_that_has_nothing_to_say_does_not() {
        let connections = Arc::<Connections>::default();
        let place = connections.admit();
        let untaken = Answer::routed(Body::from("text"), place.connection.requests.begin(true), None);
        let ended = kept(&connections, &place).await.unwrap();
        assert!((STALL..=STALL + STALL / LOOKS).contains(&ended), "{ended:?}");
        drop(untaken);

        let place = connections.admit();
        let quiet = stream::pending::<Result<Bytes, axum::Error>>();
        let begun = place.connection.requests.begin(true);
        let mut listening = Answer::routed(Body::from_stream(quiet), begun, None);
        let listens = std::future::poll_fn(|context| Pin::new(&mut listening).poll_frame(context));
        tokio::select! {
            _ = listens => {}
            ended = kept(&connections, &place) => assert_eq!(ended, None, "live numbers"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_slowly_is_kept() {
        let connections = Arc::<Connections>::default();
        let place = connections.admit();
        let chunks = stream::repeat_with(|| Ok::<_, axum::Error>(Bytes::from_static(b"chunk"))).boxed();
        let begun = place.connection.requests.begin(true);
        let mut long = Answer::routed(Body::from_stream(chunks), begun, None);
        let slow = async {
            loop {
                tokio::time::sleep(STALL / 2).await;
                std::future::poll_fn(|context| Pin::new(&mut long).poll_frame(context)).await;
            }
        };
        tokio::select! {
            () = slow => {}
            ended = kept(&connections, &place) => assert_eq!(ended, None),
        }
    }

    #[tokio::test]
    async fn a_port_that_stops_lets_each_connection_finish_once() {
        let connections = Arc::<Connections>::default();
        let place = connections.admit();
        let told = std::cell::Cell::new(0);
        // Stands for a connection that takes two more turns to finish.
        let turns = std::cell::Cell::new(2);
        let connection = std::future::poll_fn(|context| {
            if told.get() == 0 {
                return Poll::Pending;
            }
            context.waker().wake_by_ref();
            turns.set(turns.get() - 1);
            if turns.get() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let conversation = place
            .connection
            .converse(Box::pin(connection), |_| told.set(told.get() + 1));
        tokio::join!(conversation, async { connections.finish() });
        assert_eq!((told.get(), turns.get()), (1, 0));
        drop(place);
        assert!(connections.lock().is_empty());
    }
}
