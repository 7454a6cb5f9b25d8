//! Rollouts by their own numbers.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_domain::RolloutState;
use tidegate_proto::v1;
use tidegate_service::{Audiences, Error, Forecasts, Rollouts};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{Fields, Json, OptionalJson, RolloutNumber};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(board))
        .routes(routes!(forecast))
        .routes(routes!(get, edit))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(halt))
        .routes(routes!(cancel))
        .routes(routes!(complete))
        .routes(routes!(roll_back))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// The rollout in a body must be the one in the path, or left out.
pub(super) fn same_rollout(in_path: i64, in_body: &mut i64) -> Result<(), Error> {
    if *in_body != 0 && *in_body != in_path {
        return Err(Error::invalid(
            "rollout_id",
            "is another than the one in the path",
        ));
    }
    *in_body = in_path;
    Ok(())
}

/// The status of a change that is done, or that waits to be approved.
pub(super) fn accepted_if(waits: bool) -> StatusCode {
    if waits {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    }
}

/// Whether a rollout waits for an approval before it begins.
pub(super) fn is_proposed(state: &str) -> bool {
    state == RolloutState::Proposed.as_str()
}

/// Rollouts, newest first.
#[utoipa::path(
    get, path = "/v1/rollouts",
    operation_id = "ListRollouts", tag = "rollouts", params(v1::ListRolloutsRequest),
    responses((status = 200, body = v1::ListRolloutsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListRolloutsRequest>,
) -> Answer<v1::ListRolloutsResponse> {
    Ok(JsonAnswer(
        verbs::rollouts::list(&rollouts, &actor, request).await?,
    ))
}

/// Makes a rollout: the package's base, or one above it for some devices.
#[utoipa::path(
    post, path = "/v1/rollouts",
    operation_id = "CreateRollout", tag = "rollouts", request_body = v1::CreateRolloutRequest,
    responses(
        (status = 201, body = v1::Rollout),
        (status = 202, body = v1::Rollout, description = "It waits for another person's approval"),
        (status = "4XX", body = Problem)
    ),
    security(("admin_token" = []))
)]
async fn create(
    State(rollouts): State<Arc<Rollouts>>,
    State(forecasts): State<Arc<Forecasts>>,
    Caller(actor): Caller,
    Json(request): Json<v1::CreateRolloutRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::Rollout>), Refusal> {
    let rollout = verbs::rollouts::create((&rollouts, &forecasts), &actor, request).await?;
    let status = match is_proposed(&rollout.state) {
        true => StatusCode::ACCEPTED,
        false => StatusCode::CREATED,
    };
    Ok((status, JsonAnswer(rollout)))
}

/// A package's rollouts that serve, in the order in which polls ask them, with how many devices each takes.
#[utoipa::path(
    get, path = "/v1/rollouts/board",
    operation_id = "GetRolloutBoard", tag = "rollouts",
    params(("package_name" = String, Query, description = "The package")),
    responses((status = 200, body = v1::RolloutBoard), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn board(
    State(audiences): State<Arc<Audiences>>,
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::GetRolloutBoardRequest>,
) -> Answer<v1::RolloutBoard> {
    Ok(JsonAnswer(
        verbs::rollouts::board((&audiences, &rollouts), &actor, request).await?,
    ))
}

/// What a rollout would do that nobody has made yet. The body is that which makes it.
#[utoipa::path(
    post, path = "/v1/rollouts/forecast",
    operation_id = "ForecastRollout", tag = "rollouts", request_body = v1::CreateRolloutRequest,
    responses(
        (status = 200, body = v1::RolloutForecast),
        (status = "4XX", body = Problem),
        (status = 503, body = Problem, description = "Another forecast is being made")
    ),
    security(("admin_token" = []))
)]
async fn forecast(
    State(forecasts): State<Arc<Forecasts>>,
    Caller(actor): Caller,
    Json(rollout): Json<v1::CreateRolloutRequest>,
) -> Answer<v1::RolloutForecast> {
    let request = v1::ForecastRolloutRequest {
        rollout: Some(rollout),
    };
    Ok(JsonAnswer(
        verbs::rollouts::forecast(&forecasts, &actor, request).await?,
    ))
}

/// One rollout.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}",
    operation_id = "GetRollout", tag = "rollouts", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(rollout_id): RolloutNumber,
) -> Answer<v1::Rollout> {
    let request = v1::GetRolloutRequest { rollout_id };
    Ok(JsonAnswer(
        verbs::rollouts::get(&rollouts, &actor, request).await?,
    ))
}

/// Changes a rollout's terms, if it is still at the revision that the caller saw.
#[utoipa::path(
    patch, path = "/v1/rollouts/{id}",
    operation_id = "EditRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::EditRolloutRequest,
    responses(
        (status = 200, body = v1::Rollout),
        (status = 202, body = v1::Rollout, description = "The change waits for another person's approval"),
        (status = "4XX", body = Problem)
    ),
    security(("admin_token" = []))
)]
async fn edit(
    State(rollouts): State<Arc<Rollouts>>,
    State(forecasts): State<Arc<Forecasts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    Json(mut request): Json<v1::EditRolloutRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::Rollout>), Refusal> {
    same_rollout(id, &mut request.rollout_id)?;
    let rollout = verbs::rollouts::edit((&rollouts, &forecasts), &actor, request).await?;
    Ok((accepted_if(rollout.waiting.is_some()), JsonAnswer(rollout)))
}

/// Stops a rollout: its polls answer "paused" until it is resumed.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/pause",
    operation_id = "PauseRolloutById", tag = "rollouts", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn pause(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
) -> Answer<v1::Rollout> {
    Ok(JsonAnswer(
        verbs::rollouts::pause_rollout(&rollouts, &actor, id).await?,
    ))
}

/// Goes on with a paused or halted rollout. A halted one with a gate asks for the failures that were seen, and why.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/resume",
    operation_id = "ResumeRolloutById", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::ResumeRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn resume(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::ResumeRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::resume_rollout(&rollouts, &actor, request).await?,
    ))
}

/// Stops a rollout whose build was found bad: its polls answer "halted".
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/halt",
    operation_id = "HaltRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::HaltRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn halt(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::HaltRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::halt(&rollouts, &actor, request).await?,
    ))
}

/// Ends a rollout before it is done. Its devices are judged by what remains.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/cancel",
    operation_id = "CancelRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::CancelRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn cancel(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::CancelRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::cancel(&rollouts, &actor, request).await?,
    ))
}

/// Declares a rollout to everybody done. It goes on serving latecomers.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/complete",
    operation_id = "CompleteRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::CompleteRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn complete(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::CompleteRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::complete(&rollouts, &actor, request).await?,
    ))
}

/// Takes a rollout back: a current base goes back to its predecessor, any other one ends.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/roll-back",
    operation_id = "RollBackRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::RollBackRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn roll_back(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::RollBackRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::roll_back_rollout(&rollouts, &actor, request).await?,
    ))
}
