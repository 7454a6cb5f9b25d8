//! Whether the server lives, and whether it can work.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::problem::{Problem, Refusal};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// Answers while the process lives.
#[utoipa::path(
    get, path = "/healthz",
    operation_id = "Healthz", tag = "health",
    responses((status = 200, body = String))
)]
async fn healthz() -> &'static str {
    "alive\n"
}

/// Answers 200 while the database and the artifact store do.
#[utoipa::path(
    get, path = "/readyz",
    operation_id = "Readyz", tag = "health",
    responses((status = 200, body = String), (status = 503, body = Problem))
)]
async fn readyz(State(api): State<Arc<Api>>) -> Result<&'static str, Refusal> {
    api.readiness.check().await?;
    Ok("ready\n")
}
