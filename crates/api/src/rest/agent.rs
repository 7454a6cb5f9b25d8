//! The agents' routes: poll, report, enrol, FCM token, answers to commands.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json as JsonAnswer;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use tidegate_domain::{
    BuildId, DeviceFacts, DeviceId, MAX_PATCH_FORMATS_BYTES, Offer, Opening, PATCH_FORMAT, PackageName,
    RolloutId, Sha256, TERMS_SINCE_PROTOCOL, VersionCode,
};
use tidegate_proto::v1;
use tidegate_service::{
    Authenticator, DeviceCredential, Devices, Error, NewDevice, NewReport, PatchOffer, Poll, PollAnswer,
    Polls, Reports,
};
use tidegate_signing::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conditional::not_modified;
use super::input::Json;
use super::{NO_STORE, Secret};
use crate::credentials::{CallingDevice, bearer};
use crate::poll_log::PollLog;
use crate::problem::{Problem, Refusal};
use crate::request_metrics::RequestMetrics;
use crate::state::Routes;
use crate::verbs::devices::current_version;
use crate::{date_header, host, messages, request_id, verbs};

/// Why a 304 offers nothing, such as `not_in_cohort`.
pub(crate) const REASON: HeaderName = HeaderName::from_static("tidegate-reason");

/// The version of the agents' protocol that this server speaks.
const PROTOCOL: i64 = 2;

/// Seconds until the device's next poll.
pub(crate) const POLL_AFTER: HeaderName = HeaderName::from_static("tidegate-poll-after");

/// What a poll needs, behind one pointer: a handler's state is cloned for each request.
pub(crate) struct Polling {
    pub authenticator: Arc<Authenticator>,
    pub polls: Arc<Polls>,
    pub poll_log: Arc<PollLog>,
    pub request_metrics: Arc<RequestMetrics>,
}

/// The poll, apart from the other routes: it is answered from memory, so it needs no time limit, and it is asked
/// so often that it names its requests itself rather than through a layer and a log span.
pub(crate) fn poll_route() -> OpenApiRouter<Arc<Polling>> {
    OpenApiRouter::new().routes(routes!(check_update))
}

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(report))
        .routes(routes!(enroll))
        .routes(routes!(set_fcm_token))
        .routes(routes!(action_result))
}

/// Asks whether there is an update.
///
/// The device token must be that of `device_id`. Parameters that are not named here are ignored.
#[utoipa::path(
    get, path = "/v1/agent/update",
    operation_id = "CheckUpdate", tag = "agent", params(v1::CheckUpdateRequest),
    responses(
        (status = 200, description = "An update to install", body = v1::UpdateManifest,
         headers(("tidegate-poll-after" = i64, description = "Seconds until the next poll"),
                 ("date" = String, description = "The server's time, by which install_openings are told"))),
        (status = 304, description = "Nothing for this device",
         headers(("tidegate-reason" = String, description = "Why, such as not_in_cohort"),
                 ("tidegate-poll-after" = i64, description = "Seconds until the next poll"))),
        (status = 400, description = "A parameter is missing or malformed", body = Problem),
        (status = 401, description = "No valid device token", body = Problem),
        (status = 403, description = "Another device's id", body = Problem),
    ),
    security(("device_token" = []))
)]
async fn check_update(State(polling): State<Arc<Polling>>, request: Request) -> Response {
    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    let begun = Instant::now();
    let id = request_id::of(request.headers());
    // At the level debug, so that nobody pays for it but those who have traces sent.
    let span = tracing::debug_span!(
        target: "tidegate_api::poll", "poll",
        otel.name = "GET /v1/agent/update", otel.kind = "server", request_id = id, status = tracing::field::Empty,
    );
    let mut response = span
        .in_scope(|| poll(&polling, begun, &request))
        .unwrap_or_else(|error| Refusal(error).into_response());
    // By the clock that openings are told by: agents correct theirs with it.
    let date = date_header::of(polling.polls.now());
    response.headers_mut().insert(header::DATE, date);
    span.record("status", response.status().as_u16());
    request_id::tell(&mut response, &id);
    polling.request_metrics.polled(begun, response.status());
    response
}

