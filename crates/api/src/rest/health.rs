//! Whether the server lives, and whether it can work.

use std::sync::Arc;

use axum::extract::State;
use tidegate_service::Readiness;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Problem, Refusal};
use crate::state::Routes;

pub(crate) fn routes() -> Routes {
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
async fn readyz(State(readiness): State<Arc<Readiness>>) -> Result<&'static str, Refusal> {
    readiness.check().await?;
    Ok("ready\n")
}
