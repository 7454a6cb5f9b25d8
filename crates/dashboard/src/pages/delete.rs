//! Deleting a build.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::{Build, BuildId, Role};
use tidegate_service::DeviceFilter;

use super::cards::name;
use super::devices::total;
use super::{BuildPath, done};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "delete.html")]
struct Page {
    frame: Frame,
    id: BuildId,
    was_released: bool,
    /// How many devices run its version, in words, and where they are listed; `None` where none does.
    running: Option<(String, String)>,
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
        running: running(&app, &view.build).await?,
        id,
    }))
}

async fn running(app: &AppState, build: &Build) -> Result<Option<(String, String)>, Refusal> {
    let facts = &build.facts;
    let runs_it = DeviceFilter {
        package: Some(facts.package.clone()),
        versions: Some(facts.version_code..=facts.version_code),
        ..DeviceFilter::default()
    };
    let count = app.devices.count(runs_it).await?;
    let code = facts.version_code.to_string();
    let list = show::query(&[
        ("package_name", facts.package.as_str()),
        ("min_version", &code),
        ("max_version", &code),
    ]);
    Ok((count.devices > 0).then(|| (total(count), format!("/devices{list}"))))
}

pub(crate) async fn delete(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    app.uploads.delete(&visitor.actor, id).await?;
    Ok(done("/builds", "deleted"))
}
