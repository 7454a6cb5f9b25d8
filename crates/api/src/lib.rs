//! # The protocol edge
//!
//! Two skins over one set of use cases: REST for agents and curl, gRPC for tools and generated clients. A verb is
//! written once, from its request message to its answer; gRPC and REST differ only in where the message comes
//! from and how an error looks. The messages are the protocol's own, so there is no third copy of any struct.
//!
//! This crate must never know a rule or a table. It checks who calls, reads what they send strictly and within
//! bounds, calls one use case, and tells the outcome. What it alone knows are statuses, headers and routes.
//!
//! [`agent_router`] and [`admin_router`] can share a port or stand on two, which is how an operator keeps the
//! admin surface off the network that devices are on.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test may look at any clock")
)]

mod credentials;
mod date_header;
mod grpc;
mod host;
mod linger;
mod messages;
mod openapi;
mod poll;
mod poll_log;
mod problem;
mod request_id;
mod request_metrics;
mod rest;
mod state;
mod timeouts;
mod verbs;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tidegate_service::{
    AdminTokens, Audiences, AuditLog, Authenticator, Builds, Calendars, Devices, Downloads, Error,
    Experiments, Fleet, Forecasts, Kind, Nudges, Packages, Patches, Policies, Polls, Readiness, Reports,
    Rollouts, ServiceAccounts, Tags, Uploads, Users,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use utoipa_axum::router::OpenApiRouter;

use state::{AppState, Routes};

pub use linger::let_go;
pub use poll::{PollBody, PollEndpoint};
pub use poll_log::{PollLog, tell_left_out_polls};
pub use problem::Problem;
pub use request_metrics::{BOUNDS, POLL_ROUTE, Reading, RequestMetrics, Series};
pub use rest::metrics::{MetricsFormat, MetricsPage};
pub use timeouts::REQUEST_TIMEOUT;

/// The use cases that the edge calls, some of them shared with the operator's page.
pub struct Api {
    /// Checks credentials.
    pub authenticator: Arc<Authenticator>,
    /// Answers polls.
    pub polls: Arc<Polls>,
    /// Takes reports in.
    pub reports: Arc<Reports>,
    /// Manages devices.
    pub devices: Arc<Devices>,
    /// Looks at builds.
    pub builds: Arc<Builds>,
    /// Takes builds in.
    pub uploads: Arc<Uploads>,
    /// Shows the patches to builds.
    pub patches: Arc<Patches>,
    /// Hands builds out.
    pub downloads: Arc<Downloads>,
    /// Releases builds.
    pub rollouts: Arc<Rollouts>,
    /// Tries builds side by side.
    pub experiments: Arc<Experiments>,
    /// Counts devices.
    pub fleet: Arc<Fleet>,
    /// Says what rollouts would do.
    pub forecasts: Arc<Forecasts>,
    /// Tells whom an audience takes.
    pub audiences: Arc<Audiences>,
    /// Wakes devices.
    pub nudges: Arc<Nudges>,
    /// Manages packages.
    pub packages: Arc<Packages>,
    /// Manages policies.
    pub policies: Arc<Policies>,
    /// Manages calendars.
    pub calendars: Arc<Calendars>,
    /// Gives tags to devices.
    pub tags: Arc<Tags>,
    /// Lets people in.
    pub users: Arc<Users>,
    /// Lets machines in.
    pub service_accounts: Arc<ServiceAccounts>,
    /// Manages tokens that were handed out.
    pub tokens: Arc<AdminTokens>,
    /// Looks at the audit log.
    pub audit: Arc<AuditLog>,
    /// Tells whether the server can work.
    pub readiness: Arc<Readiness>,
    /// Times requests.
    pub request_metrics: Arc<RequestMetrics>,
    /// Writes the metrics page; `None` when they are switched off.
    pub metrics: Option<Arc<dyn MetricsPage>>,
    /// Which polls are logged.
    pub poll_log: Arc<PollLog>,
    /// Canceled when the server stops. What would go on for ever ends then.
    pub stopping: CancellationToken,
}

/// What somebody without a credential is told whose place was given to another caller of the same address.
pub fn too_many_strangers() -> Response {
    let message = "too many requests without a valid credential come from this address; try again";
    problem::Refusal(Error::new(Kind::Exhausted, "too_many_requests", message)).into_response()
}

/// What else operators are served.
pub struct Beside {
    /// The routes.
    pub routes: Router,
    /// What somebody is shown at an address where there is nothing; `None` for those who are to be told as programs are.
    pub missing: fn(&Request) -> Option<Response>,
}

/// Everything on one port: agents, operators and gRPC, and `beside` them what else operators are served.
pub fn router(api: &Arc<Api>, beside: Beside) -> Router {
    let routes = agent_rest().merge(admin_rest()).merge(rest::metrics::guarded());
    let Beside {
        routes: pages,
        missing,
    } = beside;
    let others = grpc::router(api).merge(pages);
    finish(routes, poll::route(), api, Some(others), missing)
}

/// What devices call, and health.
pub fn agent_router(api: &Arc<Api>) -> Router {
    finish(agent_rest(), poll::route(), api, None, |_| None)
}

/// What operators and their tools call, in REST and gRPC, and health, and `beside` them what else they are served.
pub fn admin_router(api: &Arc<Api>, beside: Beside) -> Router {
    finish(
        admin_rest()
            .merge(rest::download::routes())
            .merge(rest::metrics::open()),
        OpenApiRouter::new(),
        api,
        Some(grpc::router(api).merge(beside.routes)),
        beside.missing,
    )
}

fn agent_rest() -> Routes {
    in_time(rest::agent::routes()).merge(rest::download::routes())
}

fn admin_rest() -> Routes {
    in_time(
        rest::builds::routes()
            .merge(rest::rollouts::routes())
            .merge(rest::plans::routes())
            .merge(rest::gates::routes())
            .merge(rest::experiments::routes())
            .merge(rest::audiences::routes())
            .merge(rest::devices::routes())
            .merge(rest::fleet::routes())
            .merge(rest::nudges::routes())
            .merge(rest::packages::routes())
            .merge(rest::people::routes())
            .merge(rest::policies::routes())
            .merge(rest::calendars::routes())
            .merge(rest::tags::routes())
            .merge(rest::audit::routes())
            .merge(rest::auth::routes()),
    )
    .merge(rest::upload::routes())
}

fn in_time(routes: Routes) -> Routes {
    routes.layer(axum::middleware::from_fn(timeouts::in_time))
}

/// Puts layers and fallbacks around the routes; the poll stays outside of the layers. `others` are what only operators
/// are served: the document is one of these.
fn finish(
    routes: Routes,
    poll: OpenApiRouter<Arc<PollEndpoint>>,
    api: &Arc<Api>,
    others: Option<Router>,
    missing: fn(&Request) -> Option<Response>,
) -> Router {
    let (router, paths) = routes.merge(rest::health::routes()).split_for_parts();
    let (poll, poll_paths) = poll.split_for_parts();
    let router = router.with_state(AppState(Arc::clone(api)));
    let router = match others {
        Some(others) => router.merge(others).merge(openapi::route([paths, poll_paths])),
        None => router,
    };
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(move |request: Request| async move {
            missing(&request).unwrap_or_else(|| nothing_here(&request))
        })
        .layer(axum::middleware::from_fn(host::one))
        .layer(axum::middleware::from_fn(linger::read_on))
        .layer(axum::middleware::from_fn(request_id::name))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api.request_metrics),
            request_metrics::time,
        ))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api.polls),
            date_header::tell,
        ))
        .merge(
            poll.method_not_allowed_fallback(method_not_allowed)
                .with_state(Arc::new(PollEndpoint::new(api))),
        )
}

/// A path that nobody serves, told in the caller's own protocol.
fn nothing_here(request: &Request) -> Response {
    if grpc::speaks_grpc(request.headers()) {
        let message = format!("no service has the method {}", request.uri().path());
        return Status::unimplemented(message)
            .into_http::<axum::body::Body>()
            .into_response();
    }
    let detail = format!("nothing is served at {}", request.uri().path());
    problem::problem(StatusCode::NOT_FOUND, "no_such_path", detail, None)
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("{} is not served at {}", request.method(), request.uri().path());
    let mut response = problem::problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, None);
    // The poll's route has no layer that would.
    request_id::tell(&mut response, &request_id::of(request.headers()));
    response
}
