//! Giving a build other release notes.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::{BuildId, Role};
use tidegate_service::BuildEdit;

use super::cards::name;
use super::{BuildPath, done};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "notes.html")]
struct Page {
    frame: Frame,
    id: BuildId,
    notes: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let build = app.builds.get(id).await?.build;
    let title = format!("Notes of {} {}", build.facts.package, name(&build));
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Builds, title),
        notes: build.provenance.notes,
        id,
    }))
}

pub(crate) async fn save(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    // Forms send line ends of their own.
    let notes = fields.text("notes").replace("\r\n", "\n");
    let edit = BuildEdit {
        notes: Some(notes),
        ..BuildEdit::default()
    };
    app.builds.edit(&visitor.actor, id, edit).await?;
    Ok(done(&format!("/builds/{id}"), "noted"))
}
