//! Calendars.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::calendar_service_server::CalendarService;
use tidegate_service::Calendars;
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service(pub Arc<Calendars>);

#[tonic::async_trait]
impl CalendarService for Service {
    async fn list_calendars(
        &self,
        request: Request<v1::ListCalendarsRequest>,
    ) -> Result<Response<v1::ListCalendarsResponse>, Status> {
        call!(request, verbs::calendars::list, self.0)
    }

    async fn get_calendar(
        &self,
        request: Request<v1::GetCalendarRequest>,
    ) -> Result<Response<v1::Calendar>, Status> {
        call!(request, verbs::calendars::get, self.0)
    }

    async fn create_calendar(
        &self,
        request: Request<v1::CreateCalendarRequest>,
    ) -> Result<Response<v1::Calendar>, Status> {
        call!(request, verbs::calendars::create, self.0)
    }

    async fn update_calendar(
        &self,
        request: Request<v1::UpdateCalendarRequest>,
    ) -> Result<Response<v1::Calendar>, Status> {
        call!(request, verbs::calendars::update, self.0)
    }

    async fn delete_calendar(
        &self,
        request: Request<v1::DeleteCalendarRequest>,
    ) -> Result<Response<v1::Calendar>, Status> {
        call!(request, verbs::calendars::delete, self.0)
    }

    async fn list_openings(
        &self,
        request: Request<v1::ListOpeningsRequest>,
    ) -> Result<Response<v1::ListOpeningsResponse>, Status> {
        call!(request, verbs::calendars::openings, self.0)
    }
}
