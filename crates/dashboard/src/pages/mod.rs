//! The pages, one file for each thing that they are about.

pub(crate) mod audit;
mod audit_csv;
mod audit_query;
mod audit_sentence;
mod audit_words;
mod build;
mod builds;
mod cards;
mod charts;
mod compare;
mod comparison;
pub(crate) mod conditions;
mod covers;
mod deadline;
mod delete;
mod device;
mod device_query;
mod devices;
mod devices_bulk;
mod devices_csv;
mod download;
mod ending;
mod failures;
mod first_run;
pub(crate) mod fleet;
pub(crate) mod health;
mod hold;
mod login;
mod new_nudge;
mod notes;
pub(crate) mod nudges;
mod outlook;
mod past;
mod patches;
pub(crate) mod plan;
mod plan_choice;
mod plan_words;
mod policy_words;
mod promote;
mod reason_words;
mod release_form;
mod resume;
mod retry;
mod roll_back;
mod rollout;
pub(crate) mod settings;
mod slice_choice;
mod stepper;
mod timeline;
mod upload;
mod waterfall;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tidegate_domain::{BuildId, RolloutId};
use tidegate_service::Error;

use crate::AppState;
use crate::error::Refusal;
use crate::form::Fields;
use crate::live;
use crate::session::Listener;

/// What is rendered within a time limit.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/", get(fleet::page))
        .route("/login", get(login::page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/session", get(session))
        .route("/restored/dismiss", post(fleet::dismiss))
        .route("/hold", get(hold::page).post(hold::hold))
        .route("/hold/lift", get(hold::lift_page).post(hold::lift))
        .route("/builds", get(builds::page))
        .route("/builds/compare", get(compare::page))
        .route("/builds/{id}", get(build::page))
        .route("/builds/{id}/promote", get(promote::page).post(promote::promote))
        .route("/builds/{id}/rollout", get(rollout::page).post(rollout::adjust))
        .route("/builds/{id}/pause", post(rollout::pause))
        .route("/builds/{id}/resume", post(rollout::resume))
        .route(
            "/builds/{id}/rollback",
            get(roll_back::page).post(roll_back::roll_back),
        )
        .route("/builds/{id}/notes", get(notes::page).post(notes::save))
        .route("/builds/{id}/delete", get(delete::page).post(delete::delete))
        .route("/rollouts/{id}/resume", get(resume::page).post(resume::resume))
        .route("/rollouts/{id}/{verb}", post(plan::act))
        .route("/devices", get(devices::page))
        .route("/bulk", get(devices_bulk::page).post(devices_bulk::act))
        .route("/devices/{id}", get(device::page))
        .route("/devices/{id}/retry", get(retry::page).post(retry::retry))
        .route(
            "/devices/{id}/revoke",
            get(ending::revoke_page).post(ending::revoke),
        )
        .route(
            "/devices/{id}/retire",
            get(ending::retire_page).post(ending::retire),
        )
        .route("/devices/{id}/erase", get(ending::erase_page).post(ending::erase))
        .route("/nudges", get(nudges::page))
        .route("/nudges/new", get(new_nudge::page).post(new_nudge::begin))
        .route("/nudges/{id}", get(nudges::one))
        .route("/nudges/{id}/cancel", post(nudges::cancel))
        .route("/nudges/{id}/pause", post(nudges::pause))
        .route("/nudges/{id}/resume", post(nudges::resume))
        .route("/audit", get(audit::page))
        .route("/audit/verify", post(audit::verify))
        .merge(settings::routes())
}

/// What takes as long as it takes: files, and the feed of live numbers.
pub(crate) fn long_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/builds/upload", get(upload::page).post(upload::upload))
        .route("/builds/{id}/download", get(download::file))
        .route("/audit.csv", get(audit_csv::file))
        .route("/devices.csv", get(devices_csv::file))
        .route("/live", get(live::listen))
}

/// Whether the session still holds, for scripts that lost their connection.
async fn session(_: Listener) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// A page's query.
pub(crate) struct Query(Fields);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        let RawQuery(query) = RawQuery::from_request_parts(parts, state).await?;
        Ok(Self(Fields::parse(query.unwrap_or_default().as_bytes())))
    }
}

/// The build in a path.
pub(crate) struct BuildPath(BuildId);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for BuildPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await.ok();
        let number = path.and_then(|Path(text)| text.parse().ok());
        let unknown = || Error::not_found("not_found", "there is no such build: its number is not a number");
        Ok(Self(BuildId(number.ok_or_else(unknown)?)))
    }
}

/// To a build's page after a form that changed one of its rollouts, which can be paused from there at once; where the change
/// waits for somebody, there is nothing to pause.
fn done_by(build: BuildId, rollout: RolloutId, what: &str, waits: bool) -> Response {
    if waits {
        return done(&format!("/builds/{build}"), "waits");
    }
    Redirect::to(&format!("/builds/{build}?done={what}&rollout={rollout}")).into_response()
}

/// To another page, after a form.
fn done(path: &str, what: &str) -> Response {
    Redirect::to(&format!("{path}?done={what}")).into_response()
}
