//! Experiments.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::experiment_service_server::ExperimentService;
use tidegate_service::Experiments;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<Experiments>);

#[tonic::async_trait]
impl ExperimentService for Service {
    async fn create_experiment(
        &self,
        request: Request<v1::CreateExperimentRequest>,
    ) -> Result<Response<v1::Experiment>, Status> {
        call!(request, verbs::experiments::create, self.0)
    }

    async fn list_experiments(
        &self,
        request: Request<v1::ListExperimentsRequest>,
    ) -> Result<Response<v1::ListExperimentsResponse>, Status> {
        call!(request, verbs::experiments::list, self.0)
    }

    async fn get_experiment(
        &self,
        request: Request<v1::GetExperimentRequest>,
    ) -> Result<Response<v1::Experiment>, Status> {
        call!(request, verbs::experiments::get, self.0)
    }

    async fn conclude_experiment(
        &self,
        request: Request<v1::ConcludeExperimentRequest>,
    ) -> Result<Response<v1::Experiment>, Status> {
        call!(request, verbs::experiments::conclude, self.0)
    }
}
