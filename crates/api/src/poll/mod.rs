//! The poll: asked so often that it is answered beside the router, from memory, at once.
//!
//! A port hands a poll to [`PollEndpoint::answer`] before it routes; the same endpoint is a route for whoever embeds the
//! routes alone. Nothing that a request proved is remembered for the next one on its connection: proxies mix devices, and a
//! token that was revoked must end.

mod body;
mod manifest;
mod query;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request as Routed, State};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use chrono::{DateTime, Utc};
use tidegate_domain::TERMS_SINCE_PROTOCOL;
use tidegate_proto::v1;
use tidegate_service::{Authenticator, Error, Poll, PollAnswer, Polls};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use body::PollBody;

use crate::credentials::bearer;
use crate::poll_log::PollLog;
use crate::problem::{Problem, Refusal};
use crate::request_metrics::{POLL_ROUTE, RequestMetrics};
use crate::rest::NO_STORE;
use crate::{Api, date_header, host, request_id};
use manifest::{Manifests, Own};
use query::PollQuery;

/// The version of the agents' protocol that this server speaks.
pub(crate) const PROTOCOL: i64 = 2;

/// Why a 304 offers nothing, such as `not_in_cohort`.
const REASON: HeaderName = HeaderName::from_static("tidegate-reason");

/// Seconds until the device's next poll.
const POLL_AFTER: HeaderName = HeaderName::from_static("tidegate-poll-after");

/// What a manifest is.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers polls.
pub struct PollEndpoint {
    authenticator: Arc<Authenticator>,
    polls: Arc<Polls>,
    log: Arc<PollLog>,
    request_metrics: Arc<RequestMetrics>,
    manifests: Manifests,
}

impl PollEndpoint {
    /// Over these use cases.
    pub fn new(api: &Api) -> Self {
        Self {
            authenticator: Arc::clone(&api.authenticator),
            polls: Arc::clone(&api.polls),
            log: Arc::clone(&api.poll_log),
            request_metrics: Arc::clone(&api.request_metrics),
            manifests: Manifests::new(),
        }
    }

    /// Whether a request is a poll. All others are the router's, also those of other methods to the same address.
    pub fn takes(method: &Method, uri: &Uri) -> bool {
        *method == Method::GET && uri.path() == POLL_ROUTE
    }

    /// Answers a poll. Its body is not looked at.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<PollBody> {
        #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
        let begun = Instant::now();
        let now = self.polls.now();
        // At the level debug, so that nobody pays for it but those who have traces sent.
        let span = tracing::debug_span!(
            target: "tidegate_api::poll", "poll",
            otel.name = "GET /v1/agent/update", otel.kind = "server",
            request_id = tracing::field::Empty, status = tracing::field::Empty,
        );
        let answered = span.in_scope(|| self.decide(request, begun, now));
        let is_refused = answered.is_err();
        let mut response = answered.unwrap_or_else(refused);
        // By the clock that openings are told by: agents correct theirs with it.
        response.headers_mut().insert(header::DATE, date_header::of(now));
        let is_told = request.headers().contains_key(&request_id::HEADER) || is_refused;
        if is_told || !span.is_disabled() {
            let id = request_id::of(request.headers());
            span.record("request_id", &id);
            span.record("status", response.status().as_u16());
            if is_told {
                request_id::tell(&mut response, &id);
            }
        }
        self.request_metrics.polled(begun, response.status());
        response
    }

    fn decide<B>(
        &self,
        request: &Request<B>,
        begun: Instant,
        now: DateTime<Utc>,
    ) -> Result<Response<PollBody>, Error> {
        host::check(request.version(), request.uri(), request.headers())?;
        let token = bearer(request.headers())?;
        // A stranger is told that they are one before they are told what is wrong with their query.
        let refusal = |error| self.authenticator.device(token).err().unwrap_or(error);
        let query = PollQuery::parse(request.uri().query().unwrap_or_default()).map_err(refusal)?;
        let device_id = query.device_id.as_deref();
        let device_id = device_id.ok_or_else(|| refusal(missing("device_id")))?;
        self.authenticator.device_claiming(token, device_id)?;
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
            at: now,
        };
        let tell = |answer: PollAnswer<'_>, poll_after| {
            if self.log.takes(begun) {
                log(&poll, &answer);
            }
            self.tell(answer, poll.facts.protocol, poll_after)
        };
        Ok(self.polls.answer(&poll, tell))
    }

    fn tell(&self, answer: PollAnswer<'_>, protocol: u32, poll_after: Duration) -> Response<PollBody> {
        match answer {
            PollAnswer::Update {
                catalog,
                offer,
                download_url,
                proof,
                retry_granted_at,
                install_openings,
                patch,
            } => {
                let own = Own {
                    download_url,
                    proof,
                    retry_granted_at,
                    install_openings,
                    patch,
                    poll_after,
                };
                let manifest = self.manifests.write(catalog, &offer, protocol, own);
                let mut response = answer_with(StatusCode::OK, PollBody::whole(manifest), poll_after);
                response.headers_mut().insert(header::CONTENT_TYPE, JSON);
                response
            }
            // As with a hold: to earlier agents it is a reason that they know to pass.
            PollAnswer::WarmingUp if protocol < TERMS_SINCE_PROTOCOL => nothing("paused", poll_after),
            PollAnswer::WarmingUp => nothing("warming_up", poll_after),
            PollAnswer::NoUpdate(reason) => nothing(reason.told_to(protocol).as_str(), poll_after),
        }
    }
}

/// The route of the poll, for the document and for those who have no port that takes it beside the router.
pub(crate) fn route() -> OpenApiRouter<Arc<PollEndpoint>> {
    OpenApiRouter::new().routes(routes!(check_update))
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
async fn check_update(State(endpoint): State<Arc<PollEndpoint>>, request: Routed) -> Response<Body> {
    endpoint.answer(&request).map(Body::new)
}

fn log(poll: &Poll<'_>, answer: &PollAnswer<'_>) {
    let (device_id, package_name) = (poll.device_id, poll.package);
    match answer {
        PollAnswer::Update { offer, .. } => tracing::info!(
            event = "ota.manifest.200",
            device_id,
            package_name,
            build_id = offer.build.id.0,
            version_code = offer.build.facts.version_code.get(),
        ),
        PollAnswer::NoUpdate(reason) => tracing::info!(
            event = "ota.manifest.304",
            device_id,
            package_name,
            reason = reason.told_to(poll.facts.protocol).as_str()
        ),
        PollAnswer::WarmingUp => {}
    }
}

fn nothing(reason: &'static str, poll_after: Duration) -> Response<PollBody> {
    let mut response = answer_with(StatusCode::NOT_MODIFIED, PollBody::none(), poll_after);
    let reason = HeaderValue::from_static(reason);
    response.headers_mut().insert(REASON, reason);
    response
}

fn answer_with(status: StatusCode, body: PollBody, poll_after: Duration) -> Response<PollBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(POLL_AFTER, HeaderValue::from(poll_after.as_secs()));
    // The URL in a manifest is this device's alone.
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// As many headers as an answer has, so that their table grows once.
const HEADERS: usize = 4;

fn refused(error: Error) -> Response<PollBody> {
    Refusal(error).into_whole().map(PollBody::whole)
}

fn missing(field: &'static str) -> Error {
    Error::invalid(field, "is missing")
}
