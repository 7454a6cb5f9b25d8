//! Refusals as the two protocols tell them: RFC 9457 problems in REST, rich status details in gRPC. Both carry
//! the same stable code.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidegate_service::{Error, ExistingBuild, Kind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use utoipa::ToSchema;

/// The domain in gRPC's `ErrorInfo`.
const ERROR_DOMAIN: &str = "tidegate";

/// A refusal in REST.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9457>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code tells more than a page would.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, with which input, and what to do.
    pub detail: String,
    /// A stable name to act on, such as `no_predecessor`.
    pub code: String,
    /// The field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The build that has the version already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<i64>,
    /// Of the file of that build: 64 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Problem {
    fn of(status: StatusCode, code: &str, detail: String) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail,
            code: code.to_owned(),
            field: None,
            build_id: None,
            sha256: None,
        }
    }

    /// The whole answer.
    fn into_whole(self) -> Response<Vec<u8>> {
        let mut response = Response::new(serde_json::to_vec(&self).unwrap_or_default());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_whole().map(Body::from)
    }
}

/// An error on its way out of a REST handler.
#[derive(Debug)]
pub(crate) struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl Refusal {
    /// The whole answer.
    pub(crate) fn into_whole(self) -> Response<Vec<u8>> {
        let Error {
            kind,
            code,
            message,
            field,
            retry_after,
            existing,
        } = self.0;
        let problem = Problem {
            field,
            build_id: existing.as_ref().map(|build| build.id.0),
            sha256: existing.map(|build| build.sha256.to_string()),
            ..Problem::of(http_status(kind), code, message)
        };
        let mut response = problem.into_whole();
        let headers = response.headers_mut();
        if let Some(challenge) = challenge(kind, code) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into_whole().map(Body::from)
    }
}

/// What a refused credential is answered with. A request that brought none is told no error.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc6750#section-3>
fn challenge(kind: Kind, code: &str) -> Option<&'static str> {
    match (kind, code) {
        (Kind::Unauthenticated, "invalid_token" | "token_revoked") => Some("Bearer error=\"invalid_token\""),
        (Kind::Unauthenticated, _) => Some("Bearer"),
        (Kind::Forbidden, "role_too_low") => Some("Bearer error=\"insufficient_scope\""),
        _ => None,
    }
}

/// What is left of a second counts as one: who comes back earlier is refused again.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

/// A problem document as a response.
pub(crate) fn problem(status: StatusCode, code: &str, detail: String, field: Option<String>) -> Response {
    let problem = Problem::of(status, code, detail);
    Problem { field, ..problem }.into_response()
}

fn http_status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn grpc_code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid | Kind::TooLarge | Kind::Refused => Code::InvalidArgument,
        Kind::TooSlow => Code::DeadlineExceeded,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::FailedPrecondition,
        Kind::Exists => Code::AlreadyExists,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

/// Who acts on a code finds it in `ErrorInfo`, spelled as a reason is there.
///
/// Source: <https://google.aip.dev/193#errorinfo>
fn details(code: &str, existing: Option<&ExistingBuild>) -> ErrorDetails {
    let metadata: HashMap<String, String> = existing.map_or_else(HashMap::new, |build| {
        let members = [
            ("build_id", build.id.to_string()),
            ("sha256", build.sha256.to_string()),
        ];
        members.map(|(name, value)| (name.to_owned(), value)).into()
    });
    ErrorDetails::with_error_info(code.to_ascii_uppercase(), ERROR_DOMAIN, metadata)
}

/// A refusal that only gRPC knows.
pub(crate) fn status_of(grpc_code: Code, code: &str, message: impl Into<String>) -> Status {
    Status::with_error_details(grpc_code, message, details(code, None))
}

/// An error as gRPC tells it.
pub(crate) fn status(error: Error) -> Status {
    let mut details = details(error.code, error.existing.as_deref());
    if let Some(field) = error.field {
        details.add_bad_request_violation(field, error.message.clone());
    }
    if let Some(pause) = error.retry_after {
        details.set_retry_info(Some(pause));
    }
    Status::with_error_details(grpc_code(error.kind), error.message, details)
}
