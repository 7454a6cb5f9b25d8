//! What came back over HTTP, and what must be true of every refusal.

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends a request and reads all of its answer.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the server does not answer");
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("the answer was cut off").to_vec(),
        }
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON, whatever the status.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| {
            panic!("{fault}: {} {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The body of an answer that must be a success.
    ///
    /// # Panics
    /// With the refusal, when it is one.
    #[track_caller]
    pub fn ok(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "{} {text}", self.status);
        self.json()
    }

    /// The problem of an answer that must be a refusal with this status and code. It must have the form of RFC 9457,
    /// say something, and name the request, so that its log lines can be found.
    ///
    /// # Panics
    /// When it is anything else.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}");
        assert!(!self.header("x-request-id").is_empty(), "{:?}", self.headers);
        let problem = self.json();
        let title = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        assert_eq!(problem["type"], "about:blank", "{text}");
        assert_eq!(problem["status"], status, "{text}");
        assert_eq!(problem["title"].as_str(), title, "{text}");
        assert_eq!(problem["code"], code, "{text}");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{text}"
        );
        problem
    }

    /// As [`Answer::refused`] with 400 and `invalid_argument`, for a field that must be named.
    ///
    /// # Panics
    /// When it is anything else.
    #[track_caller]
    pub fn invalid(&self, field: &str) -> Value {
        let problem = self.refused(400, "invalid_argument");
        assert_eq!(problem["field"], field, "{problem}");
        problem
    }
}
