//! The audit log.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::audit_service_server::AuditService;
use tidegate_service::AuditLog;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<AuditLog>);

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        call!(request, verbs::audit::list, self.0)
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        call!(request, verbs::audit::verify, self.0)
    }
}
