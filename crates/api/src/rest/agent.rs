//! The agents' routes but the poll: report, enrol, FCM token, answers to commands.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_domain::{BuildId, DeviceFacts, DeviceId, PackageName, RolloutId, VersionCode};
use tidegate_proto::v1;
use tidegate_service::{DeviceCredential, Devices, Error, NewDevice, NewReport, Reports};
use tidegate_signing::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Secret;
use super::input::Json;
use crate::credentials::CallingDevice;
use crate::poll::PROTOCOL;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;
use crate::verbs::devices::current_version;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(report))
        .routes(routes!(enroll))
        .routes(routes!(set_fcm_token))
        .routes(routes!(action_result))
}

/// Tells what became of an offer. Answered when it is on disk; the same report again is answered alike and
/// counted once.
#[utoipa::path(
    post, path = "/v1/agent/report",
    operation_id = "Report", tag = "agent", request_body = v1::ReportRequest,
    responses(
        (status = 200, description = "Recorded", body = v1::ReportResponse),
        (status = 400, description = "A field is missing or malformed", body = Problem),
        (status = 401, description = "No valid device token", body = Problem),
        (status = 404, description = "No such build", body = Problem),
        (status = 409, description = "The device was not offered the build, or reported on it too often: no later try ends otherwise", body = Problem),
        (status = 503, description = "Try again later", body = Problem),
    ),
    security(("device_token" = []))
)]
async fn report(
    State(reports): State<Arc<Reports>>,
    CallingDevice(device): CallingDevice,
    Json(request): Json<v1::ReportRequest>,
) -> Result<JsonAnswer<v1::ReportResponse>, Refusal> {
    let status = request.status.parse().map_err(Error::from)?;
    let report = NewReport {
        build: BuildId(request.build_id),
        status,
        reason: request.reason,
        android_status: narrow("android_status", request.android_status)?,
        message: request.message,
        attempt: narrow("attempt", request.attempt)?,
        request_id: request.request_id,
        rollout: request.rollout_id.map(RolloutId),
        offer: request.offer,
        patch: request
            .patch
            .map(|patch| patch.parse().map_err(Error::from))
            .transpose()?,
    };
    reports.submit(device, report).await?;
    Ok(JsonAnswer(v1::ReportResponse {
        success: true,
        build_id: request.build_id,
        status: request.status,
    }))
}

fn narrow<T: TryFrom<i64>>(field: &'static str, number: Option<i64>) -> Result<Option<T>, Error> {
    number
        .map(|number| T::try_from(number).map_err(|_| Error::invalid(field, "is out of range")))
        .transpose()
}

/// Takes a device in, for an enrolment token. May be repeated after a lost answer, with the same enrollment_key.
#[utoipa::path(
    post, path = "/v1/agent/enroll",
    operation_id = "Enroll", tag = "agent", request_body = v1::EnrollRequest,
    responses(
        (status = 201, description = "Enrolled", body = v1::EnrollResponse),
        (status = 400, description = "A field is missing or malformed", body = Problem),
        (status = 401, description = "The enrolment token is unknown, expired, revoked or used up, or the previous token is another", body = Problem),
        (status = 409, description = "The id is enrolled already, and nothing proves that it is the same device", body = Problem),
        (status = 429, description = "The previous token was tried too often, or many devices move at once", body = Problem),
    )
)]
async fn enroll(
    State(devices): State<Arc<Devices>>,
    Json(request): Json<v1::EnrollRequest>,
) -> Result<(StatusCode, Secret<v1::EnrollResponse>), Refusal> {
    let id = DeviceId::parse(&request.device_id).map_err(Error::from)?;
    let installed = installed(&request)?;
    let enrolled = devices
        .enroll(NewDevice {
            credential: credential(request.enrollment_token, request.previous_token)?,
            enrollment_key: request.enrollment_key,
            id,
            alias: request.alias,
            facts: DeviceFacts {
                sdk: narrow("sdk", request.sdk)?,
                model: request.model.map(Cow::Owned),
                manufacturer: request.manufacturer.map(Cow::Owned),
                region: request.region.map(Cow::Owned),
                android: request.android_version.map(Cow::Owned),
                tags: Some(request.tags.join(","))
                    .filter(|tags| !tags.is_empty())
                    .map(Cow::Owned),
                ..DeviceFacts::default()
            },
            fcm_token: request.fcm_token,
            installed,
        })
        .await?;
    let key = |key: &tidegate_signing::CommandKey| key.text().expose_secret().to_owned();
    let answer = v1::EnrollResponse {
        device_id: request.device_id,
        device_token: enrolled.device_token.expose_secret().to_owned(),
        command_keys: Some(v1::CommandKeys {
            primary: key(&enrolled.command_keys.primary),
            rotation: enrolled.command_keys.rotation.as_ref().map(key),
        }),
        poll_after_s: i64::try_from(enrolled.poll_after.as_secs()).unwrap_or(i64::MAX),
        protocol: PROTOCOL,
    };
    Ok((StatusCode::CREATED, Secret(answer)))
}

