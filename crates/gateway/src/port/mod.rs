//! One port: HTTP/1.1 and HTTP/2 without TLS on it, told apart by a connection's first bytes.
//!
//! axum's own `serve` lacks three limits that a public port needs: on the number of connections, on the time that a silent
//! one is kept, and on the time that the last ones may take when the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response};
use futures::future::Either;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use opentelemetry::trace::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::traces;

/// How many connections a port serves at once. Further ones wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 20_000;

/// How long a connection may take to bring its first request, and how long one with nothing under way is kept; over
/// HTTP/2, up to twice as long.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(75);

/// How long requests under way are given to finish when the server stops.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// The bytes of one connection's read buffer at most, and so of a request's head.
const READ_BUFFER: usize = 64 * 1024;

/// Requests under way at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// How often a silent HTTP/2 peer is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// The pause after the system refused a connection, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the port until `stop` is canceled, then finishes what is under way.
///
/// `traced`: requests may bring the trace that they belong to.
pub(crate) async fn serve(listener: TcpListener, router: Router, traced: bool, stop: CancellationToken) {
    let (builder, graceful) = (builder(), GracefulShutdown::new());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (accept(&listener).await, place)
        };
        tokio::select! {
            ((stream, peer), place) = next => {
                let connection = handle(stream, peer, builder.clone(), router.clone(), traced, graceful.watcher());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "requests took too long to finish and are cut off"
        );
    }
    connections.shutdown().await;
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE_LIMIT)
        .max_buf_size(READ_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_EVERY);
    builder
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn handle(
    stream: TcpStream,
    peer: SocketAddr,
    builder: Builder<TokioExecutor>,
    router: Router,
    traced: bool,
    watcher: Watcher,
) -> impl Future<Output = ()> {
    // Answers are written in one piece. Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let requests = Arc::new(Requests::default());
    let service = {
        let requests = Arc::clone(&requests);
        service_fn(move |request| call(router.clone(), peer, request, traced, requests.begin()))
    };
    async move {
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        tokio::select! {
            // Not logged: peers break off, or break the protocol, all the time.
            _ = watcher.watch(connection) => {}
            () = requests.silence() => {}
        }
    }
}

fn call(
    mut router: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
    traced: bool,
    under_way: UnderWay,
) -> impl Future<Output = Result<Response<Answer>, Infallible>> {
    // Only requests that change something need the address, and nearly all others are polls and downloads.
    if request.method() != Method::GET {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    let answer = if traced {
        let caller = traces::caller(request.headers());
        Either::Right(router.call(request).with_context(caller))
    } else {
        Either::Left(router.call(request))
    };
    async move {
        let response = answer.await?;
        Ok(response.map(|body| Answer {
            body,
            _under_way: under_way,
        }))
    }
}

/// The requests of one connection.
#[derive(Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Requests {
    fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Ends for a connection that had nothing under way for the whole limit. hyper has such a limit for HTTP/1.1 alone,
    /// and it begins with the first line; a peer that answers pings would otherwise be kept for ever.
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
}

/// A request that is being answered, until the last byte of its answer is handed over.
struct UnderWay(Arc<Requests>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body. Its request is under way until it is dropped.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
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
    use super::*;

    async fn is_kept(requests: &Requests) -> bool {
        tokio::time::timeout(3 * SILENCE_LIMIT, requests.silence())
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_while_an_answer_is_under_way_and_not_for_ever_after() {
        let requests = Arc::new(Requests::default());
        assert!(!is_kept(&requests).await, "a silent one");
        let under_way = requests.begin();
        assert!(is_kept(&requests).await, "a long download");
        drop(under_way);
        assert!(!is_kept(&requests).await, "one that only answers pings");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_now_and_then_is_kept() {
        let requests = Arc::new(Requests::default());
        let asking = async {
            loop {
                drop(requests.begin());
                tokio::time::sleep(SILENCE_LIMIT / 2).await;
            }
        };
        tokio::select! {
            () = asking => {}
            kept = is_kept(&requests) => assert!(kept),
        }
    }
}
