//! A request with a short answer.

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{MAX_ANSWER_BYTES, Problem};
use crate::{Credentials, Error, Transport};

/// A short answer, read to its end.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    body: Vec<u8>,
}

/// Sends a request and reads its answer.
pub(crate) async fn ask(transport: &impl Transport, request: http::Request<Bytes>) -> Result<Answer, Error> {
    let (head, body) = transport.send(request).await?.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.read(MAX_ANSWER_BYTES).await?,
    })
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|fault| Error::Malformed(fault.to_string()))
    }

    /// A header's number.
    pub(crate) fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.trim().parse().ok()
    }

    /// The answer, unless it is a refusal.
    pub(crate) fn or_refused(self) -> Result<Self, Error> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(self.refusal())
    }

    pub(crate) fn refusal(&self) -> Error {
        let problem: Problem = self.json().unwrap_or_default();
        Error::Refused {
            status: self.status.as_u16(),
            code: problem.code,
            detail: problem.detail,
        }
    }

    /// Whether the server itself refuses, in so many words, and will do so again: not a proxy on the way, not a
    /// server that is overwhelmed, and not one that wants other credentials.
    pub(crate) fn refuses_for_good(&self) -> bool {
        let own = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let passing = matches!(self.status.as_u16(), 401 | 408 | 421 | 425 | 429);
        own && self.status.is_client_error() && !passing
    }
}

/// A request with the device's token and a JSON body.
pub(crate) fn tell(
    method: http::Method,
    url: String,
    credentials: &Credentials,
    body: &impl Serialize,
) -> Result<http::Request<Bytes>, Error> {
    let body = serde_json::to_vec(body).map_err(|fault| Error::invalid("body", fault.to_string()))?;
    http::Request::builder()
        .method(method)
        .uri(url)
        .header(AUTHORIZATION, credentials.bearer())
        .header(CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))
        .map_err(|fault| Error::invalid("server", fault.to_string()))
}
