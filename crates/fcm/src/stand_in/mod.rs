//! A server that plays FCM and Google's OAuth on loopback, with failures as scripted.
//!
//! It is strict where Google is: the assertion's signature and claims, the access token, the project in the path,
//! the message's form and limits. So a client that works against it has signed in and sent as Google demands. It
//! speaks HTTP/2 without TLS, a hundred streams a connection like Google, and HTTP/1.1.
//!
//! It keeps the last [`MAX_KEPT_MESSAGES`] messages and one small count for each token, so that a campaign for a
//! large fleet can run against it in flat memory.

#![allow(
    clippy::disallowed_methods,
    reason = "it stands for a service of the real world"
)]

mod key;
mod oauth;
mod script;
mod send;
mod server;

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

pub use script::Answer;
pub use send::Received;

use script::Script;

/// How many messages are kept; the oldest goes first.
pub const MAX_KEPT_MESSAGES: usize = 1000;

/// How many different tokens are counted.
pub const MAX_COUNTED_TOKENS: usize = 1_000_000;

/// The project of [`StandIn::start`].
pub const PROJECT: &str = "stand-in-project";

/// The service account's address.
pub(crate) const CLIENT_EMAIL: &str = "sender@stand-in-project.iam.example";

/// A running stand-in. Dropped, it ends.
#[derive(Debug)]
pub struct StandIn {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests to send a message, whatever the answer was.
    pub requests: u64,
    /// Messages that were taken.
    pub taken: u64,
    /// Access tokens that were given out.
    pub sign_ins: u64,
    /// Assertions that were refused.
    pub refused_sign_ins: u64,
    /// Connections that were made.
    pub connections: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    addr: SocketAddr,
    key: key::Key,
    state: Mutex<State>,
    connections: AtomicU64,
    /// Notified when all connections are to be broken.
    cut: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct State {
    script: Script,
    latency: Duration,
    token_life: Duration,
    sign_in_fault: Option<(u16, String)>,
    /// Valid access tokens, with their ends in Unix seconds.
    access: HashMap<String, i64>,
    issued: u64,
    kept: VecDeque<Received>,
    /// Tells whoever listens of each message that is taken.
    listeners: broadcast::Sender<Received>,
    /// By the token's hash: how often a message to it was taken.
    taken: HashMap<u64, u16>,
    counts: Counts,
}

impl StandIn {
    /// Starts on a free port of loopback, with a fresh key.
    ///
    /// # Errors
    /// The system's, when there is no port or no randomness.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(([127, 0, 0, 1], 0).into()).await
    }

    /// As [`StandIn::start`], at this address.
    ///
    /// # Errors
    /// As there.
    pub async fn start_on(addr: SocketAddr) -> io::Result<Self> {
        let key = tokio::task::spawn_blocking(key::Key::generate)
            .await
            .map_err(io::Error::other)??;
        let listener = TcpListener::bind(addr).await?;
        let shared = Arc::new(Shared {
            addr: listener.local_addr()?,
            key,
            state: Mutex::new(State {
                script: Script::default(),
                latency: Duration::ZERO,
                token_life: Duration::from_secs(3600),
                sign_in_fault: None,
                access: HashMap::new(),
                issued: 0,
                kept: VecDeque::new(),
                listeners: broadcast::Sender::new(MAX_KEPT_MESSAGES),
                taken: HashMap::new(),
                counts: Counts::default(),
            }),
            connections: AtomicU64::new(0),
            cut: watch::Sender::default(),
        });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, server })
    }

    /// The base URL to send to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.shared.addr)
    }

    /// A service account's file that signs in here.
    pub fn service_account(&self) -> String {
        self.service_account_of(PROJECT)
    }

    /// A service account's file that signs in here and names another project.
    pub fn service_account_of(&self, project: &str) -> String {
        serde_json::json!({
            "type": "service_account",
            "project_id": project,
            "private_key_id": "stand-in-key",
            "private_key": self.shared.key.pem,
            "client_email": CLIENT_EMAIL,
            "client_id": "1",
            "token_uri": self.shared.token_uri(),
            "universe_domain": "googleapis.com",
        })
        .to_string()
    }

    /// Messages to this token get these answers in turn; the last one stays.
    pub fn answer_token(&self, token: &str, answers: impl IntoIterator<Item = Answer>) {
        self.state()
            .script
            .for_token(token, answers.into_iter().collect());
    }

    /// The n-th request gets this answer, counted from 1 at the start.
    pub fn answer_nth(&self, nth: u64, answer: Answer) {
        self.state().script.for_nth(nth, answer);
    }

    /// All requests get this answer that no other rule is for; `None` ends that.
    pub fn answer_all(&self, answer: Option<Answer>) {
        self.state().script.for_all(answer);
    }

    /// How long each answer takes.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// How long access tokens that are given out from now on are valid.
    pub fn set_token_life(&self, life: Duration) {
        self.state().token_life = life;
    }

    /// Ends all access tokens, as when somebody revoked them.
    pub fn expire_tokens(&self) {
        self.state().access.clear();
    }

    /// Refuses to sign anybody in, with this status and OAuth error code; `None` ends that.
    pub fn refuse_sign_in(&self, fault: Option<(u16, &str)>) {
        self.state().sign_in_fault = fault.map(|(status, code)| (status, code.to_owned()));
    }

    /// Breaks all connections.
    pub fn cut_connections(&self) {
        self.shared.cut.send_modify(|times| *times += 1);
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        let connections = self.shared.connections.load(Ordering::Relaxed);
        Counts {
            connections,
            ..self.state().counts
        }
    }

    /// The last messages that were taken, the oldest first.
    pub fn messages(&self) -> Vec<Received> {
        self.state().kept.iter().cloned().collect()
    }

    /// The messages that are taken from now on, as they come. A receiver that falls more than [`MAX_KEPT_MESSAGES`]
    /// behind loses the oldest.
    pub fn listen(&self) -> broadcast::Receiver<Received> {
        self.state().listeners.subscribe()
    }

    /// How often a message to this token was taken.
    pub fn taken_of(&self, token: &str) -> u16 {
        self.state().taken.get(&hash(token)).copied().unwrap_or(0)
    }

    /// How many tokens got one message, two messages, and so on.
    pub fn tokens_by_messages(&self) -> std::collections::BTreeMap<u16, u64> {
        let mut tally = std::collections::BTreeMap::new();
        for times in self.state().taken.values() {
            *tally.entry(*times).or_default() += 1;
        }
        tally
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
        self.cut_connections();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token_uri(&self) -> String {
        format!("http://{}/token", self.addr)
    }
}

impl State {
    fn holds(&self, access_token: &str) -> bool {
        self.access
            .get(access_token)
            .is_some_and(|end| Utc::now().timestamp() < *end)
    }

    fn keep(&mut self, message: Received) {
        self.counts.taken += 1;
        let key = hash(&message.token);
        if self.taken.len() < MAX_COUNTED_TOKENS || self.taken.contains_key(&key) {
            let times = self.taken.entry(key).or_default();
            *times = times.saturating_add(1);
        }
        // Nobody has to listen.
        let _ = self.listeners.send(message.clone());
        if self.kept.len() == MAX_KEPT_MESSAGES {
            self.kept.pop_front();
        }
        self.kept.push_back(message);
    }
}

fn hash(token: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    hasher.finish()
}
