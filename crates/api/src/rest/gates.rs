//! What gates found.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use tidegate_proto::v1;
use tidegate_service::Rollouts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::RolloutNumber;
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new().routes(routes!(get))
}

/// What a rollout's gate found when it looked last, and why it acts so.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/gate",
    operation_id = "GetRolloutGate", tag = "rollouts", params(("id" = i64, Path)),
    responses(
        (status = 200, body = v1::RolloutGate),
        (status = 404, body = Problem, description = "No such rollout, or one without a gate (`no_gate`)"),
        (status = "4XX", body = Problem)
    ),
    security(("admin_token" = []))
)]
async fn get(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(rollout_id): RolloutNumber,
) -> Result<JsonAnswer<v1::RolloutGate>, Refusal> {
    let request = v1::GetRolloutGateRequest { rollout_id };
    Ok(JsonAnswer(verbs::gates::get(&rollouts, &actor, request).await?))
}
