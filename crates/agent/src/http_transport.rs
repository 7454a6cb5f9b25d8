//! The transport over real sockets.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::{Body, Error, Transport};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may be silent during an answer. A whole answer has no limit here: a download may take an hour, and
/// the agent itself limits requests with a short answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// HTTP over reqwest and rustls.
#[derive(Clone, Debug)]
pub struct HttpTransport(reqwest::Client);

impl HttpTransport {
    /// A transport without proxies and redirects, with time limits that suit a device.
    ///
    /// # Errors
    /// [`Error::Transport`] when the system offers no TLS roots.
    pub fn direct() -> Result<Self, Error> {
        // This fails, and should, if the program has installed another provider.
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

    /// A transport with a client of the embedder's, for proxies and private roots. It must not follow redirects.
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

/// The error without its URL, whose signature is secret, and with its causes, which reqwest does not print.
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
