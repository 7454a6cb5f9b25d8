//! A request with a short answer.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{MAX_ANSWER_BYTES, Problem};
use crate::{Credentials, Error, Transport};

/// How long a short exchange may take from beginning to end. A transport that only minds how long a server is
/// silent can be held for days by one that sends a byte a minute, as some portals do.
pub(crate) const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);

/// The refusal of a report about a build of which the server has heard enough. It does not pass; a server that is
/// older than this agent says it with a status that usually does.
const TOO_MANY_REPORTS: &str = "too_many_reports";

/// A short answer, read to its end.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    body: Vec<u8>,
}

/// Sends a request and reads its answer.
pub(crate) async fn ask(transport: &impl Transport, request: http::Request<Bytes>) -> Result<Answer, Error> {
    ask_for(EXCHANGE_LIMIT, transport, request).await
}

async fn ask_for(
    limit: Duration,
    transport: &impl Transport,
    request: http::Request<Bytes>,
) -> Result<Answer, Error> {
    within(limit, async {
        let (head, body) = transport.send(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.read(MAX_ANSWER_BYTES).await?,
        })
    })
    .await
}

/// Gives up what takes longer.
pub(crate) async fn within<T>(
    limit: Duration,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = || Error::Transport(format!("no whole answer in {} seconds", limit.as_secs_f32()));
    tokio::time::timeout(limit, what)
        .await
        .unwrap_or_else(|_| Err(late()))
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
        let heard_enough = || {
            let problem: Problem = self.json().unwrap_or_default();
            problem.code == TOO_MANY_REPORTS
        };
        own && self.status.is_client_error() && (!passing || heard_enough())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    /// Answers at once, and then with a little more every millisecond.
    struct Dripping;

    /// Small enough that the longest answer takes twice the limit of the test.
    const DROP: [u8; MAX_ANSWER_BYTES / 64] = [b' '; MAX_ANSWER_BYTES / 64];

    impl Transport for Dripping {
        async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
            let drops = futures::stream::repeat_with(|| Ok(Bytes::from_static(&DROP)));
            let drops = futures::StreamExt::then(drops, async |drop| {
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop
            });
            Ok(http::Response::new(Body::new(drops)))
        }
    }

    /// It is never silent, and never ends.
    #[tokio::test]
    async fn an_answer_that_only_drips_is_given_up() {
        let request = http::Request::new(Bytes::new());
        let answer = ask_for(Duration::from_millis(30), &Dripping, request).await;
        assert!(matches!(answer, Err(Error::Transport(_))));
    }
}
