//! A name for each request, to be found again in answers, logs and the audit log.

use std::cell::Cell;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

/// The header that carries it, in both directions.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a caller, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// The request's name.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub String);

/// The caller's id if it is plain and short, or a new one.
pub(crate) fn of(headers: &HeaderMap) -> String {
    let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_plain(id)) {
        Some(id) => id.to_owned(),
        None => draw(),
    }
}

/// Sixteen hex digits that no other request has: each thread counts on from a random number of its own, so that
/// the hot path asks neither the system nor another core.
fn draw() -> String {
    thread_local!(static NEXT: Cell<u64> = Cell::new(Uuid::new_v4().as_u64_pair().0));
    let id = NEXT.get();
    NEXT.set(id.wrapping_add(1));
    format!("{id:016x}")
}

/// Puts a request's id into its answer.
pub(crate) fn tell(response: &mut Response, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(HEADER, value);
    }
}

/// Names a request, for its handler, its log span and its answer.
pub(crate) async fn name(mut request: Request, next: Next) -> Response {
    let id = of(request.headers());
    let span = tracing::info_span!("request", request_id = id, method = %request.method(), path = request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    // Routes of others beside ours read it where a caller would have written it.
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(HEADER, value);
    }
    let mut response = next.run(request).instrument(span).await;
    tell(&mut response, &id);
    response
}

fn is_plain(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_REQUEST_ID_BYTES
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
