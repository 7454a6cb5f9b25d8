//! Tags of devices.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::tag_service_server::TagService;
use tidegate_service::Tags;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

#[derive(Clone)]
pub(super) struct Service(pub Arc<Tags>);

#[tonic::async_trait]
impl TagService for Service {
    async fn list_tags(
        &self,
        request: Request<v1::ListTagsRequest>,
    ) -> Result<Response<v1::ListTagsResponse>, Status> {
        call!(request, verbs::tags::list, self.0)
    }

    async fn tag_devices(
        &self,
        request: Request<v1::TagDevicesRequest>,
    ) -> Result<Response<v1::TagDevicesResponse>, Status> {
        call!(request, verbs::tags::change, self.0)
    }

    async fn list_tag_devices(
        &self,
        request: Request<v1::ListTagDevicesRequest>,
    ) -> Result<Response<v1::ListTagDevicesResponse>, Status> {
        call!(request, verbs::tags::devices_with, self.0)
    }

    async fn rename_tag(&self, request: Request<v1::RenameTagRequest>) -> Result<Response<v1::Tag>, Status> {
        call!(request, verbs::tags::rename, self.0)
    }

    async fn delete_tag(
        &self,
        request: Request<v1::DeleteTagRequest>,
    ) -> Result<Response<v1::DeleteTagResponse>, Status> {
        call!(request, verbs::tags::delete, self.0)
    }
}
