//! Nudges.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use tidegate_domain::CampaignState;
use tidegate_proto::v1;
use tidegate_service::{Nudges, SMALL_CAMPAIGN};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::header_value;
use super::input::{CampaignNumber, Fields, Json};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

/// The largest body that names devices, in bytes: ten thousand of the longest ids.
pub(crate) const MAX_NUDGE_BYTES: usize = 2 * 1024 * 1024;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(nudge))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(failures))
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// Wakes devices, so that they poll now.
///
/// A campaign for at most 200 devices is answered when it has ended. A larger one, or one that has not ended after ten
/// seconds, is answered with 202 and the campaign's address, and goes on.
#[utoipa::path(
    post, path = "/v1/apk/nudge-update",
    operation_id = "NudgeUpdate", tag = "nudges", request_body = v1::NudgeUpdateRequest,
    responses(
        (status = 200, description = "Ended", body = v1::NudgeUpdateResponse),
        (status = 202, description = "Under way", body = v1::NudgeUpdateResponse,
         headers(("location" = String, description = "The campaign"))),
        (status = "4XX", body = Problem),
    ),
    security(("admin_token" = []))
)]
async fn nudge(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    Json(request): Json<v1::NudgeUpdateRequest, MAX_NUDGE_BYTES>,
) -> Result<
    (
        StatusCode,
        [(HeaderName, HeaderValue); 1],
        JsonAnswer<v1::NudgeUpdateResponse>,
    ),
    Refusal,
> {
    let answer = verbs::nudges::nudge(&nudges, &actor, request).await?;
    let small = u64::try_from(answer.total_devices).is_ok_and(|total| total <= SMALL_CAMPAIGN);
    let over = [CampaignState::Completed, CampaignState::Canceled]
        .iter()
        .any(|state| answer.state == state.as_str());
    let status = if small && over {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let location = header_value(&format!("/v1/nudges/{}", answer.campaign_id));
    Ok((status, [(header::LOCATION, location)], JsonAnswer(answer)))
}

/// Campaigns, newest first.
#[utoipa::path(
    get, path = "/v1/nudges",
    operation_id = "ListCampaigns", tag = "nudges", params(v1::ListCampaignsRequest),
    responses((status = 200, body = v1::ListCampaignsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListCampaignsRequest>,
) -> Answer<v1::ListCampaignsResponse> {
    Ok(JsonAnswer(verbs::nudges::list(&nudges, &actor, request).await?))
}

/// One campaign and its progress.
#[utoipa::path(
    get, path = "/v1/nudges/{id}",
    operation_id = "GetCampaign", tag = "nudges", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Campaign), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    CampaignNumber(campaign_id): CampaignNumber,
) -> Answer<v1::Campaign> {
    let request = v1::GetCampaignRequest { campaign_id };
    Ok(JsonAnswer(verbs::nudges::get(&nudges, &actor, request).await?))
}

/// The devices that a campaign did not reach, and why.
#[utoipa::path(
    get, path = "/v1/nudges/{id}/failures",
    operation_id = "ListCampaignFailures", tag = "nudges",
    params(("id" = i64, Path), ("page_size" = Option<i64>, Query), ("page_token" = Option<String>, Query)),
    responses((status = 200, body = v1::ListCampaignFailuresResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn failures(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    CampaignNumber(campaign_id): CampaignNumber,
    Fields(page): Fields<v1::ListCampaignsRequest>,
) -> Answer<v1::ListCampaignFailuresResponse> {
    let request = v1::ListCampaignFailuresRequest {
        campaign_id,
        page_size: page.page_size,
        page_token: page.page_token,
    };
    Ok(JsonAnswer(
        verbs::nudges::failures(&nudges, &actor, request).await?,
    ))
}

/// Cancels what was not sent.
#[utoipa::path(
    post, path = "/v1/nudges/{id}/cancel",
    operation_id = "CancelCampaign", tag = "nudges", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Campaign), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn cancel(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    CampaignNumber(campaign_id): CampaignNumber,
) -> Answer<v1::Campaign> {
    let request = v1::CancelCampaignRequest { campaign_id };
    Ok(JsonAnswer(verbs::nudges::cancel(&nudges, &actor, request).await?))
}

/// Pauses a campaign. Messages on their way are still finished.
#[utoipa::path(
    post, path = "/v1/nudges/{id}/pause",
    operation_id = "PauseCampaign", tag = "nudges", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Campaign), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn pause(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    CampaignNumber(campaign_id): CampaignNumber,
) -> Answer<v1::Campaign> {
    let request = v1::PauseCampaignRequest { campaign_id };
    Ok(JsonAnswer(verbs::nudges::pause(&nudges, &actor, request).await?))
}

/// Resumes a paused or suspended campaign.
#[utoipa::path(
    post, path = "/v1/nudges/{id}/resume",
    operation_id = "ResumeCampaign", tag = "nudges", params(("id" = i64, Path)),
    responses((status = 200, body = v1::Campaign), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn resume(
    State(nudges): State<Arc<Nudges>>,
    Caller(actor): Caller,
    CampaignNumber(campaign_id): CampaignNumber,
) -> Answer<v1::Campaign> {
    let request = v1::ResumeCampaignRequest { campaign_id };
    Ok(JsonAnswer(verbs::nudges::resume(&nudges, &actor, request).await?))
}
