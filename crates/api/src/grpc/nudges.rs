//! Nudges.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tidegate_proto::v1;
use tidegate_proto::v1::nudge_service_server::NudgeService;
use tidegate_service::{Authenticator, Error, Nudges};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::actor;
use crate::credentials::Listener;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service {
    pub nudges: Arc<Nudges>,
    pub authenticator: Arc<Authenticator>,
    pub stopping: CancellationToken,
}

#[tonic::async_trait]
impl NudgeService for Service {
    type WatchCampaignStream = BoxStream<'static, Result<v1::Campaign, Status>>;

    async fn nudge_update(
        &self,
        request: Request<v1::NudgeUpdateRequest>,
    ) -> Result<Response<v1::NudgeUpdateResponse>, Status> {
        let order = request.get_ref();
        if order.device_ids.is_empty() && order.audience.is_empty() {
            // JSON tells an empty list from none at all; here they are one, and a slip must not wake a whole fleet.
            let fault = "must be given where no device_ids are: all, or behind";
            return Err(status(Error::invalid("audience", fault)));
        }
        call!(request, verbs::nudges::nudge, self.nudges)
    }

    async fn get_campaign(
        &self,
        request: Request<v1::GetCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(request, verbs::nudges::get, self.nudges)
    }

    async fn list_campaigns(
        &self,
        request: Request<v1::ListCampaignsRequest>,
    ) -> Result<Response<v1::ListCampaignsResponse>, Status> {
        call!(request, verbs::nudges::list, self.nudges)
    }

    async fn list_campaign_failures(
        &self,
        request: Request<v1::ListCampaignFailuresRequest>,
    ) -> Result<Response<v1::ListCampaignFailuresResponse>, Status> {
        call!(request, verbs::nudges::failures, self.nudges)
    }

    async fn watch_campaign(
        &self,
        request: Request<v1::WatchCampaignRequest>,
    ) -> Result<Response<Self::WatchCampaignStream>, Status> {
        let actor = actor(&request)?;
        let listener = Listener::of(request.metadata().as_ref(), &self.authenticator, &self.stopping);
        let listener = listener.map_err(status)?;
        let changes = verbs::nudges::watch(&self.nudges, &actor, listener, request.into_inner()).await;
        let changes = changes.map_err(status)?;
        Ok(Response::new(
            changes.map(|change| change.map_err(status)).boxed(),
        ))
    }

    async fn cancel_campaign(
        &self,
        request: Request<v1::CancelCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(request, verbs::nudges::cancel, self.nudges)
    }

    async fn pause_campaign(
        &self,
        request: Request<v1::PauseCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(request, verbs::nudges::pause, self.nudges)
    }

    async fn resume_campaign(
        &self,
        request: Request<v1::ResumeCampaignRequest>,
    ) -> Result<Response<v1::Campaign>, Status> {
        call!(request, verbs::nudges::resume, self.nudges)
    }
}
