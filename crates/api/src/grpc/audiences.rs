//! Audiences.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::audience_service_server::AudienceService;
use tidegate_service::Audiences;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<Audiences>);

#[tonic::async_trait]
impl AudienceService for Service {
    async fn check_audience(
        &self,
        request: Request<v1::CheckAudienceRequest>,
    ) -> Result<Response<v1::CheckAudienceResponse>, Status> {
        call!(request, verbs::audiences::check, self.0)
    }
}
