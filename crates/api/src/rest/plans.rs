//! Plans by hand, and second persons.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use tidegate_proto::v1;
use tidegate_service::Rollouts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{Fields, OptionalJson, RolloutNumber};
use super::rollouts::same_rollout;
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(advance))
        .routes(routes!(hold))
        .routes(routes!(approve))
        .routes(routes!(deny))
        .routes(routes!(timeline))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// Begins a scheduled rollout now, or lets one that is held go on.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/start",
    operation_id = "StartRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::StartRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn start(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::StartRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(verbs::plans::start(&rollouts, &actor, request).await?))
}

/// Begins the next step of a rollout's plan now.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/advance",
    operation_id = "AdvanceRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::AdvanceRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn advance(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::AdvanceRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::plans::advance(&rollouts, &actor, request).await?,
    ))
}

/// Holds a rollout's share where it is; offers go on.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/hold",
    operation_id = "HoldRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::HoldRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn hold(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::HoldRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(verbs::plans::hold(&rollouts, &actor, request).await?))
}

/// Approves what waits of a rollout: its beginning, a change of its terms or the next step of its plan.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/approve",
    operation_id = "ApproveRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::ApproveRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn approve(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::ApproveRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::plans::approve(&rollouts, &actor, request).await?,
    ))
}

/// Refuses what waits of a rollout.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/deny",
    operation_id = "DenyRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::DenyRolloutRequest,
    responses((status = 200, body = v1::Rollout), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn deny(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    OptionalJson(mut request): OptionalJson<v1::DenyRolloutRequest>,
) -> Answer<v1::Rollout> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(verbs::plans::deny(&rollouts, &actor, request).await?))
}

/// What happened to a rollout, and what is to come of it by itself.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/timeline",
    operation_id = "GetRolloutTimeline", tag = "rollouts",
    params(
        ("id" = i64, Path),
        ("page_size" = Option<i64>, Query, description = "Events at most: 0 for 50, and no more than 500"),
        ("page_token" = Option<String>, Query, description = "The next_page_token of the page before")
    ),
    responses((status = 200, body = v1::RolloutTimeline), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn timeline(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    RolloutNumber(id): RolloutNumber,
    Fields(mut request): Fields<v1::GetRolloutTimelineRequest>,
) -> Answer<v1::RolloutTimeline> {
    same_rollout(id, &mut request.rollout_id)?;
    Ok(JsonAnswer(
        verbs::plans::timeline(&rollouts, &actor, request).await?,
    ))
}
