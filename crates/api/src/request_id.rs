//! A name for each request, to be found again in answers, logs and the audit log.

use std::cell::Cell;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

use crate::grpc::is_grpc;

/// The header that carries it, in both directions.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a caller, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// How long a request may take before it is logged. An upload over a slow line does, too.
const SLOW_REQUEST: Duration = Duration::from_secs(5);

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
pub(crate) fn tell<B>(response: &mut Response<B>, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(HEADER, value);
    }
}

/// Names a request, for its handler, its log span and its answer.
pub(crate) async fn name(mut request: Request, next: Next) -> Response {
    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    let (id, begun) = (of(request.headers()), Instant::now());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!(
        "request",
        otel.name = name_of(&request),
        otel.kind = "server",
        request_id = id,
        trace_id = trace_id(request.headers()),
        %method,
        path,
        status = tracing::field::Empty,
    );
    request.extensions_mut().insert(RequestId(id.clone()));
    // Routes of others beside ours read it where a caller would have written it.
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(HEADER, value);
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    let took = begun.elapsed();
    if took > SLOW_REQUEST {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        span.in_scope(|| tracing::warn!(event = "ota.request.slow", took_ms));
    }
    tell(&mut response, &id);
    response
}

/// The method and the route, as the name of a trace's span: names must be few.
fn name_of(request: &Request) -> String {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str);
    // One route has all methods of a service, and they are few.
    let route = if is_grpc(route) {
        request.uri().path()
    } else {
        route
    };
    format!("{} {route}", request.method())
}

/// The trace that the caller says the request belongs to, for the log's lines.
///
/// Source: <https://www.w3.org/TR/trace-context/#trace-id>
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("traceparent")?.to_str().ok()?.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

fn is_plain(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_REQUEST_ID_BYTES
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
