//! Uploading a build.
//!
//! The form is read part by part as it comes, so that a file never lies in memory. Its token therefore has to be
//! its first field, or to come in a header as our script sends it.

use std::sync::Arc;

use askama::Template;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tidegate_domain::Role;
use tidegate_service::{Error, FormToken, STALE_FORM, Uploaded};

use super::done;
use crate::error::{Refusal, html, status};
use crate::form::{foreign, stale};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::{AppState, origin};

#[derive(Template)]
#[template(path = "upload.html")]
struct Page {
    frame: Frame,
    error: Option<String>,
}

pub(crate) async fn page(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    Ok(show(&visitor, None))
}

fn show(visitor: &Visitor, error: Option<String>) -> Response {
    let frame = Frame::new(visitor, Section::Builds, "Upload a build");
    html(&Page { frame, error })
}

pub(crate) async fn upload(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Response> {
    if origin::is_foreign(request.headers(), request.uri()) {
        return Err(foreign());
    }
    let by_script = visitor.made_by_script(request.headers());
    let wants_json = accepts_json(request.headers());
    Ok(match take_in(&app, &visitor, by_script, request).await {
        Err(error) if error.code == STALE_FORM => return Err(stale()),
        Ok(Uploaded { build, .. }) if wants_json => {
            let next = format!("/builds/{}?done=uploaded", build.id);
            axum::Json(serde_json::json!({ "next": next })).into_response()
        }
        Ok(Uploaded { build, .. }) => done(&format!("/builds/{}", build.id), "uploaded"),
        Err(error) if wants_json => {
            let problem = axum::Json(serde_json::json!({ "code": error.code, "detail": error.message }));
            (status(error.kind), problem).into_response()
        }
        Err(error) => (status(error.kind), show(&visitor, Some(error.message))).into_response(),
    })
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"))
}

async fn take_in(
    app: &AppState,
    visitor: &Visitor,
    by_script: bool,
    request: Request,
) -> Result<Uploaded, Error> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map(HeaderValue::as_bytes);
    let token = FormToken {
        field: "csrf",
        seen: by_script,
        is_right: &|token| visitor.made(token),
    };
    app.uploads.check_length(body.size_hint().lower())?;
    app.uploads
        .receive(&visitor.actor, content_type, body.into_data_stream(), Some(token))
        .await
}
