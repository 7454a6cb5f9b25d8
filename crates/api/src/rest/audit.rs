//! The audit log.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use tidegate_proto::v1;
use tidegate_service::AuditLog;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::Fields;
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

/// Audit entries, newest first.
#[utoipa::path(
    get, path = "/v1/audit",
    operation_id = "ListAudit", tag = "audit", params(v1::ListAuditRequest),
    responses((status = 200, body = v1::ListAuditResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(log): State<Arc<AuditLog>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListAuditRequest>,
) -> Result<JsonAnswer<v1::ListAuditResponse>, Refusal> {
    Ok(JsonAnswer(verbs::audit::list(&log, &actor, request).await?))
}

/// Recomputes the audit log's hash chain, and looks at every account.
#[utoipa::path(
    get, path = "/v1/audit/verify",
    operation_id = "VerifyAudit", tag = "audit",
    responses((status = 200, body = v1::VerifyAuditResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn verify(
    State(log): State<Arc<AuditLog>>,
    Caller(actor): Caller,
) -> Result<JsonAnswer<v1::VerifyAuditResponse>, Refusal> {
    Ok(JsonAnswer(
        verbs::audit::verify(&log, &actor, v1::VerifyAuditRequest {}).await?,
    ))
}
