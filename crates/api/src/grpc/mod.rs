//! The gRPC skin: takes the credential from the metadata, calls the verb, tells errors as rich statuses.

/// One call: who, then what, then the answer.
macro_rules! call {
    ($request:ident, $verb:path, of $use_cases:expr) => {{
        let actor = actor(&$request)?;
        $verb($use_cases, &actor, $request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }};
    ($request:ident, $verb:path, $use_case:expr) => {
        call!($request, $verb, of & $use_case)
    };
}

mod audiences;
mod audit;
mod auth;
mod builds;
mod calendars;
mod deadline;
mod devices;
mod experiments;
mod fleet;
mod health;
mod lengths;
mod methods;
mod nudges;
mod packages;
mod people;
mod policies;
mod reflection;
mod rollouts;
mod statuses;
mod tags;

use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response as HttpResponse};
use tidegate_proto::v1::audience_service_server::{self, AudienceServiceServer};
use tidegate_proto::v1::audit_service_server::{self, AuditServiceServer};
use tidegate_proto::v1::auth_service_server::{self, AuthServiceServer};
use tidegate_proto::v1::build_service_server::{self, BuildServiceServer};
use tidegate_proto::v1::calendar_service_server::{self, CalendarServiceServer};
use tidegate_proto::v1::device_service_server::{self, DeviceServiceServer};
use tidegate_proto::v1::experiment_service_server::{self, ExperimentServiceServer};
use tidegate_proto::v1::fleet_service_server::{self, FleetServiceServer};
use tidegate_proto::v1::nudge_service_server::{self, NudgeServiceServer};
use tidegate_proto::v1::package_service_server::{self, PackageServiceServer};
use tidegate_proto::v1::people_service_server::{self, PeopleServiceServer};
use tidegate_proto::v1::policy_service_server::{self, PolicyServiceServer};
use tidegate_proto::v1::rollout_service_server::{self, RolloutServiceServer};
use tidegate_proto::v1::tag_service_server::{self, TagServiceServer};
use tidegate_service::{Actor, Authenticator};
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Status};
use tonic_health::pb::health_server::HealthServer;

use crate::Api;
use crate::credentials;
use crate::problem::{problem, status};
use crate::request_id::RequestId;
use crate::rest::{MAX_JSON_BYTES, MAX_NOTES_BODY_BYTES, MAX_NUDGE_BYTES, MAX_TAG_BYTES};

/// The services that tell their health.
const SERVICES: [&str; 14] = [
    audience_service_server::SERVICE_NAME,
    audit_service_server::SERVICE_NAME,
    auth_service_server::SERVICE_NAME,
    build_service_server::SERVICE_NAME,
    calendar_service_server::SERVICE_NAME,
    device_service_server::SERVICE_NAME,
    experiment_service_server::SERVICE_NAME,
    fleet_service_server::SERVICE_NAME,
    nudge_service_server::SERVICE_NAME,
    package_service_server::SERVICE_NAME,
    people_service_server::SERVICE_NAME,
    policy_service_server::SERVICE_NAME,
    rollout_service_server::SERVICE_NAME,
    tag_service_server::SERVICE_NAME,
];

/// The methods whose messages may be larger than all others', which are bounded as REST's bodies are.
pub(super) const UPLOAD_BUILD: &str = "/tidegate.v1.BuildService/UploadBuild";
const SET_BUILD_NOTES: &str = "/tidegate.v1.BuildService/SetBuildNotes";
const NUDGE_UPDATE: &str = "/tidegate.v1.NudgeService/NudgeUpdate";
const TAG_DEVICES: &str = "/tidegate.v1.TagService/TagDevices";

/// The largest message of an upload, in bytes: a chunk, or the notes, and what frames them.
const MAX_UPLOAD_MESSAGE_BYTES: usize = builds::MAX_CHUNK_BYTES + MAX_JSON_BYTES;

/// How long a message of a method may be, in bytes.
fn max_bytes(method: &str) -> usize {
    match method {
        UPLOAD_BUILD => MAX_UPLOAD_MESSAGE_BYTES,
        SET_BUILD_NOTES => MAX_NOTES_BODY_BYTES,
        NUDGE_UPDATE => MAX_NUDGE_BYTES,
        TAG_DEVICES => MAX_TAG_BYTES,
        _ => MAX_JSON_BYTES,
    }
}

/// Whether a route's pattern is that of gRPC methods.
pub(crate) fn is_grpc(pattern: &str) -> bool {
    pattern.contains("{*") || [UPLOAD_BUILD, SET_BUILD_NOTES, NUDGE_UPDATE, TAG_DEVICES].contains(&pattern)
}

/// All services, reflection and health, as routes to merge with others. Their fallback is left to the caller.
pub(crate) fn router(api: &Api) -> axum::Router {
    let authenticator = Arc::clone(&api.authenticator);
    guarded(api)
        .layer(from_fn(lengths::check))
        .layer(from_fn_with_state(authenticator, authenticate))
        .merge(open(api))
        .layer(from_fn(deadline::keep))
        .layer(from_fn(statuses::mend))
        .layer(from_fn(only_grpc))
        .layer(from_fn_with_state(methods::all(), methods::known))
}

