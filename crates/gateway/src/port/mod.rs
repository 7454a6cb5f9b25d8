//! One port: HTTP/1.1 and HTTP/2 on it, with TLS or without. With TLS the two ends agree on the version, without it a
//! connection's first bytes tell it.
//!
//! axum's own `serve` lacks what a public port needs: bounds on connections, on those of callers who have shown no
//! credential, on the time that a silent one is kept and on the time that a peer may leave its answer untaken, and on the
//! time that the last ones may take when the server stops.

mod answer;
mod descriptors;
mod proxies;
mod stall;
mod strangers;
mod tls;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response, Version};
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use opentelemetry::trace::FutureExt as _;
use tidegate_service::{CredentialWatch, watch_credentials};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{Config, Error, traces};
use answer::{Answer, Requests, UnderWay};
use proxies::Proxies;
use stall::Stalling;
use strangers::{Stranger, Strangers};
use tls::Tls;

/// How many connections a port serves at once where `max_connections` is not set and the system's limit on descriptors
/// leaves room for so many. Further ones wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 20_000;

/// How long a connection may take to bring its first request, and how long one with nothing under way is kept; over
/// HTTP/2, up to twice as long.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(75);

/// How long requests under way are given to finish when the server stops.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// The bytes of one connection's read buffer at most, and so of a request's head.
const READ_BUFFER: usize = 64 * 1024;

/// The bytes of an HTTP/2 request's head at most.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// The bytes that wait to be sent on one HTTP/2 stream at most.
const SEND_BUFFER: usize = 64 * 1024;

/// The bytes that the system takes of a connection ahead of what it has sent. It would take megabytes of a fast peer, and then
/// tell of no progress until a third of them have gone out: for a peer on a slow line that looks like a stall.
const MAX_UNSENT: u32 = 128 * 1024;

/// Requests under way at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// How often a silent HTTP/2 peer is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// The pause after the system refused a connection, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Of so many connections, one may be a stranger's: the others are kept for callers with a credential.
const STRANGERS_SHARE: usize = 2;

/// What the ports of a server have in common.
pub(crate) struct Rules {
    max_connections: usize,
    per_address: usize,
    stall: Duration,
    proxies: Proxies,
    tls: Option<Tls>,
    /// Whether requests may bring the trace that they belong to.
    traced: bool,
}

impl Rules {
    /// Raises the limit on descriptors as far as the system allows, and takes the rules from the settings.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the descriptors don't suffice for the connections, or the certificate cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>, Error> {
        let ports = 1 + usize::from(config.admin_listen.is_some());
        Ok(Arc::new(Self {
            max_connections: descriptors::connections(config.max_connections, ports)?,
            per_address: config.max_connections_per_address,
            stall: config.write_stall_limit,
            proxies: Proxies::new(config.trusted_proxies.clone(), config.forwarded_header),
            tls: config.tls.clone().map(Tls::new).transpose()?,
            traced: config.otlp_endpoint.is_some(),
        }))
    }

    /// Goes on reading the certificate when its files change, until `stop` is canceled.
    pub(crate) fn follow_certificate(&self, stop: CancellationToken) {
        if let Some(tls) = self.tls.clone() {
            tokio::spawn(tls.follow(stop));
        }
    }
}

/// A port that is served.
struct Port {
    rules: Arc<Rules>,
    router: Router,
    builder: Builder<TokioExecutor>,
    connections: Arc<Strangers>,
    /// Of those that come through a trusted proxy, whose connections are not counted.
    requests: Arc<Strangers>,
}

