//! The fleet as a whole.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::fleet_service_server::FleetService;
use tidegate_service::Fleet;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

#[derive(Clone)]
pub(super) struct Service(pub Arc<Fleet>);

#[tonic::async_trait]
impl FleetService for Service {
    async fn get_fleet(&self, request: Request<v1::GetFleetRequest>) -> Result<Response<v1::Fleet>, Status> {
        let actor = actor(&request)?;
        verbs::fleet::get(&self.0, &actor, &request.into_inner())
            .map(Response::new)
            .map_err(status)
    }
}
