//! Policies, and the hold on everybody.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_proto::v1;
use tidegate_service::{Error, Policies};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{Fields, Json, PolicyNumber};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(holds, set_hold, lift_hold))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// Policies, newest first.
#[utoipa::path(
    get, path = "/v1/policies",
    operation_id = "ListPolicies", tag = "policies", params(v1::ListPoliciesRequest),
    responses((status = 200, body = v1::ListPoliciesResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListPoliciesRequest>,
) -> Answer<v1::ListPoliciesResponse> {
    Ok(JsonAnswer(
        verbs::policies::list(&policies, &actor, request).await?,
    ))
}

/// Adds a policy on a tag, on a device or on everybody.
#[utoipa::path(
    post, path = "/v1/policies",
    operation_id = "CreatePolicy", tag = "policies", request_body = v1::CreatePolicyRequest,
    responses((status = 201, body = v1::Policy), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn create(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    Json(request): Json<v1::CreatePolicyRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::Policy>), Refusal> {
    let policy = verbs::policies::create(&policies, &actor, request).await?;
    Ok((StatusCode::CREATED, JsonAnswer(policy)))
}

/// One policy.
#[utoipa::path(
    get, path = "/v1/policies/{id}",
    operation_id = "GetPolicy", tag = "policies", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Policy), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    PolicyNumber(policy_id): PolicyNumber,
) -> Answer<v1::Policy> {
    let request = v1::GetPolicyRequest { policy_id };
    Ok(JsonAnswer(
        verbs::policies::get(&policies, &actor, request).await?,
    ))
}

/// Changes what a policy demands. What is left out stays.
#[utoipa::path(
    patch, path = "/v1/policies/{id}",
    operation_id = "UpdatePolicy", tag = "policies", params(("id" = i64, Path)),
    request_body = v1::UpdatePolicyRequest,
    responses((status = 200, body = v1::Policy), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn update(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    PolicyNumber(policy_id): PolicyNumber,
    Json(mut request): Json<v1::UpdatePolicyRequest>,
) -> Answer<v1::Policy> {
    if request.policy_id != 0 && request.policy_id != policy_id {
        return Err(Error::invalid("policy_id", "is another than the one in the path").into());
    }
    request.policy_id = policy_id;
    Ok(JsonAnswer(
        verbs::policies::update(&policies, &actor, request).await?,
    ))
}

/// Removes a policy, and tells it as it was.
#[utoipa::path(
    delete, path = "/v1/policies/{id}",
    operation_id = "DeletePolicy", tag = "policies", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Policy), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn delete(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    PolicyNumber(policy_id): PolicyNumber,
) -> Answer<v1::Policy> {
    let request = v1::DeletePolicyRequest { policy_id };
    Ok(JsonAnswer(
        verbs::policies::delete(&policies, &actor, request).await?,
    ))
}

/// The holds on everybody that stand now.
#[utoipa::path(
    get, path = "/v1/hold",
    operation_id = "ListHolds", tag = "policies",
    responses((status = 200, body = v1::ListHoldsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn holds(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
) -> Answer<v1::ListHoldsResponse> {
    Ok(JsonAnswer(
        verbs::policies::holds(&policies, &actor, v1::ListHoldsRequest {}).await?,
    ))
}

/// Stops everything: nobody is offered anything any more, of one package or of all.
#[utoipa::path(
    put, path = "/v1/hold",
    operation_id = "SetHold", tag = "policies", request_body = v1::SetHoldRequest,
    responses((status = 200, body = v1::Policy), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn set_hold(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    Json(request): Json<v1::SetHoldRequest>,
) -> Answer<v1::Policy> {
    Ok(JsonAnswer(
        verbs::policies::set_hold(&policies, &actor, request).await?,
    ))
}

/// Lifts the hold on everybody, of one package or of all.
#[utoipa::path(
    delete, path = "/v1/hold",
    operation_id = "LiftHold", tag = "policies",
    params(("package_name" = Option<String>, Query, description = "The package; left out for the hold on all of them")),
    responses((status = 200, body = v1::LiftHoldResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn lift_hold(
    State(policies): State<Arc<Policies>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::LiftHoldRequest>,
) -> Answer<v1::LiftHoldResponse> {
    Ok(JsonAnswer(
        verbs::policies::lift_hold(&policies, &actor, request).await?,
    ))
}
