//! Rollouts.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::rollout_service_server::RolloutService;
use tidegate_service::{Audiences, Forecasts, Rollouts};
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service {
    pub rollouts: Arc<Rollouts>,
    pub audiences: Arc<Audiences>,
    pub forecasts: Arc<Forecasts>,
}

#[tonic::async_trait]
impl RolloutService for Service {
    async fn promote(
        &self,
        request: Request<v1::PromoteRequest>,
    ) -> Result<Response<v1::PromoteResponse>, Status> {
        call!(
            request,
            verbs::rollouts::promote,
            of(&*self.rollouts, &*self.forecasts)
        )
    }

    async fn adjust_rollout(
        &self,
        request: Request<v1::AdjustRolloutRequest>,
    ) -> Result<Response<v1::AdjustRolloutResponse>, Status> {
        call!(request, verbs::rollouts::adjust, self.rollouts)
    }

    async fn pause_rollout(
        &self,
        request: Request<v1::PauseRolloutRequest>,
    ) -> Result<Response<v1::RolloutStateResponse>, Status> {
        call!(request, verbs::rollouts::pause, self.rollouts)
    }

    async fn resume_rollout(
        &self,
        request: Request<v1::ResumeRolloutRequest>,
    ) -> Result<Response<v1::RolloutStateResponse>, Status> {
        call!(request, verbs::rollouts::resume, self.rollouts)
    }

    async fn roll_back(
        &self,
        request: Request<v1::RollBackRequest>,
    ) -> Result<Response<v1::RollBackResponse>, Status> {
        call!(request, verbs::rollouts::roll_back, self.rollouts)
    }

    async fn list_rollouts(
        &self,
        request: Request<v1::ListRolloutsRequest>,
    ) -> Result<Response<v1::ListRolloutsResponse>, Status> {
        call!(request, verbs::rollouts::list, self.rollouts)
    }

    async fn get_rollout_board(
        &self,
        request: Request<v1::GetRolloutBoardRequest>,
    ) -> Result<Response<v1::RolloutBoard>, Status> {
        call!(
            request,
            verbs::rollouts::board,
            of(&*self.audiences, &*self.rollouts)
        )
    }

    async fn get_rollout(
        &self,
        request: Request<v1::GetRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::rollouts::get, self.rollouts)
    }

    async fn create_rollout(
        &self,
        request: Request<v1::CreateRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(
            request,
            verbs::rollouts::create,
            of(&*self.rollouts, &*self.forecasts)
        )
    }

    async fn forecast_rollout(
        &self,
        request: Request<v1::ForecastRolloutRequest>,
    ) -> Result<Response<v1::RolloutForecast>, Status> {
        call!(request, verbs::rollouts::forecast, self.forecasts)
    }

    async fn edit_rollout(
        &self,
        request: Request<v1::EditRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(
            request,
            verbs::rollouts::edit,
            of(&*self.rollouts, &*self.forecasts)
        )
    }

    async fn halt_rollout(
        &self,
        request: Request<v1::HaltRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::rollouts::halt, self.rollouts)
    }

    async fn cancel_rollout(
        &self,
        request: Request<v1::CancelRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::rollouts::cancel, self.rollouts)
    }

    async fn complete_rollout(
        &self,
        request: Request<v1::CompleteRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::rollouts::complete, self.rollouts)
    }

    async fn roll_back_rollout(
        &self,
        request: Request<v1::RollBackRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::rollouts::roll_back_rollout, self.rollouts)
    }

    async fn start_rollout(
        &self,
        request: Request<v1::StartRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::plans::start, self.rollouts)
    }

    async fn advance_rollout(
        &self,
        request: Request<v1::AdvanceRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::plans::advance, self.rollouts)
    }

    async fn hold_rollout(
        &self,
        request: Request<v1::HoldRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::plans::hold, self.rollouts)
    }

    async fn approve_rollout(
        &self,
        request: Request<v1::ApproveRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::plans::approve, self.rollouts)
    }

    async fn deny_rollout(
        &self,
        request: Request<v1::DenyRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        call!(request, verbs::plans::deny, self.rollouts)
    }

    async fn get_rollout_gate(
        &self,
        request: Request<v1::GetRolloutGateRequest>,
    ) -> Result<Response<v1::RolloutGate>, Status> {
        call!(request, verbs::gates::get, self.rollouts)
    }

    async fn get_rollout_timeline(
        &self,
        request: Request<v1::GetRolloutTimelineRequest>,
    ) -> Result<Response<v1::RolloutTimeline>, Status> {
        call!(request, verbs::plans::timeline, self.rollouts)
    }
}
