//! Builds and what is done with them.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_proto::v1;
use tidegate_service::{Builds, Error, Forecasts, MAX_NOTES_BYTES, Patches, Rollouts, Uploads};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{BuildNumber, Fields, Json, OptionalJson};
use super::rollouts::{accepted_if, is_proposed};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

/// The largest body with release notes, in bytes: JSON may spell each of their bytes with six.
pub(crate) const MAX_NOTES_BODY_BYTES: usize = 6 * MAX_NOTES_BYTES + 1024;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(compare))
        .routes(routes!(stats))
        .routes(routes!(patches))
        .routes(routes!(set_notes))
        .routes(routes!(edit))
        .routes(routes!(delete))
        .routes(routes!(promote))
        .routes(routes!(adjust))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(roll_back))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// The build in a body must be the one in the path, or left out.
fn same_build(in_path: i64, in_body: &mut i64) -> Result<(), Error> {
    if *in_body != 0 && *in_body != in_path {
        return Err(Error::invalid("build_id", "is another than the one in the path"));
    }
    *in_body = in_path;
    Ok(())
}

/// Builds, newest first, without deleted ones.
#[utoipa::path(
    get, path = "/v1/apk",
    operation_id = "ListBuilds", tag = "builds", params(v1::ListBuildsRequest),
    responses((status = 200, body = v1::ListBuildsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListBuildsRequest>,
) -> Answer<v1::ListBuildsResponse> {
    Ok(JsonAnswer(verbs::builds::list(&builds, &actor, request).await?))
}

/// One build.
#[utoipa::path(
    get, path = "/v1/apk/{id}",
    operation_id = "GetBuild", tag = "builds", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Build), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    BuildNumber(build_id): BuildNumber,
) -> Answer<v1::Build> {
    Ok(JsonAnswer(
        verbs::builds::get(&builds, &actor, v1::GetBuildRequest { build_id }).await?,
    ))
}

/// How a build differs from the one whose place it would take.
#[utoipa::path(
    get, path = "/v1/apk/{id}/diff",
    operation_id = "CompareBuilds", tag = "builds",
    params(
        ("id" = i64, Path),
        ("from_build_id" = Option<i64>, Query, description = "The build that is out; without it, the package's current one"),
    ),
    responses((status = 200, body = v1::BuildComparison), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn compare(
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    Fields(mut request): Fields<v1::CompareBuildsRequest>,
) -> Answer<v1::BuildComparison> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(
        verbs::builds::compare(&builds, &actor, request).await?,
    ))
}

/// What became of a build on the fleet.
#[utoipa::path(
    get, path = "/v1/apk/{id}/deployment-stats",
    operation_id = "GetDeploymentStats", tag = "builds",
    params(("id" = i64, Path), ("hours" = Option<i64>, Query, description = "How many of the last hours to tell one by one")),
    responses((status = 200, body = v1::DeploymentStats), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn stats(
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    Fields(mut request): Fields<v1::GetDeploymentStatsRequest>,
) -> Answer<v1::DeploymentStats> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(verbs::builds::stats(&builds, &actor, request).await?))
}

/// The patches to a build, and what devices said of them.
#[utoipa::path(
    get, path = "/v1/apk/{id}/patches",
    operation_id = "GetBuildPatches", tag = "builds", params(("id" = i64, Path)),
    responses((status = 200, body = v1::BuildPatches), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn patches(
    State(patches): State<Arc<Patches>>,
    Caller(actor): Caller,
    BuildNumber(build_id): BuildNumber,
) -> Answer<v1::BuildPatches> {
    let request = v1::GetBuildPatchesRequest { build_id };
    Ok(JsonAnswer(
        verbs::builds::patches(&patches, &actor, request).await?,
    ))
}

/// Gives a build other release notes.
#[utoipa::path(
    post, path = "/v1/apk/{id}/notes",
    operation_id = "SetBuildNotes", tag = "builds", params(("id" = i64, Path)),
    request_body = v1::SetBuildNotesRequest,
    responses((status = 200, body = v1::Build), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn set_notes(
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    Json(mut request): Json<v1::SetBuildNotesRequest, MAX_NOTES_BODY_BYTES>,
) -> Answer<v1::Build> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(
        verbs::builds::set_notes(&builds, &actor, request).await?,
    ))
}

