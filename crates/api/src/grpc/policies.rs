//! Policies, and the hold on everybody.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::policy_service_server::PolicyService;
use tidegate_service::Policies;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<Policies>);

#[tonic::async_trait]
impl PolicyService for Service {
    async fn list_policies(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        call!(request, verbs::policies::list, self.0)
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        call!(request, verbs::policies::get, self.0)
    }

    async fn create_policy(
        &self,
        request: Request<v1::CreatePolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        call!(request, verbs::policies::create, self.0)
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        call!(request, verbs::policies::update, self.0)
    }

    async fn delete_policy(
        &self,
        request: Request<v1::DeletePolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        call!(request, verbs::policies::delete, self.0)
    }

    async fn list_holds(
        &self,
        request: Request<v1::ListHoldsRequest>,
    ) -> Result<Response<v1::ListHoldsResponse>, Status> {
        call!(request, verbs::policies::holds, self.0)
    }

    async fn set_hold(&self, request: Request<v1::SetHoldRequest>) -> Result<Response<v1::Policy>, Status> {
        call!(request, verbs::policies::set_hold, self.0)
    }

    async fn lift_hold(
        &self,
        request: Request<v1::LiftHoldRequest>,
    ) -> Result<Response<v1::LiftHoldResponse>, Status> {
        call!(request, verbs::policies::lift_hold, self.0)
    }
}
