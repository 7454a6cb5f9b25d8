//! One port: HTTP/1.1 and HTTP/2 on it, with TLS or without. With TLS the two ends agree on the version, without it a
//! connection's first bytes tell it.
//!
//! axum's own `serve` lacks what a public port needs: bounds on connections, on those of callers who have shown no
//! credential, on the time that a silent one is kept and on the time that a peer may leave its answer untaken, and on the
//! time that the last ones may take when the server stops.

mod answer;
mod connections;
mod descriptors;
mod ending;
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
use futures::future::{BoxFuture, Either};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::{Builder, Connection as HyperConnection};
use opentelemetry::trace::FutureExt as _;
use tidegate_api::{PollBody, PollEndpoint};
use tidegate_service::{CredentialWatch, watch_credentials, watch_credentials_now};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{Config, Error, traces};
use answer::{Answer, UnderWay};
use connections::{Connections, Place};
use ending::Ending;
use proxies::Proxies;
use stall::Stalling;
use strangers::{Stranger, Strangers};
use tls::Tls;

/// How many connections a port serves at once where `max_connections` is not set and the system's limit on descriptors
/// leaves room for so many. Further ones wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 20_000;

/// How long a connection may take to bring its first request, and how long one with nothing under way is kept; up to a
/// fifth longer, since connections are looked at now and then.
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

/// What a port serves.
pub(crate) struct Handlers {
    /// Whatever is no poll.
    pub router: Router,
    /// Polls, where the port takes them.
    pub polls: Option<Arc<PollEndpoint>>,
}

/// A port that is served.
struct Port {
    rules: Arc<Rules>,
    handlers: Handlers,
    builder: Builder<TokioExecutor>,
    connections: Arc<Connections>,
    strangers: Arc<Strangers>,
    /// Of those that come through a trusted proxy, whose connections are not counted.
    strange_requests: Arc<Strangers>,
}

/// What answers a request: a poll is answered at once.
type Answering = Either<std::future::Ready<Answered>, BoxFuture<'static, Answered>>;

type Answered = Result<Response<Answer>, Infallible>;

/// Serves the port until `stop` is canceled, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    handlers: Handlers,
    rules: Arc<Rules>,
    stop: CancellationToken,
) {
    set_options(&listener);
    let places = Arc::new(Semaphore::new(rules.max_connections));
    let in_all = rules.max_connections / STRANGERS_SHARE;
    let port = Arc::new(Port {
        connections: Arc::default(),
        strangers: Strangers::new("connections", rules.per_address, in_all),
        strange_requests: Strangers::new("requests", rules.per_address, in_all),
        builder: builder(),
        handlers,
        rules,
    });
    let mut tasks = JoinSet::new();
    let looking = port.connections.keep_worthy(port.rules.stall);
    tokio::pin!(looking);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (accept(&listener).await, place)
        };
        tokio::select! {
            ((stream, peer), place) = next => {
                let connection = Arc::clone(&port).handle(stream, peer);
                tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Some(_) = tasks.join_next() => {}
            () = &mut looking => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    port.connections.finish();
    let finished = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        _ = tokio::time::timeout(DRAIN_LIMIT, finished) => {}
        () = looking => {}
    }
    if !tasks.is_empty() {
        tracing::warn!(
            connections = tasks.len(),
            "requests took too long to finish and are cut off"
        );
    }
    tasks.shutdown().await;
}

