//! Calendars.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tidegate_proto::v1;
use tidegate_service::{Calendars, Error};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{Fields, Json, TextPath};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(openings))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// Calendars, by name.
#[utoipa::path(
    get, path = "/v1/calendars",
    operation_id = "ListCalendars", tag = "calendars", params(v1::ListCalendarsRequest),
    responses((status = 200, body = v1::ListCalendarsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(calendars): State<Arc<Calendars>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListCalendarsRequest>,
) -> Answer<v1::ListCalendarsResponse> {
    Ok(JsonAnswer(
        verbs::calendars::list(&calendars, &actor, request).await?,
    ))
}

/// Adds a calendar.
#[utoipa::path(
    post, path = "/v1/calendars",
    operation_id = "CreateCalendar", tag = "calendars", request_body = v1::CreateCalendarRequest,
    responses((status = 201, body = v1::Calendar), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn create(
    State(calendars): State<Arc<Calendars>>,
    Caller(actor): Caller,
    Json(request): Json<v1::CreateCalendarRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::Calendar>), Refusal> {
    let calendar = verbs::calendars::create(&calendars, &actor, request).await?;
    Ok((StatusCode::CREATED, JsonAnswer(calendar)))
}

/// One calendar.
#[utoipa::path(
    get, path = "/v1/calendars/{name}",
    operation_id = "GetCalendar", tag = "calendars", params(("name" = String, Path)),
    responses((status = 200, body = v1::Calendar), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn get(
    State(calendars): State<Arc<Calendars>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
) -> Answer<v1::Calendar> {
    let request = v1::GetCalendarRequest { name };
    Ok(JsonAnswer(
        verbs::calendars::get(&calendars, &actor, request).await?,
    ))
}

/// Gives a calendar other terms as a whole: what is left out is gone.
#[utoipa::path(
    put, path = "/v1/calendars/{name}",
    operation_id = "UpdateCalendar", tag = "calendars", params(("name" = String, Path)),
    request_body = v1::UpdateCalendarRequest,
    responses((status = 200, body = v1::Calendar), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn update(
    State(calendars): State<Arc<Calendars>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Json(mut request): Json<v1::UpdateCalendarRequest>,
) -> Answer<v1::Calendar> {
    if !request.name.is_empty() && request.name != name {
        return Err(Error::invalid("name", "is another than the one in the path").into());
    }
    request.name = name;
    Ok(JsonAnswer(
        verbs::calendars::update(&calendars, &actor, request).await?,
    ))
}

/// Removes a calendar that no rollout goes by, and tells it as it was.
#[utoipa::path(
    delete, path = "/v1/calendars/{name}",
    operation_id = "DeleteCalendar", tag = "calendars", params(("name" = String, Path)),
    responses((status = 200, body = v1::Calendar), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn delete(
    State(calendars): State<Arc<Calendars>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
) -> Answer<v1::Calendar> {
    let request = v1::DeleteCalendarRequest { name };
    Ok(JsonAnswer(
        verbs::calendars::delete(&calendars, &actor, request).await?,
    ))
}

/// What a preview is asked for besides the calendar.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    zone: String,
    days: i64,
}

/// When a calendar is open from now on, as a device in a zone has it.
#[utoipa::path(
    get, path = "/v1/calendars/{name}/openings",
    operation_id = "ListOpenings", tag = "calendars",
    params(
        ("name" = String, Path),
        ("zone" = Option<String>, Query, description = "The device's IANA time zone; left out for a device that tells none"),
        ("days" = Option<i64>, Query, minimum = 0, maximum = 400, description = "How many days from now on; 14 if left out"),
    ),
    responses((status = 200, body = v1::ListOpeningsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn openings(
    State(calendars): State<Arc<Calendars>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Fields(wanted): Fields<Wanted>,
) -> Answer<v1::ListOpeningsResponse> {
    let Wanted { zone, days } = wanted;
    let request = v1::ListOpeningsRequest { name, zone, days };
    Ok(JsonAnswer(
        verbs::calendars::openings(&calendars, &actor, request).await?,
    ))
}
