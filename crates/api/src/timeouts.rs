//! How long the edge waits for those who call.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_service::{Error, Kind};

use crate::problem::Refusal;

/// How long a request may take that carries no file.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds the time of requests that carry no file; files take as long as their network does.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = REQUEST_TIMEOUT.as_secs();
            let message = format!("the request took {seconds} seconds and was broken off; try again");
            Refusal(Error::new(Kind::Unavailable, "timed_out", message)).into_response()
        }
    }
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