/// Changes what people may change of a build: its notes, and which builds devices take in between.
#[utoipa::path(
    patch, path = "/v1/apk/{id}",
    operation_id = "EditBuild", tag = "builds", params(("id" = i64, Path)),
    request_body = v1::EditBuildRequest,
    responses((status = 200, body = v1::Build), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn edit(
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    Json(mut request): Json<v1::EditBuildRequest, MAX_NOTES_BODY_BYTES>,
) -> Answer<v1::Build> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(verbs::builds::edit(&builds, &actor, request).await?))
}

/// Deletes a build that no rollout serves or would return to, and its file.
#[utoipa::path(
    post, path = "/v1/apk/{id}/delete",
    operation_id = "DeleteBuild", tag = "builds", params(("id" = i64, Path)),
    responses((status = 200, body = v1::DeleteBuildResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn delete(
    State(uploads): State<Arc<Uploads>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    OptionalJson(mut request): OptionalJson<v1::DeleteBuildRequest>,
) -> Answer<v1::DeleteBuildResponse> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(
        verbs::builds::delete(&uploads, &actor, request).await?,
    ))
}

/// Makes a build current, for a share of the fleet.
#[utoipa::path(
    post, path = "/v1/apk/{id}/promote",
    operation_id = "Promote", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::PromoteRequest,
    responses(
        (status = 200, body = v1::PromoteResponse),
        (status = 202, body = v1::PromoteResponse, description = "It waits for another person's approval"),
        (status = "4XX", body = Problem)
    ),
    security(("admin_token" = []))
)]
async fn promote(
    State(rollouts): State<Arc<Rollouts>>,
    State(forecasts): State<Arc<Forecasts>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    Json(mut request): Json<v1::PromoteRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::PromoteResponse>), Refusal> {
    same_build(id, &mut request.build_id)?;
    let promoted = verbs::rollouts::promote((&rollouts, &forecasts), &actor, request).await?;
    Ok((accepted_if(is_proposed(&promoted.state)), JsonAnswer(promoted)))
}

/// Changes the share of the fleet that a build is offered to.
#[utoipa::path(
    post, path = "/v1/apk/{id}/rollout",
    operation_id = "AdjustRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::AdjustRolloutRequest,
    responses(
        (status = 200, body = v1::AdjustRolloutResponse),
        (status = 202, body = v1::AdjustRolloutResponse, description = "It waits for another person's approval"),
        (status = "4XX", body = Problem)
    ),
    security(("admin_token" = []))
)]
async fn adjust(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    Json(mut request): Json<v1::AdjustRolloutRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::AdjustRolloutResponse>), Refusal> {
    same_build(id, &mut request.build_id)?;
    let adjusted = verbs::rollouts::adjust(&rollouts, &actor, request).await?;
    Ok((accepted_if(adjusted.waits), JsonAnswer(adjusted)))
}

/// Holds a build's rollout.
#[utoipa::path(
    post, path = "/v1/apk/{id}/pause",
    operation_id = "PauseRollout", tag = "rollouts", params(("id" = i64, Path)),
    responses((status = 200, body = v1::RolloutStateResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn pause(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    OptionalJson(mut request): OptionalJson<v1::PauseRolloutRequest>,
) -> Answer<v1::RolloutStateResponse> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::pause(&rollouts, &actor, request).await?,
    ))
}

/// Goes on with a held rollout.
#[utoipa::path(
    post, path = "/v1/apk/{id}/resume",
    operation_id = "ResumeRollout", tag = "rollouts", params(("id" = i64, Path)),
    request_body = v1::ResumeRolloutRequest,
    responses((status = 200, body = v1::RolloutStateResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn resume(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    BuildNumber(id): BuildNumber,
    OptionalJson(mut request): OptionalJson<v1::ResumeRolloutRequest>,
) -> Answer<v1::RolloutStateResponse> {
    same_build(id, &mut request.build_id)?;
    Ok(JsonAnswer(
        verbs::rollouts::resume(&rollouts, &actor, request).await?,
    ))
}

/// Takes a package's current build back.
#[utoipa::path(
    post, path = "/v1/apk/rollback",
    operation_id = "RollBack", tag = "rollouts", request_body = v1::RollBackRequest,
    responses((status = 200, body = v1::RollBackResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn roll_back(
    State(rollouts): State<Arc<Rollouts>>,
    Caller(actor): Caller,
    Json(request): Json<v1::RollBackRequest>,
) -> Answer<v1::RollBackResponse> {
    Ok(JsonAnswer(
        verbs::rollouts::roll_back(&rollouts, &actor, request).await?,
    ))
}
