//! Packages.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::package_service_server::PackageService;
use tidegate_service::Packages;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<Packages>);

#[tonic::async_trait]
impl PackageService for Service {
    async fn list_packages(
        &self,
        request: Request<v1::ListPackagesRequest>,
    ) -> Result<Response<v1::ListPackagesResponse>, Status> {
        call!(request, verbs::packages::list, self.0)
    }

    async fn pin_signer(
        &self,
        request: Request<v1::PinSignerRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(request, verbs::packages::pin, self.0)
    }

    async fn unpin_signer(
        &self,
        request: Request<v1::UnpinSignerRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(request, verbs::packages::unpin, self.0)
    }

    async fn allow_debuggable(
        &self,
        request: Request<v1::AllowDebuggableRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(request, verbs::packages::allow_debuggable, self.0)
    }

    async fn edit_package(
        &self,
        request: Request<v1::EditPackageRequest>,
    ) -> Result<Response<v1::Package>, Status> {
        call!(request, verbs::packages::edit, self.0)
    }
}
