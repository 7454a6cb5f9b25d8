//! Logging in and out.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret, SecretString};
use tidegate_service::{Login, LoginFrom};

use super::Query;
use crate::error::{html, status};
use crate::form::{self, Posted};
use crate::session::{self, Visitor};
use crate::{AppState, assets, origin};

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    assets: &'static str,
    name: &'a str,
    next: &'a str,
    /// Whether somebody was here and their session has ended.
    came_from_elsewhere: bool,
    error: Option<String>,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    Query(query): Query,
    headers: HeaderMap,
) -> Response {
    let next = session::local(query.text("next"));
    if Visitor::of(&app, &headers).is_some() {
        return Redirect::to(next).into_response();
    }
    html(&Page {
        assets: assets::hash(),
        name: "",
        next,
        came_from_elsewhere: next != "/",
        error: None,
    })
}

pub(crate) async fn log_in(State(app): State<Arc<AppState>>, request: Request) -> Result<Response, Response> {
    if origin::is_foreign(request.headers(), request.uri()) {
        return Err(form::foreign());
    }
    let https = origin::is_https(request.headers());
    let from = login_from(request.headers(), request.extensions());
    let fields = form::read(request.into_body()).await?;
    let (name, next) = (fields.text("name"), session::local(fields.text("next")));
    let password = SecretString::from(fields.raw("password").to_owned());
    match app.users.log_in(name, password, &from).await {
        Ok(login) => Ok(welcome(&app, &login, next, https)),
        Err(error) => {
            let status = status(error.kind);
            let page = html(&Page {
                assets: assets::hash(),
                name,
                next,
                came_from_elsewhere: false,
                error: Some(error.message),
            });
            let mut response = (status, page).into_response();
            if let Some(pause) = error.retry_after {
                // Rounded up: who comes back earlier is refused again.
                let seconds = HeaderValue::from(pause.as_secs() + 1);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            Ok(response)
        }
    }
}

pub(super) fn login_from(headers: &HeaderMap, extensions: &Extensions) -> LoginFrom {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    LoginFrom {
        address: connection.map(|ConnectInfo(address)| address.ip()),
        browser: session::browser(headers).map(str::to_owned),
        request_id: request_id.map(str::to_owned),
    }
}

fn with_cookies(cookies: [HeaderValue; 2], to: Redirect) -> Response {
    let mut response = to.into_response();
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

pub(super) fn welcome(app: &AppState, login: &Login, next: &str, https: bool) -> Response {
    let seconds = (login.expires_at - app.clock.now()).num_seconds();
    let session = session::begin(login.token.expose_secret(), seconds, https);
    let browser = session::know_browser(login.browser.expose_secret(), https);
    with_cookies([session, browser], Redirect::to(next))
}

/// Ends the session for everybody who has its cookie. Should the database not answer, it is said, and the cookie stays.
pub(crate) async fn log_out(
    State(app): State<Arc<AppState>>,
    posted: Posted,
) -> Result<Response, crate::error::Refusal> {
    app.users.log_out(&posted.visitor.actor).await?;
    Ok(with_cookies(session::end(), Redirect::to("/login")))
}
