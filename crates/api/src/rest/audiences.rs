//! Audiences.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use tidegate_proto::v1;
use tidegate_service::Audiences;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::Json;
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new().routes(routes!(check))
}

/// Reads an audience and counts the devices that it takes now. An expression that cannot be read is told in `error`.
#[utoipa::path(
    post, path = "/v1/audiences/check",
    operation_id = "CheckAudience", tag = "rollouts", request_body = v1::CheckAudienceRequest,
    responses((status = 200, body = v1::CheckAudienceResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn check(
    State(audiences): State<Arc<Audiences>>,
    Caller(actor): Caller,
    Json(request): Json<v1::CheckAudienceRequest>,
) -> Result<JsonAnswer<v1::CheckAudienceResponse>, Refusal> {
    Ok(JsonAnswer(
        verbs::audiences::check(&audiences, &actor, request).await?,
    ))
}