fn poll(polling: &Polling, begun: Instant, request: &Request) -> Result<Response, Error> {
    host::check(request.version(), request.headers())?;
    let token = bearer(request.headers())?;
    // A stranger is told that they are one before they are told what is wrong with their query.
    let refusal = |error| polling.authenticator.device(token).err().unwrap_or(error);
    let query = PollQuery::parse(request.uri().query().unwrap_or_default()).map_err(refusal)?;
    let protocol = query.facts.protocol;
    let device_id = query.device_id.as_deref();
    let device_id = device_id.ok_or_else(|| refusal(missing("device_id")))?;
    polling.authenticator.device_claiming(token, device_id)?;
    let package = query.package.as_deref().ok_or_else(|| missing("package_name"))?;
    query.facts.check()?;
    let poll = Poll {
        device_id,
        package,
        installed: query.installed.ok_or_else(|| missing("current_version_code"))?,
        facts: query.facts,
        crashes: query.crashes,
        fetched: query.fetched,
        takes_patches: query.takes_patches,
    };
    Ok(polling.polls.answer(&poll, |answer, poll_after| match answer {
        PollAnswer::Update {
            offer,
            download_url,
            proof,
            retry_granted_at,
            install_openings,
            patch,
        } => {
            if polling.poll_log.takes(begun) {
                tracing::info!(
                    event = "ota.manifest.200",
                    device_id,
                    package_name = package,
                    build_id = offer.build.id.0,
                    version_code = offer.build.facts.version_code.get(),
                );
            }
            let extras = (retry_granted_at, install_openings, patch);
            offered(&offer, protocol, (download_url, proof), extras, poll_after)
        }
        PollAnswer::WarmingUp => {
            // As with a hold: to earlier agents it is a reason that they know to pass.
            let reason = if protocol < TERMS_SINCE_PROTOCOL {
                "paused"
            } else {
                "warming_up"
            };
            not_modified([
                (REASON, HeaderValue::from_static(reason)),
                (POLL_AFTER, seconds(poll_after)),
                (header::CACHE_CONTROL, NO_STORE),
            ])
        }
        PollAnswer::NoUpdate(reason) => {
            let reason = reason.told_to(protocol);
            if polling.poll_log.takes(begun) {
                let reason = reason.as_str();
                tracing::info!(
                    event = "ota.manifest.304",
                    device_id,
                    package_name = package,
                    reason
                );
            }
            not_modified([
                (REASON, HeaderValue::from_static(reason.as_str())),
                (POLL_AFTER, seconds(poll_after)),
                (header::CACHE_CONTROL, NO_STORE),
            ])
        }
    }))
}

/// What most manifests leave out.
type Extras = (
    Option<DateTime<Utc>>,
    Option<Vec<Opening>>,
    Option<Box<PatchOffer>>,
);

