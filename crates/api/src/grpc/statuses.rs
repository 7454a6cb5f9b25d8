//! The library's own refusals, told by the codes that callers of gRPC expect.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use super::refuse;
use crate::problem::status_of;

/// Which compressions this server reads.
///
/// Source: <https://github.com/grpc/grpc/blob/master/doc/compression.md>
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// What the library says of a fault in the frame around a message, where the protocol wants "internal".
const FRAME_FAULT: &str = "protocol error";

/// Mends the status of an answer that has nothing but a status.
pub(super) async fn mend(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(mended) = Status::from_header_map(response.headers()).and_then(|status| mended(&status)) {
        response = refuse(mended);
    }
    let headers = response.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// Refusals of our own have details, and these don't.
fn mended(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::OutOfRange => Some(status_of(
            Code::ResourceExhausted,
            "too_large",
            "the message is larger than this method takes",
        )),
        Code::Internal if !status.message().starts_with(FRAME_FAULT) => Some(status_of(
            Code::InvalidArgument,
            "invalid_argument",
            format!("the message cannot be read: {}", status.message()),
        )),
        _ => None,
    }
}
