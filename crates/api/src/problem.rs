//! Refusals as the two protocols tell them: RFC 9457 problems in REST, rich status details in gRPC. Both carry
//! the same stable code.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidegate_service::{Error, Kind};
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
}

/// An error on its way out of a REST handler.
#[derive(Debug)]
pub(crate) struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = self.0.kind;
        let retry_after = self.0.retry_after;
        let mut response = problem(http_status(kind), self.0.code, self.0.message, self.0.field);
        let headers = response.headers_mut();
        if kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
        }
        response
    }
}

/// What is left of a second counts as one: who comes back earlier is refused again.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

/// A problem document as a response.
pub(crate) fn problem(status: StatusCode, code: &str, detail: String, field: Option<String>) -> Response {
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail,
        code: code.to_owned(),
        field,
    };
    let content_type = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    )];
    (status, content_type, Json(problem)).into_response()
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
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

/// An error as gRPC tells it.
pub(crate) fn status(error: Error) -> Status {
    let mut details = ErrorDetails::with_error_info(error.code, ERROR_DOMAIN, []);
    if let Some(field) = error.field {
        details.add_bad_request_violation(field, error.message.clone());
    }
    if let Some(pause) = error.retry_after {
        details.set_retry_info(Some(pause));
    }
    Status::with_error_details(grpc_code(error.kind), error.message, details)
}
