//! The client.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use secrecy::ExposeSecret;

use crate::answer::{excerpt, refusal};
use crate::lanes::Lanes;
use crate::oauth::{SignIn, Token};
use crate::{Decision, Error, Message, ServiceAccount, TrustedUrl, retry_after};

/// Where FCM is.
pub const DEFAULT_ENDPOINT: &str = "https://fcm.googleapis.com";

/// The most connections that can be asked for.
pub const MAX_CONNECTIONS: usize = 64;

/// Firebase asks senders to wait at least this long for an answer.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes. FCM's have some hundreds.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How to send.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where FCM is.
    pub endpoint: TrustedUrl,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// How many connections share the messages. Google allows some hundred streams on each, so that the default of
    /// 10 carries 10,000 messages a second at 100 ms each.
    pub connections: usize,
    /// Speaks HTTP/1.1 and nothing else, over TLS too. An endpoint without TLS is asked which version it speaks.
    pub http1_only: bool,
    /// The time, for assertions and for the life of access tokens. Google compares it with its own.
    pub now: fn() -> DateTime<Utc>,
}

impl Options {
    /// The defaults, for this endpoint.
    #[allow(clippy::disallowed_methods, reason = "Google compares it with its own clock")]
    pub fn new(endpoint: TrustedUrl) -> Self {
        Self {
            endpoint,
            timeout: MIN_TIMEOUT,
            connections: 10,
            http1_only: false,
            now: Utc::now,
        }
    }
}

/// Sends messages for one Firebase project. Clones share connections and access token.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    lanes: Lanes,
    url: String,
    sign_in: SignIn,
    options: Options,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.shared.url)
    }
}

impl Client {
    /// A client that has not connected yet. The process must have chosen its cryptography for TLS before.
    ///
    /// # Errors
    /// [`Error::Connection`] when no HTTP client can be made.
    pub fn new(account: ServiceAccount, options: Options) -> Result<Self, Error> {
        let connections = options.connections.clamp(1, MAX_CONNECTIONS);
        let lanes = Lanes::new(&options.endpoint, connections, &options)?;
        let oauth = Lanes::new(account.token_uri(), 1, &options)?;
        let project = account.project_id();
        let url = format!(
            "{}/v1/projects/{project}/messages:send",
            options.endpoint.as_str()
        );
        let sign_in = SignIn::new(account, oauth, options.timeout, options.now);
        Ok(Self {
            shared: Arc::new(Shared {
                lanes,
                url,
                sign_in,
                options,
            }),
        })
    }

    /// The project that messages are sent for.
    pub fn project_id(&self) -> &str {
        self.shared.sign_in.project()
    }

    /// Sends one message. An access token that is refused is renewed, once, and the message sent again.
    ///
    /// # Errors
    /// [`Error`]; ask it [`Error::what_to_do`].
    pub async fn send(&self, message: &Message) -> Result<(), Error> {
        let body = message.to_json()?;
        let token = self.shared.sign_in.token(None).await?;
        let Err(error) = self.post(body.clone(), &token).await else {
            return Ok(());
        };
        if error.what_to_do() != Decision::RefreshTokenOnce {
            return Err(error);
        }
        let token = self.shared.sign_in.token(Some(&token)).await?;
        self.post(body, &token).await.map_err(|error| match error {
            Error::Unauthorized => Error::FreshTokenRefused,
            other => other,
        })
    }

    async fn post(&self, body: Vec<u8>, token: &Token) -> Result<(), Error> {
        let Shared { lanes, options, .. } = &*self.shared;
        let request = lanes
            .client()
            .await?
            .post(&self.shared.url)
            .bearer_auth(token.secret.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let exchange = async {
            let answer = request
                .send()
                .await
                .map_err(|error| fault_of(&error, options.timeout))?;
            let status = answer.status().as_u16();
            let wait = answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| retry_after::parse(value.to_str().ok()?, (options.now)()));
            let body = read(answer, options.timeout).await?;
            if status == 200 {
                return Ok(());
            }
            Err(refusal(status, &body, wait, self.project_id()))
        };
        // One limit over head and body.
        let sent = tokio::time::timeout(options.timeout, exchange)
            .await
            .map_err(|_| Error::Timeout(options.timeout))?;
        if matches!(sent, Err(Error::Connection(_))) {
            lanes.failed();
        }
        sent
    }
}

pub(crate) fn fault_of(error: &reqwest::Error, timeout: Duration) -> Error {
    if error.is_timeout() {
        return Error::Timeout(timeout);
    }
    // The innermost cause says it: the others repeat the address.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Error::Connection(excerpt(&cause.to_string()))
}

/// The body, up to [`MAX_ANSWER_BYTES`].
pub(crate) async fn read(mut answer: reqwest::Response, timeout: Duration) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| fault_of(&error, timeout))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
