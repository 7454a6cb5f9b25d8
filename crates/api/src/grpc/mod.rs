//! The gRPC skin: takes the credential from the metadata, calls the verb, tells errors as rich statuses.

/// One call: who, then what, then the answer.
macro_rules! call {
    ($request:ident, $verb:path, $use_case:expr) => {{
        let actor = actor(&$request)?;
        $verb(&$use_case, &actor, $request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }};
}

mod audit;
mod auth;
mod builds;
mod devices;
mod nudges;
mod packages;
mod rollouts;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response as HttpResponse};
use tidegate_proto::v1::audit_service_server::AuditServiceServer;
use tidegate_proto::v1::auth_service_server::AuthServiceServer;
use tidegate_proto::v1::build_service_server::BuildServiceServer;
use tidegate_proto::v1::device_service_server::DeviceServiceServer;
use tidegate_proto::v1::nudge_service_server::NudgeServiceServer;
use tidegate_proto::v1::package_service_server::PackageServiceServer;
use tidegate_proto::v1::rollout_service_server::RolloutServiceServer;
use tidegate_service::{Actor, Authenticator};
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Status};

use crate::Api;
use crate::credentials;
use crate::problem::status;
use crate::request_id::RequestId;

/// All services, reflection and health, as routes to merge with others. Their fallback is left to the caller.
pub(crate) fn router(api: &Api) -> axum::Router {
    let authenticator = Arc::clone(&api.authenticator);
    guarded(api)
        .layer(from_fn_with_state(authenticator, authenticate))
        .merge(open(api))
        .layer(from_fn(deadline))
}

/// The services that ask for an admin token.
fn guarded(api: &Api) -> axum::Router {
    let mut routes = Routes::builder();
    routes
        .add_service(AuditServiceServer::new(audit::Service(Arc::clone(&api.audit))))
        .add_service(BuildServiceServer::new(builds::Service {
            builds: Arc::clone(&api.builds),
            uploads: Arc::clone(&api.uploads),
        }))
        .add_service(DeviceServiceServer::new(devices::Service(Arc::clone(
            &api.devices,
        ))))
        .add_service(NudgeServiceServer::new(nudges::Service {
            nudges: Arc::clone(&api.nudges),
            authenticator: Arc::clone(&api.authenticator),
            stopping: api.stopping.clone(),
        }))
        .add_service(PackageServiceServer::new(packages::Service(Arc::clone(
            &api.packages,
        ))))
        .add_service(RolloutServiceServer::new(rollouts::Service(Arc::clone(
            &api.rollouts,
        ))));
    without_fallback(routes)
}

/// Logging in, health and reflection, for everybody.
fn open(api: &Api) -> axum::Router {
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::builder();
    routes
        .add_service(health_service)
        .add_service(AuthServiceServer::new(auth::Service(Arc::clone(&api.users))));
    // Clients in the field speak either version of the reflection protocol.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tidegate_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1).add_service(v1alpha);
        }
        (v1, v1alpha) => tracing::error!(v1 = ?v1.err(), v1alpha = ?v1alpha.err(), "no gRPC reflection"),
    }
    tokio::spawn(async move {
        health
            .set_service_status("", tonic_health::ServingStatus::Serving)
            .await;
    });
    without_fallback(routes)
}

fn without_fallback(routes: RoutesBuilder) -> axum::Router {
    routes.routes().prepare().into_axum_router().reset_fallback()
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

/// Ends a call at the deadline that its client set.
///
/// Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `grpc-timeout`.
async fn deadline(request: HttpRequest, next: Next) -> HttpResponse {
    let timeout = request
        .headers()
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(parse_timeout);
    let Some(timeout) = timeout else {
        return next.run(request).await;
    };
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse(Status::deadline_exceeded(
            "the deadline that the client set has passed",
        )),
    }
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// Who calls, as [`authenticate`] found out.
fn actor<T>(request: &Request<T>) -> Result<Actor, Status> {
    let actor = request.extensions().get::<Actor>().cloned();
    actor.ok_or_else(|| Status::unauthenticated("no credential was checked for this method"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_reads_as_the_protocol_writes_it() {
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "5", "5x", "123456789S", "-5S", "µ"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
