//! Logging in.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::auth_service_server::AuthService;
use tidegate_service::Users;
use tonic::{Request, Response, Status};

use crate::problem::status;
use crate::{credentials, verbs};

pub(super) struct Service(pub Arc<Users>);

#[tonic::async_trait]
impl AuthService for Service {
    async fn login(&self, request: Request<v1::LoginRequest>) -> Result<Response<v1::LoginResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let from = credentials::login_from(&extensions);
        verbs::auth::login(&self.0, message, &from)
            .await
            .map(Response::new)
            .map_err(status)
    }
}
