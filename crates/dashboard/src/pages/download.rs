//! Fetching a build's file.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::BuildPath;
use crate::AppState;
use crate::error::Refusal;
use crate::session::Visitor;

pub(crate) async fn file(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    let download = app.downloads.authorize_person(&visitor.actor, id).await?;
    let facts = &download.build.facts;
    let name = format!(
        "attachment; filename=\"{}-{}.apk\"",
        facts.package, facts.version_code
    );
    let mut headers = HeaderMap::new();
    let apk = HeaderValue::from_static("application/vnd.android.package-archive");
    headers.insert(header::CONTENT_TYPE, apk);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(facts.size));
    // A package's name and a number are plain ASCII.
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    let bytes = app.downloads.open(&download, 0..facts.size).await?;
    Ok((headers, Body::from_stream(bytes)).into_response())
}
