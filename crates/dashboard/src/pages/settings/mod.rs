//! What admins set: who may come in, what devices enrol with, and how packages are released.
//!
//! Each list is a page, and each change a sheet of its own with the use case behind it that the API has as well.

mod calendars;
mod enrolment;
mod made;
mod own_password;
mod packages;
mod people;
mod policies;
mod server;
mod service_accounts;
pub(crate) mod sheet;
mod tags;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tidegate_domain::Role;
use tidegate_service::{Error, Page as PageOf};

use super::{Query, done};
use crate::AppState;
use crate::error::Refusal;
use crate::form::Fields;
use crate::session::Visitor;

/// How many rows a page of a list shows.
const ROWS_ON_A_PAGE: u32 = 20;

/// A page of the settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    People,
    ServiceAccounts,
    Enrolment,
    Packages,
    Tags,
    Policies,
    Calendars,
    Server,
}

impl Tab {
    /// All, in the order of the settings' own navigation.
    pub(crate) const ALL: [Self; 8] = [
        Self::People,
        Self::ServiceAccounts,
        Self::Enrolment,
        Self::Packages,
        Self::Tags,
        Self::Policies,
        Self::Calendars,
        Self::Server,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::People => "People",
            Self::ServiceAccounts => "Service accounts",
            Self::Enrolment => "Enrolment",
            Self::Packages => "Packages",
            Self::Tags => "Tags",
            Self::Policies => "Policies",
            Self::Calendars => "Calendars",
            Self::Server => "Server",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::People => "/settings/people",
            Self::ServiceAccounts => "/settings/service-accounts",
            Self::Enrolment => "/settings/enrolment",
            Self::Packages => "/settings/packages",
            Self::Tags => "/settings/tags",
            Self::Policies => "/settings/policies",
            Self::Calendars => "/settings/calendars",
            Self::Server => "/settings/server",
        }
    }
}

/// The settings' routes.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/settings", get(first))
        .route(
            "/settings/password",
            get(own_password::page).post(own_password::change),
        )
        .route("/settings/people", get(people::page))
        .route("/settings/people/add", get(people::add_page).post(people::add))
        .route(
            "/settings/people/{name}/{verb}",
            get(people::verb_page).post(people::act),
        )
        .merge(access_routes())
        .merge(release_routes())
}

/// What machines and devices come in with.
fn access_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/settings/service-accounts", get(service_accounts::page))
        .route(
            "/settings/service-accounts/add",
            get(service_accounts::add_page).post(service_accounts::add),
        )
        .route(
            "/settings/service-accounts/{name}/token",
            get(service_accounts::token_page).post(service_accounts::token),
        )
        .route(
            "/settings/service-accounts/{name}/remove",
            get(service_accounts::remove_page).post(service_accounts::remove),
        )
        .route(
            "/settings/tokens/{id}/revoke",
            get(service_accounts::revoke_page).post(service_accounts::revoke),
        )
        .route("/settings/enrolment", get(enrolment::page))
        .route(
            "/settings/enrolment/add",
            get(enrolment::add_page).post(enrolment::add),
        )
        .route(
            "/settings/enrolment/{id}/revoke",
            get(enrolment::revoke_page).post(enrolment::revoke),
        )
}

/// How packages are released.
fn release_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/settings/packages", get(packages::page))
        .route(
            "/settings/packages/add",
            get(packages::add_page).post(packages::add),
        )
        .route(
            "/settings/packages/{name}/{verb}",
            get(packages::verb_page).post(packages::act),
        )
        .route("/settings/tags", get(tags::page))
        .route(
            "/settings/tags/{tag}/{verb}",
            get(tags::verb_page).post(tags::act),
        )
        .route("/settings/policies", get(policies::page))
        .route(
            "/settings/policies/add",
            get(policies::add_page).post(policies::add),
        )
        .route(
            "/settings/policies/{id}/lift",
            get(policies::lift_page).post(policies::lift),
        )
        .route("/settings/calendars", get(calendars::page))
        .route(
            "/settings/calendars/add",
            get(calendars::add_page).post(calendars::add),
        )
        .route(
            "/settings/calendars/{name}/change",
            get(calendars::change_page).post(calendars::change),
        )
        .route(
            "/settings/calendars/{name}/delete",
            get(calendars::delete_page).post(calendars::delete),
        )
        .route("/settings/server", get(server::page))
        .route("/settings/server/test", get(server::test_page).post(server::test))
}

async fn first(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(Redirect::to(Tab::People.path()).into_response())
}

/// What was just done, in the words of the next page.
pub(crate) fn told(done: &str) -> Option<&'static str> {
    Some(match done {
        "person_added" => "Added. They can log in now.",
        "person_changed" => "Changed. Where they were logged in, they have to log in again.",
        "person_removed" => "Removed. The audit log keeps what they did.",
        "account_removed" => "Removed. Its tokens are refused from now on.",
        "token_revoked" => "Revoked. The token is refused from now on.",
        "enroll_token_revoked" => "Revoked. No device enrols with it from now on.",
        "package_added" => "Added. Its builds may be uploaded.",
        "package_changed" => "Changed.",
        "tag_renamed" => "Renamed, on all devices and in all policies.",
        "tag_deleted" => "Deleted. No device has it any more.",
        "policy_added" => "Added. The next polls are answered by it.",
        "policy_lifted" => "Lifted. The next polls are answered without it.",
        "calendar_added" => "Added.",
        "calendar_changed" => "Changed. Rollouts follow the new times within a second.",
        "calendar_deleted" => "Deleted.",
        "test_sent" => "The test message is on its way. This page tells what becomes of it.",
        "approval_asked" => "Asked for. It holds once another admin asks for the same.",
        _ => return None,
    })
}

/// The page of a list that a query asks for.
fn page_of(query: &Fields) -> Result<PageOf, Error> {
    page_of_rows(query, ROWS_ON_A_PAGE)
}

/// The same of a list whose rows are larger.
fn page_of_rows(query: &Fields, rows: u32) -> Result<PageOf, Error> {
    PageOf::new(Some(rows), query.given("page_token")).map_err(Error::from)
}

/// The query of the next page of a list, if there is one.
fn next_of(token: Option<String>) -> Option<String> {
    token.map(|token| crate::show::query(&[("page_token", &token)]))
}

/// A verb in a path that there is none of.
fn no_such_page() -> Error {
    Error::not_found("not_found", "there is no such page")
}
