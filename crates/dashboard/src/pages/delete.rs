//! Deleting a build.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::{BuildId, Role};

use super::cards::name;
use super::{BuildPath, done};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "delete.html")]
struct Page {
    frame: Frame,
    id: BuildId,
    was_released: bool,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let view = app.builds.get(id).await?;
    let title = format!("Delete {} {}", view.build.facts.package, name(&view.build));
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Builds, title),
        was_released: view.last.is_some(),
        id,
    }))
}

pub(crate) async fn delete(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    app.uploads.delete(&visitor.actor, id).await?;
    Ok(done("/builds", "deleted"))
}
