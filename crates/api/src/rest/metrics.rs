//! What Prometheus reads.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use tidegate_domain::Role;
use tidegate_service::Error;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;

/// The text format's own type.
///
/// Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who writes the page. The edge knows where it is served and to whom, and nothing of what is on it.
pub trait MetricsPage: Send + Sync {
    /// The page as it is at this moment.
    fn text(&self) -> BoxFuture<'_, String>;
}

/// The page, unless it is switched off.
type Page = Option<Arc<dyn MetricsPage>>;

/// For a port that devices reach: only for people and scrapers with a token.
pub(crate) fn guarded() -> Routes {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// For a port that only operators reach.
pub(crate) fn open() -> Routes {
    OpenApiRouter::new().route("/metrics", axum::routing::get(show))
}

/// The server's metrics, in Prometheus' text format.
///
/// On a port of its own, the admin surface serves them to everybody who reaches it.
#[utoipa::path(
    get, path = "/metrics",
    operation_id = "Metrics", tag = "health",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        (status = 401, description = "No valid admin token", body = Problem),
        (status = 404, description = "Metrics are switched off", body = Problem),
    ),
    security(("admin_token" = []))
)]
async fn metrics(page: State<Page>, Caller(actor): Caller) -> Result<Response, Refusal> {
    actor.require(Role::Viewer)?;
    show(page).await
}

async fn show(State(page): State<Page>) -> Result<Response, Refusal> {
    let page =
        page.ok_or_else(|| Error::not_found("metrics_off", "metrics are switched off; set metrics = true"))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page.text().await).into_response())
}
