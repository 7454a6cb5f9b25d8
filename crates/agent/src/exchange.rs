//! Requests with a short answer.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{MAX_ANSWER_BYTES, Problem};
use crate::{Credentials, Error, Transport};

/// How long a request with a short answer may take as a whole. A transport that only limits silence would wait for days
/// if the other side, such as a captive portal, sent a byte a minute.
pub(crate) const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);

/// The code of a report that is refused because the server has enough reports about the build. Retrying does not help,
/// although some servers send it with status 429.
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

/// The result of `what`, or an error when it takes longer than `limit`.
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

    /// The number in a header.
    pub(crate) fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.trim().parse().ok()
    }

    /// The answer if its status is a success, else the refusal as an error.
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

    /// Whether the server will refuse this request each time. A refusal by a proxy may pass, and so may one because of
    /// load or because of the credentials.
    pub(crate) fn is_final_refusal(&self) -> bool {
        let from_server = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let may_pass = matches!(self.status.as_u16(), 401 | 408 | 421 | 425 | 429);
        let has_enough = || {
            let problem: Problem = self.json().unwrap_or_default();
            problem.code == TOO_MANY_REPORTS
        };
        from_server && self.status.is_client_error() && (!may_pass || has_enough())
    }
}

/// A request with the device's token and a JSON body.
pub(crate) fn json_request(
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

    /// Answers at once, and sends a little more of the body every millisecond.
    struct SlowBody;

    /// So short that the longest allowed answer takes twice as long as the limit of the test.
    const PIECE: [u8; MAX_ANSWER_BYTES / 64] = [b' '; MAX_ANSWER_BYTES / 64];

    impl Transport for SlowBody {
        async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
            let pieces = futures::stream::repeat_with(|| Ok(Bytes::from_static(&PIECE)));
            let pieces = futures::StreamExt::then(pieces, async |piece| {
                tokio::time::sleep(Duration::from_millis(1)).await;
                piece
            });
            Ok(http::Response::new(Body::new(pieces)))
        }
    }

    /// Its silences are short, and it never ends.
    #[tokio::test]
    async fn an_answer_that_comes_too_slowly_is_given_up() {
        let request = http::Request::new(Bytes::new());
        let answer = ask_for(Duration::from_millis(30), &SlowBody, request).await;
        assert!(matches!(answer, Err(Error::Transport(_))));
    }
}
