//! Experiments.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_proto::v1;
use tidegate_service::{Error, Experiments};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{ExperimentNumber, Fields, Json};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(conclude))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// Experiments, newest first.
#[utoipa::path(
    get, path = "/v1/experiments",
    operation_id = "ListExperiments", tag = "experiments", params(v1::ListExperimentsRequest),
    responses((status = 200, body = v1::ListExperimentsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(experiments): State<Arc<Experiments>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListExperimentsRequest>,
) -> Answer<v1::ListExperimentsResponse> {
    Ok(JsonAnswer(
        verbs::experiments::list(&experiments, &actor, request).await?,
    ))
}

/// Begins an experiment: a rollout above the base for each arm, on slices that follow one another.
#[utoipa::path(
    post, path = "/v1/experiments",
    operation_id = "CreateExperiment", tag = "experiments", request_body = v1::CreateExperimentRequest,
    responses((status = 201, body = v1::Experiment), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn create(
    State(experiments): State<Arc<Experiments>>,
    Caller(actor): Caller,
    Json(request): Json<v1::CreateExperimentRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::Experiment>), Refusal> {
    let experiment = verbs::experiments::create(&experiments, &actor, request).await?;
    Ok((StatusCode::CREATED, JsonAnswer(experiment)))
}

/// One experiment, with the counts of its arms side by side.
#[utoipa::path(
    get, path = "/v1/experiments/{id}",
    operation_id = "GetExperiment", tag = "experiments", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Experiment), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(experiments): State<Arc<Experiments>>,
    Caller(actor): Caller,
    ExperimentNumber(experiment_id): ExperimentNumber,
) -> Answer<v1::Experiment> {
    let request = v1::GetExperimentRequest { experiment_id };
    Ok(JsonAnswer(
        verbs::experiments::get(&experiments, &actor, request).await?,
    ))
}

/// Ends all arms, and makes the winner's build the base where there is a winner.
#[utoipa::path(
    post, path = "/v1/experiments/{id}/conclude",
    operation_id = "ConcludeExperiment", tag = "experiments", params(("id" = i64, Path)),
    request_body = v1::ConcludeExperimentRequest,
    responses((status = 200, body = v1::Experiment), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn conclude(
    State(experiments): State<Arc<Experiments>>,
    Caller(actor): Caller,
    ExperimentNumber(experiment_id): ExperimentNumber,
    Json(mut request): Json<v1::ConcludeExperimentRequest>,
) -> Answer<v1::Experiment> {
    if request.experiment_id != 0 && request.experiment_id != experiment_id {
        return Err(Error::invalid("experiment_id", "is another than the one in the path").into());
    }
    request.experiment_id = experiment_id;
    Ok(JsonAnswer(
        verbs::experiments::conclude(&experiments, &actor, request).await?,
    ))
}
