//! The fleet as a whole.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use tidegate_proto::v1;
use tidegate_service::Fleet;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::Fields;
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new().routes(routes!(get))
}

/// The devices of each package by condition, in parts that add up to all of its devices.
#[utoipa::path(
    get, path = "/v1/fleet",
    operation_id = "GetFleet", tag = "devices",
    params((
        "package_name" = Option<String>, Query,
        description = "Only this package; left out: those with the most devices"
    )),
    responses((status = 200, body = v1::Fleet), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(fleet): State<Arc<Fleet>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::GetFleetRequest>,
) -> Result<JsonAnswer<v1::Fleet>, Refusal> {
    Ok(JsonAnswer(verbs::fleet::get(&fleet, &actor, &request)?))
}
