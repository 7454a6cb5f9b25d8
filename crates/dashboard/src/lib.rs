//! # The operator's page
//!
//! Operators would rather look than read. This crate shows them the fleet, its builds and its rollouts, lets those
//! release who may, and answers the question that comes up most: why did this device not get it?
//!
//! It is a second skin over the use cases, beside `tidegate-api`: a button calls the very function that a route of
//! the API calls, with the same actor, so neither can do what the other refuses. It must never know a rule, a
//! table or a key, and it never talks HTTP to its own server.
//!
//! Everything is rendered on the server and readable without JavaScript: a dialog is a page of its own that a
//! script shows in place, a form posts and is redirected. The scripts are our own and few, embedded with the
//! stylesheet, and nothing is fetched from anywhere else. That makes the page's security policy simple enough to
//! be strict ([`headers`](self)): no inline script, no inline style, no frame, no other origin.
//!
//! A session is the admin token of the person who logged in, in a cookie that no script can read; the server keeps
//! nothing about it until it is ended, so any replica serves any click. What changes something is a POST from a page of ours, told
//! by the browser's own word on where a request comes from and by a token that only our pages hold.
#![allow(
    unreachable_pub,
    reason = "askama's templates derive public methods on private types"
)]

mod assets;
mod chart;
mod csv;
mod error;
mod form;
mod frame;
mod headers;
mod live;
mod origin;
mod pages;
mod session;
mod show;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tidegate_service::{
    AdminTokens, Audiences, AuditLog, Authenticator, Builds, Calendars, Clock, Devices, Downloads, Fleet,
    Forecasts, Nudges, Packages, Patches, Policies, Readiness, Restorations, Rollouts, Servers,
    ServiceAccounts, Tags, Uploads, Users,
};
use tokio_util::sync::CancellationToken;

/// The use cases behind the page.
pub struct Dashboard {
    /// Checks sessions.
    pub authenticator: Arc<Authenticator>,
    /// Lets people in.
    pub users: Arc<Users>,
    /// Looks at builds.
    pub builds: Arc<Builds>,
    /// Shows the patches to builds.
    pub patches: Arc<Patches>,
    /// Takes builds in.
    pub uploads: Arc<Uploads>,
    /// Hands builds out.
    pub downloads: Arc<Downloads>,
    /// Tells whom an audience takes.
    pub audiences: Arc<Audiences>,
    /// Releases builds.
    pub rollouts: Arc<Rollouts>,
    /// Says what rollouts would do.
    pub forecasts: Arc<Forecasts>,
    /// Knows the packages.
    pub packages: Arc<Packages>,
    /// Manages devices.
    pub devices: Arc<Devices>,
    /// Tells devices apart by tags.
    pub tags: Arc<Tags>,
    /// Holds devices back.
    pub policies: Arc<Policies>,
    /// Wakes devices.
    pub nudges: Arc<Nudges>,
    /// Counts the fleet.
    pub fleet: Arc<Fleet>,
    /// Looks at the audit log.
    pub audit: Arc<AuditLog>,
    /// Manages machines that have access.
    pub service_accounts: Arc<ServiceAccounts>,
    /// Lists and revokes the tokens that were handed out.
    pub tokens: Arc<AdminTokens>,
    /// Knows at which times rollouts reach devices.
    pub calendars: Arc<Calendars>,
    /// Knows the servers that run on this database.
    pub servers: Arc<Servers>,
    /// Tells whether this server can do its work.
    pub readiness: Arc<Readiness>,
    /// The settings in force, in the form of a configuration file, with no secret in it.
    pub settings: String,
    /// The address that devices reach the server at.
    pub public_url: String,
    /// Knows of backups that were put in the place of the database.
    pub restorations: Arc<Restorations>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// How long a page may take to begin.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the handlers share.
struct AppState {
    use_cases: Dashboard,
    live: live::Feed,
}

impl std::ops::Deref for AppState {
    type Target = Dashboard;
    fn deref(&self) -> &Dashboard {
        &self.use_cases
    }
}

/// The page's routes, from `/` on. What goes on beside the requests ends when `stop` is canceled.
///
/// To be called within a runtime.
pub fn router(dashboard: Dashboard, stop: CancellationToken) -> Router {
    let (feed, ticker) = live::feed(stop);
    let app = Arc::new(AppState {
        use_cases: dashboard,
        live: feed,
    });
    tokio::spawn(ticker.run(Arc::downgrade(&app)));
    pages::routes()
        .layer(axum::middleware::from_fn(in_time))
        .merge(pages::long_routes())
        .layer(axum::middleware::from_fn(headers::guard))
        .merge(assets::routes())
        .with_state(app)
}

/// What somebody is shown who looks with a browser at an address where there is nothing, with status 404. `None` for other
/// programs, which are to be told in their own way.
pub fn missing(request: &axum::extract::Request) -> Option<axum::response::Response> {
    error::missing(request).map(headers::guarded)
}

/// Bounds the time until a page begins; files take as long as their network does.
async fn in_time(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Result<axum::response::Response, error::Refusal> {
    tokio::time::timeout(PAGE_TIMEOUT, next.run(request))
        .await
        .map_err(|_| {
            let message = format!(
                "the page took longer than {} seconds; try again",
                PAGE_TIMEOUT.as_secs()
            );
            tidegate_service::Error::new(tidegate_service::Kind::Unavailable, "timed_out", message).into()
        })
}
