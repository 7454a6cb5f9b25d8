//! Devices, as operators see them.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_proto::v1;
use tidegate_service::{Devices, Error};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Secret;
use super::input::{Fields, Json, OptionalJson, TextPath, TokenNumber};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(explain))
        .routes(routes!(revoke))
        .routes(routes!(retry))
        .routes(routes!(retire))
        .routes(routes!(erase))
        .routes(routes!(allow_enrolment))
        .routes(routes!(list_enrollment_tokens, create_enrollment_token))
        .routes(routes!(revoke_enrollment_token))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// Devices by id, or in the order that is asked for, with how many there are.
#[utoipa::path(
    get, path = "/v1/devices",
    operation_id = "ListDevices", tag = "devices", params(v1::ListDevicesRequest),
    responses((status = 200, body = v1::ListDevicesResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListDevicesRequest>,
) -> Answer<v1::ListDevicesResponse> {
    Ok(JsonAnswer(verbs::devices::list(&devices, &actor, request).await?))
}

/// One device, and what it did with each build.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}",
    operation_id = "GetDevice", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 200, body = v1::Device), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
) -> Answer<v1::Device> {
    Ok(JsonAnswer(
        verbs::devices::get(&devices, &actor, v1::GetDeviceRequest { device_id }).await?,
    ))
}

/// Why the device is, or is not, offered an update: every rule that is asked.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/explain",
    operation_id = "ExplainDevice", tag = "devices",
    params(
        ("device_id" = String, Path),
        ("package_name" = String, Query),
        ("current_version_code" = Option<i64>, Query, description = "The version to assume; the last known by default"),
    ),
    responses((status = 200, body = v1::ExplainDeviceResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn explain(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
    Fields(mut request): Fields<v1::ExplainDeviceRequest>,
) -> Answer<v1::ExplainDeviceResponse> {
    same_device(device_id, &mut request.device_id)?;
    Ok(JsonAnswer(
        verbs::devices::explain(&devices, &actor, request).await?,
    ))
}

/// Refuses the device's token from now on.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/revoke",
    operation_id = "RevokeDevice", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 200, body = v1::RevokeDeviceResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn revoke(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
    OptionalJson(mut request): OptionalJson<v1::RevokeDeviceRequest>,
) -> Answer<v1::RevokeDeviceResponse> {
    same_device(device_id, &mut request.device_id)?;
    Ok(JsonAnswer(
        verbs::devices::revoke(&devices, &actor, request).await?,
    ))
}

/// Lets a device try again what it gave up: one build, or all.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/retry",
    operation_id = "RetryDevice", tag = "devices", params(("device_id" = String, Path)),
    request_body = v1::RetryDeviceRequest,
    responses((status = 200, body = v1::RetryDeviceResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn retry(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
    OptionalJson(mut request): OptionalJson<v1::RetryDeviceRequest>,
) -> Answer<v1::RetryDeviceResponse> {
    same_device(device_id, &mut request.device_id)?;
    Ok(JsonAnswer(
        verbs::devices::retry(&devices, &actor, request).await?,
    ))
}

/// Takes a device out of the fleet. With a new enrolment token it may come back.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/retire",
    operation_id = "RetireDevice", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 200, body = v1::RetireDeviceResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn retire(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
    OptionalJson(mut request): OptionalJson<v1::RetireDeviceRequest>,
) -> Answer<v1::RetireDeviceResponse> {
    same_device(device_id, &mut request.device_id)?;
    Ok(JsonAnswer(
        verbs::devices::retire(&devices, &actor, request).await?,
    ))
}

/// Removes all that is known of a device, for good. What was counted stays as numbers.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/erase",
    operation_id = "EraseDevice", tag = "devices", params(("device_id" = String, Path)),
    request_body = v1::EraseDeviceRequest,
    responses((status = 200, body = v1::EraseDeviceResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn erase(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
    Json(mut request): Json<v1::EraseDeviceRequest>,
) -> Answer<v1::EraseDeviceResponse> {
    same_device(device_id, &mut request.device_id)?;
    Ok(JsonAnswer(
        verbs::devices::erase(&devices, &actor, request).await?,
    ))
}

/// Lets an id enrol once more, whoever has it now.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/allow-enrolment",
    operation_id = "AllowEnrolment", tag = "devices", params(("device_id" = String, Path)),
    request_body = v1::AllowEnrolmentRequest,
    responses((status = 200, body = v1::AllowEnrolmentResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn allow_enrolment(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TextPath(device_id): TextPath,
    OptionalJson(mut request): OptionalJson<v1::AllowEnrolmentRequest>,
) -> Answer<v1::AllowEnrolmentResponse> {
    same_device(device_id, &mut request.device_id)?;
    Ok(JsonAnswer(
        verbs::devices::allow_enrolment(&devices, &actor, request).await?,
    ))
}

/// Makes a token with which devices enrol.
#[utoipa::path(
    post, path = "/v1/enrollment-tokens",
    operation_id = "CreateEnrollmentToken", tag = "devices", request_body = v1::CreateEnrollmentTokenRequest,
    responses((status = 201, body = v1::CreateEnrollmentTokenResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn create_enrollment_token(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    Json(request): Json<v1::CreateEnrollmentTokenRequest>,
) -> Result<(StatusCode, Secret<v1::CreateEnrollmentTokenResponse>), Refusal> {
    let token = verbs::devices::create_enrollment_token(&devices, &actor, request).await?;
    Ok((StatusCode::CREATED, Secret(token)))
}

/// Enrolment tokens, newest first.
#[utoipa::path(
    get, path = "/v1/enrollment-tokens",
    operation_id = "ListEnrollmentTokens", tag = "devices", params(v1::ListEnrollmentTokensRequest),
    responses((status = 200, body = v1::ListEnrollmentTokensResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list_enrollment_tokens(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListEnrollmentTokensRequest>,
) -> Answer<v1::ListEnrollmentTokensResponse> {
    Ok(JsonAnswer(
        verbs::devices::list_enrollment_tokens(&devices, &actor, request).await?,
    ))
}

/// Ends an enrolment token at once. Devices that it let in stay.
#[utoipa::path(
    post, path = "/v1/enrollment-tokens/{id}/revoke",
    operation_id = "RevokeEnrollmentToken", tag = "devices", params(("id" = i64, Path)),
    responses((status = 200, body = v1::EnrollmentToken), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn revoke_enrollment_token(
    State(devices): State<Arc<Devices>>,
    Caller(actor): Caller,
    TokenNumber(token_id): TokenNumber,
    OptionalJson(mut request): OptionalJson<v1::RevokeEnrollmentTokenRequest>,
) -> Answer<v1::EnrollmentToken> {
    if request.token_id != 0 && request.token_id != token_id {
        return Err(Error::invalid("token_id", "is another than the one in the path").into());
    }
    request.token_id = token_id;
    Ok(JsonAnswer(
        verbs::devices::revoke_enrollment_token(&devices, &actor, request).await?,
    ))
}

/// The device in a request must be the one in the path, or left out.
fn same_device(in_path: String, in_request: &mut String) -> Result<(), Error> {
    if !in_request.is_empty() && *in_request != in_path {
        return Err(Error::invalid("device_id", "is another than the one in the path"));
    }
    *in_request = in_path;
    Ok(())
}
