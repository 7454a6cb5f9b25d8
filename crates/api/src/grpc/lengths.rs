//! A message that is too long by what its request says of itself is refused before any of it is asked for.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Code;

use super::{UPLOAD_BUILD, max_bytes, refuse};
use crate::problem::status_of;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Refuses what is too long. Most clients tell no length, and the library finds out as it reads. An upload is many messages.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let method = request.uri().path();
    let max = max_bytes(method);
    match told(request.headers()) {
        Some(length) if method != UPLOAD_BUILD && length > (max + PREFIX_BYTES) as u64 => refuse(status_of(
            Code::ResourceExhausted,
            "too_large",
            format!("the request has {length} bytes, and a message of this method may have {max}"),
        )),
        _ => next.run(request).await,
    }
}

fn told(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
