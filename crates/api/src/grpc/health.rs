//! Health as gRPC clients and load balancers ask for it, in step with `/readyz`.
//!
//! Source: <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, unfold};
use tidegate_service::Readiness;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::SERVICES;

/// How often a watch looks whether anything changed.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Service {
    pub readiness: Arc<Readiness>,
    pub stopping: CancellationToken,
}

/// The services stand and fall together. The server as a whole has the empty name.
fn is_known(name: &str) -> bool {
    name.is_empty() || SERVICES.contains(&name)
}

#[tonic::async_trait]
impl Health for Service {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("no service has this name"));
        }
        Ok(Response::new(told(status(&self.readiness).await)))
    }

    /// An unknown name is no error here: the service may come.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch {
            readiness: is_known(&request.get_ref().service).then(|| Arc::clone(&self.readiness)),
            stopping: self.stopping.clone(),
            last: None,
        };
        let changes = unfold(watch, async |mut watch| {
            Some((Ok(told(watch.next().await?)), watch))
        });
        Ok(Response::new(changes.boxed()))
    }
}

/// One that watches, and what they were told last.
struct Watch {
    readiness: Option<Arc<Readiness>>,
    stopping: CancellationToken,
    last: Option<ServingStatus>,
}

impl Watch {
    /// The next status that is another than the last; none any more once the server stops.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let stops = self.stopping.is_cancelled();
            let now = match &self.readiness {
                None => ServingStatus::ServiceUnknown,
                Some(_) if stops => ServingStatus::NotServing,
                Some(readiness) => status(readiness).await,
            };
            if self.last.replace(now) != Some(now) {
                return Some(now);
            }
            if stops {
                return None;
            }
            let pause = tokio::time::timeout(LOOKED_AT_EVERY, self.stopping.cancelled());
            // It ended, or the server stops: either way it is time to look.
            let _ = pause.await;
        }
    }
}

async fn status(readiness: &Readiness) -> ServingStatus {
    match readiness.check().await {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
