//! The gRPC skin: takes the credential from the metadata, calls the verb, tells errors as rich statuses.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request as HttpRequest;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response as HttpResponse};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tidegate_proto::v1;
use tidegate_proto::v1::audit_service_server::{AuditService, AuditServiceServer};
use tidegate_proto::v1::auth_service_server::{AuthService, AuthServiceServer};
use tidegate_proto::v1::build_service_server::{BuildService, BuildServiceServer};
use tidegate_proto::v1::device_service_server::{DeviceService, DeviceServiceServer};
use tidegate_proto::v1::nudge_service_server::{NudgeService, NudgeServiceServer};
use tidegate_proto::v1::package_service_server::{PackageService, PackageServiceServer};
use tidegate_proto::v1::rollout_service_server::{RolloutService, RolloutServiceServer};
use tidegate_proto::v1::upload_build_request::Part;
use tidegate_service::{Actor, Error, UploadNotes, UploadPace};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::credentials::Listener;
use crate::problem::status;
use crate::request_id::RequestId;
use crate::{Api, credentials, messages, verbs};

/// The largest chunk of a file in one message, in bytes.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

/// All services, reflection and health, as routes to merge with others. Their fallback is left to the caller.
pub(crate) fn router(api: &Arc<Api>) -> axum::Router {
    let grpc = Grpc(Arc::clone(api));
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::builder();
    routes
        .add_service(health_service)
        .add_service(AuditServiceServer::new(grpc.clone()))
        .add_service(AuthServiceServer::new(grpc.clone()))
        .add_service(BuildServiceServer::new(grpc.clone()))
        .add_service(DeviceServiceServer::new(grpc.clone()))
        .add_service(NudgeServiceServer::new(grpc.clone()))
        .add_service(PackageServiceServer::new(grpc.clone()))
        .add_service(RolloutServiceServer::new(grpc));
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
    routes
        .routes()
        .prepare()
        .into_axum_router()
        .reset_fallback()
        .layer(axum::middleware::from_fn(deadline))
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
        Err(_) => Status::deadline_exceeded("the deadline that the client set has passed")
            .into_http::<axum::body::Body>()
            .into_response(),
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

#[derive(Clone)]
struct Grpc(Arc<Api>);

impl Grpc {
    fn actor<T>(&self, request: &Request<T>) -> Result<Actor, Status> {
        let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let headers = request.metadata().as_ref();
        credentials::bearer(headers)
            .and_then(|token| credentials::actor(&self.0.authenticator, token, request_id))
            .map_err(status)
    }
}

/// One call: who, then what, then the answer.
macro_rules! call {
    ($self:ident, $request:ident, $verb:path) => {{
        let actor = $self.actor(&$request)?;
        $verb(&$self.0, &actor, $request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }};
}

#[tonic::async_trait]
impl BuildService for Grpc {
    async fn upload_build(
        &self,
        request: Request<Streaming<v1::UploadBuildRequest>>,
    ) -> Result<Response<v1::Build>, Status> {
        let actor = self.actor(&request)?;
        let mut messages = request.into_inner();
        let mut pace = self.0.uploads.pace();
        let notes = metadata(&mut pace, &mut messages).await?;
        let mut upload = self.0.uploads.begin(&actor).await.map_err(status)?;
        while let Some(message) = pace.next(messages.message()).await.map_err(status)?? {
            let Some(Part::Chunk(chunk)) = message.part else {
                return Err(status(Error::invalid(
                    "metadata",
                    "may only come in the first message",
                )));
            };
            if chunk.len() > MAX_CHUNK_BYTES {
                return Err(status(Error::invalid(
                    "chunk",
                    format!("is larger than {MAX_CHUNK_BYTES} bytes"),
                )));
            }
            pace.brought(chunk.len());
            upload.write(Bytes::from(chunk)).await.map_err(status)?;
        }
        let build = self.0.uploads.finish(upload, notes).await.map_err(status)?;
        let view = self.0.builds.get(build.id).await.map_err(status)?;
        Ok(Response::new(messages::build(view)))
    }

    async fn get_build(&self, request: Request<v1::GetBuildRequest>) -> Result<Response<v1::Build>, Status> {
        call!(self, request, verbs::builds::get)
    }

    async fn list_builds(
        &self,
        request: Request<v1::ListBuildsRequest>,
    ) -> Result<Response<v1::ListBuildsResponse>, Status> {
        call!(self, request, verbs::builds::list)
    }

    async fn get_deployment_stats(
        &self,
        request: Request<v1::GetDeploymentStatsRequest>,
    ) -> Result<Response<v1::DeploymentStats>, Status> {
        call!(self, request, verbs::builds::stats)
    }
}

async fn metadata(
    pace: &mut UploadPace,
    messages: &mut Streaming<v1::UploadBuildRequest>,
) -> Result<UploadNotes, Status> {
    let first = pace.next(messages.message()).await.map_err(status)??;
    match first.and_then(|message| message.part) {
        Some(Part::Metadata(v1::UploadMetadata {
            notes,
            build_type,
            ci_run_id,
            git_sha,
        })) => Ok(UploadNotes {
            notes,
            build_type,
            ci_run_id,
            git_sha,
        }),
        _ => Err(status(Error::invalid(
            "metadata",
            "must be the first message of an upload",
        ))),
    }
}

#[tonic::async_trait]
impl RolloutService for Grpc {
    async fn promote(
        &self,
        request: Request<v1::PromoteRequest>,
    ) -> Result<Response<v1::PromoteResponse>, Status> {
        call!(self, request, verbs::rollouts::promote)
    }

    async fn adjust_rollout(
        &self,
        request: Request<v1::AdjustRolloutRequest>,
    ) -> Result<Response<v1::AdjustRolloutResponse>, Status> {
        call!(self, request, verbs::rollouts::adjust)
    }

    async fn pause_rollout(
        &self,
        request: Request<v1::PauseRolloutRequest>,
    ) -> Result<Response<v1::RolloutStateResponse>, Status> {
        call!(self, request, verbs::rollouts::pause)
    }

    async fn resume_rollout(
        &self,
        request: Request<v1::ResumeRolloutRequest>,
    ) -> Result<Response<v1::RolloutStateResponse>, Status> {
        call!(self, request, verbs::rollouts::resume)
    }

    async fn roll_back(
        &self,
        request: Request<v1::RollBackRequest>,
    ) -> Result<Response<v1::RollBackResponse>, Status> {
        call!(self, request, verbs::rollouts::roll_back)
    }

    async fn list_rollouts(
        &self,
        request: Request<v1::ListRolloutsRequest>,
    ) -> Result<Response<v1::ListRolloutsResponse>, Status> {
        call!(self, request, verbs::rollouts::list)
    }
}

#[tonic::async_trait]
impl DeviceService for Grpc {
    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        call!(self, request, verbs::devices::list)
    }

    async fn get_device(
        &self,
        request: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        call!(self, request, verbs::devices::get)
    }

    async fn explain_device(
        &self,
        request: Request<v1::ExplainDeviceRequest>,
    ) -> Result<Response<v1::ExplainDeviceResponse>, Status> {
        call!(self, request, verbs::devices::explain)
    }

    async fn revoke_device(
        &self,
        request: Request<v1::RevokeDeviceRequest>,
    ) -> Result<Response<v1::RevokeDeviceResponse>, Status> {
        call!(self, request, verbs::devices::revoke)
    }

    async fn retry_device(
        &self,
        request: Request<v1::RetryDeviceRequest>,
    ) -> Result<Response<v1::RetryDeviceResponse>, Status> {
        call!(self, request, verbs::devices::retry)
    }

    async fn create_enrollment_token(
        &self,
        request: Request<v1::CreateEnrollmentTokenRequest>,
    ) -> Result<Response<v1::CreateEnrollmentTokenResponse>, Status> {
        call!(self, request, verbs::devices::create_enrollment_token)
    }
}

#[tonic::async_trait]
impl NudgeService for Grpc {
    type WatchCampaignStream = BoxStream<'static, Result<v1::Campaign, Status>>;

    async fn nudge_update(
        &self,
        request: Request<v1::NudgeUpdateRequest>,
    ) -> Result<Response<v1::NudgeUpdateResponse>, Status> {
        let order = request.get_ref();
        if order.device_ids.is_empty() && order.audience.is_empty() {
            // JSON tells an empty list from none at all; here they are one, and a slip must not wake a whole fleet.
            let fault = "must be given where no device_ids are: all, or behind";
            return Err(status(Error::invalid("audience", fault)));
        }
        call!(self, request, verbs::nudges::nudge)
    }

    async fn get_campaign(
        &self,
        request: Request<v1::GetCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(self, request, verbs::nudges::get)
    }

    async fn list_campaigns(
        &self,
        request: Request<v1::ListCampaignsRequest>,
    ) -> Result<Response<v1::ListCampaignsResponse>, Status> {
        call!(self, request, verbs::nudges::list)
    }

    async fn list_campaign_failures(
        &self,
        request: Request<v1::ListCampaignFailuresRequest>,
    ) -> Result<Response<v1::ListCampaignFailuresResponse>, Status> {
        call!(self, request, verbs::nudges::failures)
    }

    async fn watch_campaign(
        &self,
        request: Request<v1::WatchCampaignRequest>,
    ) -> Result<Response<Self::WatchCampaignStream>, Status> {
        let actor = self.actor(&request)?;
        let listener = Listener::of(&self.0, request.metadata().as_ref()).map_err(status)?;
        let changes = verbs::nudges::watch(&self.0, &actor, listener, request.into_inner()).await;
        let changes = changes.map_err(status)?;
        Ok(Response::new(
            changes.map(|change| change.map_err(status)).boxed(),
        ))
    }

    async fn cancel_campaign(
        &self,
        request: Request<v1::CancelCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(self, request, verbs::nudges::cancel)
    }

    async fn pause_campaign(
        &self,
        request: Request<v1::PauseCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(self, request, verbs::nudges::pause)
    }

    async fn resume_campaign(
        &self,
        request: Request<v1::ResumeCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(self, request, verbs::nudges::resume)
    }
}

#[tonic::async_trait]
impl PackageService for Grpc {
    async fn list_packages(
        &self,
        request: Request<v1::ListPackagesRequest>,
    ) -> Result<Response<v1::ListPackagesResponse>, Status> {
        call!(self, request, verbs::packages::list)
    }

    async fn pin_signer(
        &self,
        request: Request<v1::PinSignerRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(self, request, verbs::packages::pin)
    }

    async fn unpin_signer(
        &self,
        request: Request<v1::UnpinSignerRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(self, request, verbs::packages::unpin)
    }

    async fn allow_debuggable(
        &self,
        request: Request<v1::AllowDebuggableRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(self, request, verbs::packages::allow_debuggable)
    }
}

#[tonic::async_trait]
impl AuditService for Grpc {
    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        call!(self, request, verbs::audit::list)
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        call!(self, request, verbs::audit::verify)
    }
}

#[tonic::async_trait]
impl AuthService for Grpc {
    async fn login(&self, request: Request<v1::LoginRequest>) -> Result<Response<v1::LoginResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let from = credentials::login_from(&extensions);
        verbs::auth::login(&self.0, message, &from)
            .await
            .map(Response::new)
            .map_err(status)
    }
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
