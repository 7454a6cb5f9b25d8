//! A message that is too long by what its request says of itself is refused before any of it is asked for.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Code;

use super::{MAX_JSON_BYTES, NUDGE_UPDATE, SET_BUILD_NOTES, TAG_DEVICES, UPLOAD_BUILD, refuse};
use crate::problem::status_of;
use crate::rest::{MAX_NOTES_BODY_BYTES, MAX_NUDGE_BYTES, MAX_TAG_BYTES};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Refuses what is too long. Most clients tell no length, and the library finds out as it reads.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let max = max_bytes(request.uri().path());
    match (told(request.headers()), max) {
        (Some(length), Some(max)) if length > (max + PREFIX_BYTES) as u64 => refuse(status_of(
            Code::ResourceExhausted,
            "too_large",
            format!("the request has {length} bytes, and a message of this method may have {max}"),
        )),
        _ => next.run(request).await,
    }
}

/// How long the one message of a method may be; `None` for an upload, which is many.
fn max_bytes(method: &str) -> Option<usize> {
    match method {
        UPLOAD_BUILD => None,
        SET_BUILD_NOTES => Some(MAX_NOTES_BODY_BYTES),
        NUDGE_UPDATE => Some(MAX_NUDGE_BYTES),
        TAG_DEVICES => Some(MAX_TAG_BYTES),
        _ => Some(MAX_JSON_BYTES),
    }
}

fn told(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
