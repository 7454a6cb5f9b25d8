//! One port: HTTP/1.1 and HTTP/2 without TLS on it, told apart by a connection's first bytes.
//!
//! axum's own `serve` would do, but for what a public port must have: a bound on connections, on the time that a
//! silent one is kept, and on the time that the last ones are given to finish.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response};
use futures::future::Either;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use opentelemetry::trace::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;

use crate::traces;

/// How many connections a port serves at once. Further ones wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 20_000;

/// How long a connection may take to bring its first request, and an idle one its next.
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

/// Serves the port until `stop` becomes true, then finishes what is under way.
///
/// `traced`: requests may bring the trace that they belong to.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    traced: bool,
    mut stop: watch::Receiver<bool>,
) {
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
            () = stopped(&mut stop) => break,
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

/// Whoever dropped the sender without a word wants an end as well.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
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
    // Answers are written whole; waiting for more to send along only delays them.
    let _ = stream.set_nodelay(true);
    let spoke = Arc::new(AtomicBool::new(false));
    let service = {
        let spoke = Arc::clone(&spoke);
        service_fn(move |request| {
            spoke.store(true, Ordering::Relaxed);
            call(router.clone(), peer, request, traced)
        })
    };
    async move {
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        tokio::select! {
            // A peer that breaks off or breaks the protocol is no news.
            _ = watcher.watch(connection) => {}
            () = silence(&spoke) => {}
        }
    }
}

fn call(
    mut router: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
    traced: bool,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    // Polls and downloads are what nearly all requests are, and nobody asks where they came from.
    if request.method() != Method::GET {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    if traced {
        let caller = traces::caller(request.headers());
        Either::Right(router.call(request).with_context(caller))
    } else {
        Either::Left(router.call(request))
    }
}

/// Ends for a connection that has not brought a request in time. hyper's own limit begins with the first line.
async fn silence(spoke: &AtomicBool) {
    tokio::time::sleep(SILENCE_LIMIT).await;
    if spoke.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