/// One of the two, and not both.
fn credential(enrollment_token: String, previous_token: Option<String>) -> Result<DeviceCredential, Error> {
    match (enrollment_token.is_empty(), previous_token) {
        (false, None) => Ok(DeviceCredential::EnrollmentToken(enrollment_token)),
        (true, Some(token)) => Ok(DeviceCredential::PreviousToken(token)),
        (true, None) => Err(Error::invalid("enrollment_token", "is missing")),
        (false, Some(_)) => Err(Error::invalid(
            "previous_token",
            "goes not with an enrollment_token: send one",
        )),
    }
}

fn installed(request: &v1::EnrollRequest) -> Result<Option<(PackageName, VersionCode)>, Error> {
    match (&request.package_name, request.current_version_code) {
        (None, None) => Ok(None),
        (Some(package), code) => Ok(Some((
            PackageName::parse(package)?,
            current_version(code.unwrap_or_default())?,
        ))),
        (None, Some(_)) => Err(Error::invalid(
            "package_name",
            "is missing beside current_version_code",
        )),
    }
}

/// Tells where the device can be nudged.
#[utoipa::path(
    put, path = "/v1/agent/fcm-token",
    operation_id = "SetFcmToken", tag = "agent", request_body = v1::FcmTokenRequest,
    responses(
        (status = 200, description = "Remembered", body = v1::FcmTokenResponse),
        (status = 400, description = "A field is missing or malformed", body = Problem),
        (status = 401, description = "No valid device token", body = Problem),
    ),
    security(("device_token" = []))
)]
async fn set_fcm_token(
    State(devices): State<Arc<Devices>>,
    CallingDevice(device): CallingDevice,
    Json(request): Json<v1::FcmTokenRequest>,
) -> Result<JsonAnswer<v1::FcmTokenResponse>, Refusal> {
    devices.set_fcm_token(&device, request.fcm_token).await?;
    Ok(JsonAnswer(v1::FcmTokenResponse { success: true }))
}

/// Tells what became of a command that reached the device through FCM. Answered when it is on disk; the same answer
/// again is answered alike, and the first one stays.
#[utoipa::path(
    post, path = "/v1/action-result",
    operation_id = "ActionResult", tag = "agent", request_body = v1::ActionResultRequest,
    responses(
        (status = 200, description = "Recorded", body = v1::ActionResultResponse),
        (status = 400, description = "A field is missing or malformed", body = Problem),
        (status = 401, description = "No valid device token", body = Problem),
        (status = 403, description = "Another device's id", body = Problem),
        (status = 404, description = "This device was sent no such command", body = Problem),
        (status = 503, description = "Try again later", body = Problem),
    ),
    security(("device_token" = []))
)]
async fn action_result(
    State(reports): State<Arc<Reports>>,
    CallingDevice(device): CallingDevice,
    Json(request): Json<v1::ActionResultRequest>,
) -> Result<JsonAnswer<v1::ActionResultResponse>, Refusal> {
    Ok(JsonAnswer(
        verbs::nudges::answer(&reports, device, request).await?,
    ))
}
