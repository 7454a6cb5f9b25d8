//! The transport over real sockets.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::{Body, Error, Transport};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may be silent in the middle of an answer. There is no limit for a whole answer here: a download
/// may rightly take an hour, and the agent limits its short exchanges itself.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// HTTP over reqwest and rustls.
#[derive(Clone, Debug)]
pub struct HttpTransport(reqwest::Client);

impl HttpTransport {
    /// Straight to the server: no proxy, no redirects, and time limits that suit a device.
    ///
    /// # Errors
    /// [`Error::Transport`] when the system offers no TLS roots.
    pub fn direct() -> Result<Self, Error> {
        // A program that chose its cryptography keeps its choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map(Self)
            .map_err(fault)
    }

    /// Through a client of one's own, for proxies and private roots. It should follow no redirects.
    pub fn with_client(client: reqwest::Client) -> Self {
        Self(client)
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        let request = reqwest::Request::try_from(request).map_err(fault)?;
        let answer = self.0.execute(request).await.map_err(fault)?;
        let mut response = http::Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        let body = Body::new(answer.bytes_stream().map(|piece| piece.map_err(fault)));
        Ok(response.map(|()| body))
    }
}

/// Without the URL, whose signature is worth something, and with the causes, which reqwest leaves out.
fn fault(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    Error::Transport(text)
}