/// The services that ask for an admin token.
fn guarded(api: &Api) -> axum::Router {
    let builds = BuildServiceServer::new(builds::Service {
        builds: Arc::clone(&api.builds),
        uploads: Arc::clone(&api.uploads),
        patches: Arc::clone(&api.patches),
    });
    let nudges = NudgeServiceServer::new(nudges::Service {
        nudges: Arc::clone(&api.nudges),
        authenticator: Arc::clone(&api.authenticator),
        stopping: api.stopping.clone(),
    });
    let audiences = AudienceServiceServer::new(audiences::Service(Arc::clone(&api.audiences)));
    let audit = AuditServiceServer::new(audit::Service(Arc::clone(&api.audit)));
    let devices = DeviceServiceServer::new(devices::Service(Arc::clone(&api.devices)));
    let experiments = ExperimentServiceServer::new(experiments::Service(Arc::clone(&api.experiments)));
    let fleet = FleetServiceServer::new(fleet::Service(Arc::clone(&api.fleet)));
    let packages = PackageServiceServer::new(packages::Service(Arc::clone(&api.packages)));
    let people = PeopleServiceServer::new(people::Service {
        users: Arc::clone(&api.users),
        service_accounts: Arc::clone(&api.service_accounts),
        tokens: Arc::clone(&api.tokens),
    });
    let rollouts = RolloutServiceServer::new(rollouts::Service {
        rollouts: Arc::clone(&api.rollouts),
        audiences: Arc::clone(&api.audiences),
        forecasts: Arc::clone(&api.forecasts),
    });
    let policies = PolicyServiceServer::new(policies::Service(Arc::clone(&api.policies)));
    let calendars = CalendarServiceServer::new(calendars::Service(Arc::clone(&api.calendars)));
    let tags = TagServiceServer::new(tags::Service(Arc::clone(&api.tags)));
    let mut routes = Routes::builder();
    routes
        .add_service(audiences.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(audit.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(builds.clone().max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(calendars.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(devices.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(experiments.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(fleet.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(nudges.clone().max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(packages.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(people.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(policies.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(rollouts.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(tags.clone().max_decoding_message_size(MAX_JSON_BYTES));
    without_fallback(routes)
        .route_service(
            SET_BUILD_NOTES,
            builds
                .clone()
                .max_decoding_message_size(max_bytes(SET_BUILD_NOTES)),
        )
        .route_service(
            UPLOAD_BUILD,
            builds.max_decoding_message_size(max_bytes(UPLOAD_BUILD)),
        )
        .route_service(
            NUDGE_UPDATE,
            nudges.max_decoding_message_size(max_bytes(NUDGE_UPDATE)),
        )
        .route_service(
            TAG_DEVICES,
            tags.max_decoding_message_size(max_bytes(TAG_DEVICES)),
        )
}

/// Logging in, health and reflection, for everybody.
fn open(api: &Api) -> axum::Router {
    let health = HealthServer::new(health::Service {
        readiness: Arc::clone(&api.readiness),
        stopping: api.stopping.clone(),
    });
    let auth = AuthServiceServer::new(auth::Service(Arc::clone(&api.users)));
    let mut routes = Routes::builder();
    routes
        .add_service(health.max_decoding_message_size(MAX_JSON_BYTES))
        .add_service(auth.max_decoding_message_size(MAX_JSON_BYTES));
    without_fallback(routes)
        .layer(from_fn(lengths::check))
        .merge(reflection::router())
}

fn without_fallback(routes: RoutesBuilder) -> axum::Router {
    routes.routes().prepare().into_axum_router().reset_fallback()
}

/// Whether a request says that it is gRPC's.
///
/// Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `Content-Type`.
pub(crate) fn speaks_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = media_type.and_then(|text| text.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Keeps what is not gRPC away from it.
async fn only_grpc(request: HttpRequest, next: Next) -> HttpResponse {
    if !speaks_grpc(request.headers()) {
        let detail = "gRPC methods take the content type application/grpc";
        return problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_grpc",
            detail.to_owned(),
            None,
        );
    }
    next.run(request).await
}

/// Looks at the credential before a byte of the body is read, and hands the caller on to [`actor`].
async fn authenticate(
    State(authenticator): State<Arc<Authenticator>>,
    mut request: HttpRequest,
    next: Next,
) -> HttpResponse {
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    let actor = credentials::bearer(request.headers())
        .and_then(|token| credentials::actor(&authenticator, token, request_id));
    match actor {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(error) => refuse(status(error)),
    }
}

fn refuse(status: Status) -> HttpResponse {
    status.into_http::<axum::body::Body>().into_response()
}

/// Who calls, as [`authenticate`] found out.
fn actor<T>(request: &Request<T>) -> Result<Actor, Status> {
    let actor = request.extensions().get::<Actor>().cloned();
    actor.ok_or_else(|| Status::unauthenticated("no credential was checked for this method"))
}
