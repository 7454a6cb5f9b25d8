//! The `Host` of a request: HTTP/1.1 wants exactly one.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9112#section-3.2>

use axum::extract::Request;
use axum::http::{HeaderMap, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_service::{Error, Kind};

use crate::problem::Refusal;

/// Refuses a request that doesn't say to whom it goes, or says it twice: a proxy and this server might read it
/// differently.
pub(crate) async fn one(request: Request, next: Next) -> Response {
    match check(request.version(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal(error).into_response(),
    }
}

/// As [`one`], for a route that has no layers.
pub(crate) fn check(version: Version, headers: &HeaderMap) -> Result<(), Error> {
    if version != Version::HTTP_11 || headers.get_all(header::HOST).iter().count() == 1 {
        return Ok(());
    }
    let message = "an HTTP/1.1 request has exactly one Host header";
    Err(Error::new(Kind::Invalid, "bad_host", message))
}