/// Connections have the options of the socket that took them. Answers are written in one piece, and Nagle's algorithm would
/// only delay them. A system that doesn't know an option keeps its own ways.
fn set_options(listener: &TcpListener) {
    let socket = socket2::SockRef::from(listener);
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Without a timer: silent connections are ended by those who look at all of them.
    builder.http1().max_buf_size(READ_BUFFER);
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
    /// Serves a connection. Its places are taken at once and not when its task first runs, so that they are as old as the
    /// connections are.
    fn handle(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> {
        let is_proxy = self.rules.proxies.trust(peer.ip());
        let place = self.connections.admit();
        let ending = Arc::clone(&place.connection.ending);
        let stranger = (!is_proxy).then(|| self.strangers.admit(peer.ip(), ending));
        async move {
            let stream = Stalling::new(stream, self.rules.stall);
            match &self.rules.tls {
                None => self.converse(stream, peer, stranger, &place).await,
                Some(tls) => {
                    let handshake = Box::pin(tls.accept(stream));
                    if let Some(Some(stream)) = place.connection.unless_ended(handshake).await {
                        self.converse(stream, peer, stranger, &place).await;
                    }
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
        place: &Place,
    ) {
        let requests = Arc::clone(&place.connection.requests);
        let port = Arc::clone(self);
        let service = service_fn(move |request: Request<Incoming>| -> Answering {
            if let Some(polls) = &port.handlers.polls
                && PollEndpoint::takes(request.method(), request.uri())
            {
                requests.answered_at_once();
                let answer = port.poll(polls, &request, stranger.as_ref());
                tidegate_api::let_go(request);
                return Either::Left(std::future::ready(Ok(answer.map(Answer::Poll))));
            }
            let under_way = requests.begin(request.version() == Version::HTTP_2);
            Either::Right(
                Arc::clone(&port)
                    .call(request, peer, stranger.clone(), under_way)
                    .boxed(),
            )
        });
        // In a place of its own: a future that holds another has room for it several times over, and thousands are idle.
        let connection = Box::pin(self.builder.serve_connection(TokioIo::new(stream), service));
        let conversation = place
            .connection
            .converse(connection, HyperConnection::graceful_shutdown);
        conversation.await;
    }

    /// Answers a poll. It takes no place among a proxy's strangers: it is over before anybody could want the place.
    fn poll<B>(
        &self,
        polls: &PollEndpoint,
        request: &Request<B>,
        stranger: Option<&Arc<Stranger>>,
    ) -> Response<PollBody> {
        let _trace = self
            .rules
            .traced
            .then(|| traces::caller(request.headers()).attach());
        match stranger.filter(|stranger| !stranger.is_known()) {
            None => polls.answer(request),
            Some(stranger) => {
                let stranger = Arc::clone(stranger) as Arc<dyn CredentialWatch>;
                watch_credentials_now(stranger, || polls.answer(request))
            }
        }
    }

    async fn call(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        stranger: Option<Arc<Stranger>>,
        under_way: UnderWay,
    ) -> Answered {
        let Some(stranger) = stranger else {
            return self.call_for_proxy(request, peer.ip(), under_way).await;
        };
        proxies::forget(request.headers_mut());
        let response = self.run(request, peer, stranger).await?;
        Ok(response.map(|body| Answer::routed(body, under_way, None)))
    }

    /// Answers a request that a trusted proxy passes on. Its connection serves many callers, so each request has a place
    /// of its own, under the address that the proxy tells.
    async fn call_for_proxy(
        &self,
        request: Request<Incoming>,
        proxy: IpAddr,
        under_way: UnderWay,
    ) -> Answered {
        let client = self.rules.proxies.client(request.headers(), proxy);
        let ending = Arc::<Ending>::default();
        let stranger = self.strange_requests.admit(client, Arc::clone(&ending));
        let answered = self.run(request, SocketAddr::new(client, 0), Arc::clone(&stranger));
        tokio::select! {
            response = answered => {
                let cut_off = async move {
                    let _place = stranger;
                    ending.ended().await;
                };
                Ok(response?.map(|body| Answer::routed(body, under_way, Some(cut_off.boxed()))))
            }
            () = ending.ended() => {
                let refusal = tidegate_api::too_many_strangers();
                Ok(refusal.map(|body| Answer::routed(body, under_way, None)))
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
        let answer = self.handlers.router.clone().call(request);
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