fn offered(
    offer: &Offer<'_>,
    protocol: u32,
    (download_url, proof): (String, String),
    (retry_granted_at, install_openings, patch): Extras,
    poll_after: Duration,
) -> Response {
    let (spec, facts) = (&offer.rollout.spec, &offer.build.facts);
    // Earlier agents know nothing of these terms.
    let terms = (protocol >= TERMS_SINCE_PROTOCOL).then_some(&spec.settings.install);
    let manifest = v1::UpdateManifest {
        build_id: offer.build.id.0,
        version_code: facts.version_code.get(),
        version_name: facts.version_name.clone(),
        package_name: facts.package.to_string(),
        download_url,
        sha256: facts.sha256.to_string(),
        signer_fingerprint: offer.signer.to_string(),
        file_size: i64::try_from(facts.size).unwrap_or(i64::MAX),
        wifi_only: spec.settings.wifi_only,
        must_install: spec.settings.must_install,
        staged_rollout_percent: shown_percent(offer),
        release_notes: offer.build.provenance.notes.clone(),
        force_downgrade: offer.forced,
        rollout_id: offer.rollout.id.0,
        attempt: spec.retry_generation.into(),
        min_sdk: facts.min_sdk.into(),
        poll_after_s: i64::try_from(poll_after.as_secs()).unwrap_or(i64::MAX),
        offer: proof,
        protocol: PROTOCOL,
        retry_granted_at: retry_granted_at.map(Into::into),
        install_openings: install_openings.map(|openings| v1::InstallOpenings {
            openings: openings.into_iter().map(verbs::calendars::opening).collect(),
        }),
        install_when: terms.map(messages::install_when).unwrap_or_default(),
        install_deadline: terms.and_then(|terms| terms.deadline).map(Into::into),
        patch: patch.map(|patch| messages::patches::offer(*patch)),
    };
    let headers = [
        (POLL_AFTER, seconds(poll_after)),
        // The URL in it is this device's alone.
        (header::CACHE_CONTROL, NO_STORE),
    ];
    (headers, JsonAnswer(manifest)).into_response()
}

/// The share as agents of protocol 1 may judge it once more by themselves, which a forced roll-back doesn't heed.
fn shown_percent(offer: &Offer<'_>) -> i64 {
    match offer.forced {
        true => 100,
        false => offer.rollout.spec.settings.staged_percent().into(),
    }
}

fn seconds(time: Duration) -> HeaderValue {
    HeaderValue::from(time.as_secs())
}

fn missing(field: &'static str) -> Error {
    Error::invalid(field, "is missing")
}

/// The poll's query, read in one pass that copies only what was escaped. The last of a repeated parameter counts.
#[derive(Default)]
struct PollQuery<'a> {
    device_id: Option<Cow<'a, str>>,
    package: Option<Cow<'a, str>>,
    installed: Option<VersionCode>,
    facts: DeviceFacts<'a>,
    crashes: Option<u32>,
    fetched: Option<Sha256>,
    takes_patches: bool,
}

impl<'a> PollQuery<'a> {
    fn parse(query: &'a str) -> Result<Self, Error> {
        let mut poll = Self::default();
        let facts = &mut poll.facts;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "device_id" => poll.device_id = Some(value),
                "package_name" => {
                    PackageName::check(&value)?;
                    poll.package = Some(value);
                }
                "current_version_code" => {
                    let code = value
                        .parse()
                        .map_err(|_| Error::invalid("current_version_code", "must be a whole number"))?;
                    poll.installed = Some(current_version(code)?);
                }
                "sdk" => facts.sdk = Some(number("sdk", &value, "must be an API level such as 34")?),
                "model" => facts.model = Some(value),
                "manufacturer" => facts.manufacturer = Some(value),
                "region" => facts.region = Some(value),
                "android" => facts.android = Some(value),
                "abi" => facts.abis = Some(value),
                "tags" => facts.tags = Some(value),
                "zone" => facts.zone = Some(value),
                "protocol" => facts.protocol = number("protocol", &value, "must be a number such as 2")?,
                "dense" => facts.dense = value == "1",
                // A hint: one that can't be read is none.
                "fetched" => poll.fetched = Sha256::parse(&value).ok(),
                "patches" => poll.takes_patches = names_patches(&value)?,
                "crashes" => poll.crashes = Some(number("crashes", &value, "must be a number")?),
                _ => {}
            }
        }
        Ok(poll)
    }
}

/// Whether our format is among those of the list.
fn names_patches(formats: &str) -> Result<bool, Error> {
    if formats.len() > MAX_PATCH_FORMATS_BYTES {
        let fault = format!("is longer than {MAX_PATCH_FORMATS_BYTES} bytes");
        return Err(Error::invalid("patches", fault));
    }
    Ok(formats.split(',').any(|format| format == PATCH_FORMAT))
}

fn number(field: &'static str, text: &str, fault: &'static str) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::invalid(field, fault))
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
