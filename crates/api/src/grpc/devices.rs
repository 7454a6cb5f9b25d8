//! Devices.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::device_service_server::DeviceService;
use tidegate_service::Devices;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<Devices>);

#[tonic::async_trait]
impl DeviceService for Service {
    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        call!(request, verbs::devices::list, self.0)
    }

    async fn get_device(
        &self,
        request: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        call!(request, verbs::devices::get, self.0)
    }

    async fn explain_device(
        &self,
        request: Request<v1::ExplainDeviceRequest>,
    ) -> Result<Response<v1::ExplainDeviceResponse>, Status> {
        call!(request, verbs::devices::explain, self.0)
    }

    async fn revoke_device(
        &self,
        request: Request<v1::RevokeDeviceRequest>,
    ) -> Result<Response<v1::RevokeDeviceResponse>, Status> {
        call!(request, verbs::devices::revoke, self.0)
    }

    async fn retry_device(
        &self,
        request: Request<v1::RetryDeviceRequest>,
    ) -> Result<Response<v1::RetryDeviceResponse>, Status> {
        call!(request, verbs::devices::retry, self.0)
    }

    async fn retire_device(
        &self,
        request: Request<v1::RetireDeviceRequest>,
    ) -> Result<Response<v1::RetireDeviceResponse>, Status> {
        call!(request, verbs::devices::retire, self.0)
    }

    async fn erase_device(
        &self,
        request: Request<v1::EraseDeviceRequest>,
    ) -> Result<Response<v1::EraseDeviceResponse>, Status> {
        call!(request, verbs::devices::erase, self.0)
    }

    async fn create_enrollment_token(
        &self,
        request: Request<v1::CreateEnrollmentTokenRequest>,
    ) -> Result<Response<v1::CreateEnrollmentTokenResponse>, Status> {
        call!(request, verbs::devices::create_enrollment_token, self.0)
    }

    async fn allow_enrolment(
        &self,
        request: Request<v1::AllowEnrolmentRequest>,
    ) -> Result<Response<v1::AllowEnrolmentResponse>, Status> {
        call!(request, verbs::devices::allow_enrolment, self.0)
    }

    async fn list_enrollment_tokens(
        &self,
        request: Request<v1::ListEnrollmentTokensRequest>,
    ) -> Result<Response<v1::ListEnrollmentTokensResponse>, Status> {
        call!(request, verbs::devices::list_enrollment_tokens, self.0)
    }

    async fn revoke_enrollment_token(
        &self,
        request: Request<v1::RevokeEnrollmentTokenRequest>,
    ) -> Result<Response<v1::EnrollmentToken>, Status> {
        call!(request, verbs::devices::revoke_enrollment_token, self.0)
    }
}
