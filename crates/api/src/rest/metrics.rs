//! What Prometheus reads.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use tidegate_domain::Role;
use tidegate_service::Error;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus' own text format.
    ///
    /// Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Prometheus,
    /// OpenMetrics 1.0.
    ///
    /// Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl MetricsFormat {
    fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// OpenMetrics for those who ask for it by its name and want nothing else more. What takes anything is given the older
    /// format, which every tool reads.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1>
    fn accepted_by(headers: &HeaderMap) -> Self {
        let (mut open, mut text) = (0.0, 0.0);
        let values = headers.get_all(header::ACCEPT).into_iter();
        for range in values.flat_map(|value| value.to_str().unwrap_or_default().split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            let weight = weight.unwrap_or(1.0_f32);
            if kind.eq_ignore_ascii_case(OPEN_METRICS) {
                open = weight.max(open);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                text = weight.max(text);
            }
        }
        if open > 0.0 && open >= text {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }
}

/// Who writes the page. The edge knows where it is served and to whom, and nothing of what is on it.
pub trait MetricsPage: Send + Sync {
    /// The page as it is at this moment.
    fn text(&self, format: MetricsFormat) -> BoxFuture<'_, Bytes>;
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

/// The server's metrics, in Prometheus' text format, or in that of OpenMetrics where it is asked for.
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
async fn metrics(page: State<Page>, Caller(actor): Caller, headers: HeaderMap) -> Result<Response, Refusal> {
    actor.require(Role::Viewer)?;
    show(page, headers).await
}

async fn show(State(page): State<Page>, headers: HeaderMap) -> Result<Response, Refusal> {
    let page =
        page.ok_or_else(|| Error::not_found("metrics_off", "metrics are switched off; set metrics = true"))?;
    let format = MetricsFormat::accepted_by(&headers);
    let answer = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        ),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    Ok((answer, page.text(format).await).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let cases = [
            (prometheus, MetricsFormat::OpenMetrics),
            ("application/openmetrics-text", MetricsFormat::OpenMetrics),
            (
                "text/plain;q=0.9, application/openmetrics-text;q=0.1",
                MetricsFormat::Prometheus,
            ),
            ("application/openmetrics-text;q=0", MetricsFormat::Prometheus),
            ("*/*", MetricsFormat::Prometheus),
            ("", MetricsFormat::Prometheus),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(MetricsFormat::accepted_by(&headers), expected, "{accept}");
        }
        assert_eq!(
            MetricsFormat::accepted_by(&HeaderMap::new()),
            MetricsFormat::Prometheus
        );
    }
}
