//! What a refusal looks like on a page.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tidegate_service::{Error, Kind};

use crate::assets;

/// What browsers ask for when somebody looks at a page.
const HTML: &[u8] = b"text/html";

/// A refusal that leaves no page to show it on but its own.
#[derive(Debug)]
pub(crate) struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<tidegate_domain::Error> for Refusal {
    fn from(error: tidegate_domain::Error) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Page<'a> {
    assets: &'static str,
    title: &'static str,
    message: &'a str,
    status: u16,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = status(self.0.kind);
        let page = Page {
            assets: assets::hash(),
            title: title(self.0.kind),
            message: &self.0.message,
            status: status.as_u16(),
        };
        (status, html(&page)).into_response()
    }
}

/// The page of an address where there is none; nothing for those who do not look with a browser.
pub(crate) fn missing(request: &Request) -> Option<Response> {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let accepts = request.headers().get(header::ACCEPT).map(HeaderValue::as_bytes);
    let takes_pages = accepts.is_some_and(|types| types.windows(HTML.len()).any(|part| part == HTML));
    let message = "there is no page at this address";
    (looks && takes_pages).then(|| Refusal(Error::not_found("not_found", message)).into_response())
}

/// A template as a page.
pub(crate) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(fault) => {
            tracing::error!(%fault, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(crate) fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid | Kind::TooSlow | Kind::TooLarge | Kind::Refused => "That cannot be done",
        Kind::Unauthenticated => "Not logged in",
        Kind::Forbidden => "Not allowed",
        Kind::NotFound => "Not found",
        Kind::Conflict | Kind::Exists => "Things stand differently",
        Kind::Exhausted => "Too much at once",
        Kind::Unavailable => "Not now",
        Kind::Internal => "The server failed",
    }
}