/// Serves the port until `stop` is canceled, then finishes what is under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, rules: Arc<Rules>, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(rules.max_connections));
    let in_all = rules.max_connections / STRANGERS_SHARE;
    let port = Arc::new(Port {
        connections: Strangers::new("connections", rules.per_address, in_all),
        requests: Strangers::new("requests", rules.per_address, in_all),
        builder: builder(),
        router,
        rules,
    });
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (accept(&listener).await, place)
        };
        tokio::select! {
            ((stream, peer), place) = next => {
                let connection = Arc::clone(&port).handle(stream, peer, graceful.watcher());
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
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buf_size(SEND_BUFFER)
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

impl Port {
    /// Serves a connection. Its place is taken at once and not when its task first runs, so that places are as old as the
    /// connections are.
    fn handle(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
    ) -> impl Future<Output = ()> {
        let is_proxy = self.rules.proxies.trust(peer.ip());
        let stranger = (!is_proxy).then(|| self.connections.admit(peer.ip()));
        async move {
            // Answers are written in one piece. Nagle's algorithm would only delay them.
            let _ = stream.set_nodelay(true);
            // A system that has no such option keeps its own buffers.
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
            let stream = Stalling::new(stream, self.rules.stall);
            let Some(stranger) = stranger else {
                return self.greet(stream, peer, None, watcher).await;
            };
            tokio::select! {
                () = self.greet(stream, peer, Some(Arc::clone(&stranger)), watcher) => {}
                () = stranger.ended() => {}
            }
        }
    }

    /// Shakes hands where the port speaks TLS, and answers the connection's requests.
    async fn greet(
        self: &Arc<Self>,
        stream: Stalling<TcpStream>,
        peer: SocketAddr,
        stranger: Option<Arc<Stranger>>,
        watcher: Watcher,
    ) {
        match &self.rules.tls {
            None => self.converse(stream, peer, stranger, watcher).await,
            Some(tls) => {
                if let Some(stream) = tls.accept(stream).await {
                    self.converse(stream, peer, stranger, watcher).await;
                }
            }
        }
    }

    /// Answers the requests of one connection. `stranger` is the connection's place among those without a credential;
    /// `None` for the connection of a trusted proxy.
    async fn converse(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        stranger: Option<Arc<Stranger>>,
        watcher: Watcher,
    ) {
        let requests = Arc::new(Requests::default());
        let service = {
            let (port, requests) = (Arc::clone(self), Arc::clone(&requests));
            service_fn(move |request: Request<Incoming>| {
                let under_way = requests.begin(request.version() == Version::HTTP_2);
                Arc::clone(&port).call(request, peer, stranger.clone(), under_way)
            })
        };
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        tokio::select! {
            // Not logged: peers break off, or break the protocol, all the time.
            _ = watcher.watch(connection) => {}
            _ = requests.end(self.rules.stall) => {}
        }
    }

    async fn call(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        stranger: Option<Arc<Stranger>>,
        under_way: UnderWay,
    ) -> Result<Response<Answer>, Infallible> {
        let Some(stranger) = stranger else {
            return self.call_for_proxy(request, peer.ip(), under_way).await;
        };
        proxies::forget(request.headers_mut());
        let response = self.run(request, peer, stranger).await?;
        Ok(response.map(|body| Answer::new(body, under_way, None)))
    }

    /// Answers a request that a trusted proxy passes on. Its connection serves many callers, so each request has a place
    /// of its own, under the address that the proxy tells.
    async fn call_for_proxy(
        &self,
        request: Request<Incoming>,
        proxy: IpAddr,
        under_way: UnderWay,
    ) -> Result<Response<Answer>, Infallible> {
        let client = self.rules.proxies.client(request.headers(), proxy);
        let stranger = self.requests.admit(client);
        let ended = {
            let stranger = Arc::clone(&stranger);
            async move { stranger.ended().await }.boxed()
        };
        let answered = self.run(request, SocketAddr::new(client, 0), Arc::clone(&stranger));
        tokio::select! {
            response = answered => Ok(response?.map(|body| Answer::new(body, under_way, Some(ended)))),
            () = stranger.ended() => {
                let refusal = tidegate_api::too_many_strangers();
                Ok(refusal.map(|body| Answer::new(body, under_way, None)))
            }
        }
    }

    async fn run(
        &self,
        mut request: Request<Incoming>,
        client: SocketAddr,
        stranger: Arc<Stranger>,
    ) -> Result<Response<Body>, Infallible> {
        // Only requests that change something need the address, and nearly all others are polls and downloads.
        if request.method() != Method::GET {
            request.extensions_mut().insert(ConnectInfo(client));
        }
        let caller = self.rules.traced.then(|| traces::caller(request.headers()));
        let answer = self.router.clone().call(request);
        match (caller, stranger.is_known()) {
            (None, true) => answer.await,
            (None, false) => watch_credentials(stranger as Arc<dyn CredentialWatch>, answer).await,
            (Some(caller), _) => {
                let answer = answer.with_context(caller);
                watch_credentials(stranger as Arc<dyn CredentialWatch>, answer).await
            }
        }
    }
}
