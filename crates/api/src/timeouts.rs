//! How long the edge waits for those who call.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_service::{Error, Kind};

use crate::problem::Refusal;

/// How long a request may take that carries no file.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an upload may bring nothing before it is broken off. Without it, a few connections that died unnoticed
/// would hold all places for uploads for good.
pub const UPLOAD_SILENCE: Duration = Duration::from_secs(60);

/// Bounds the time of requests that carry no file; files take as long as their network does.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal(timed_out("the request took", REQUEST_TIMEOUT)).into_response(),
    }
}

/// Waits for the next part of an upload.
pub(crate) async fn next_part<T>(part: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(UPLOAD_SILENCE, part)
        .await
        .map_err(|_| timed_out("the upload brought nothing for", UPLOAD_SILENCE))
}

fn timed_out(what: &str, limit: Duration) -> Error {
    let message = format!("{what} {} seconds and was broken off; try again", limit.as_secs());
    Error::new(Kind::Unavailable, "timed_out", message)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_upload_is_broken_off() {
        let error = next_part(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!((error.kind, error.code), (Kind::Unavailable, "timed_out"));
        assert_eq!(next_part(std::future::ready(7)).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_end_is_a_problem() {
        let router = Router::new()
            .route("/", get(std::future::pending::<()>))
            .layer(axum::middleware::from_fn(in_time));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(response.headers().contains_key("retry-after"));
    }
}
