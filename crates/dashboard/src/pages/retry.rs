//! Letting a device try a build again that it gave up.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use tidegate_domain::{BuildId, DeviceId, Role};

use super::cards::name;
use super::device::{device_id, path_of};
use super::{Query, done};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "retry.html")]
struct Page {
    frame: Frame,
    device: DeviceId,
    build: String,
    build_id: BuildId,
    path: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let device = app.devices.get(&device_id(&path)?).await?.device.id;
    let build = app.builds.get(build_of(&query)?).await?.build;
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Devices, format!("Let {device} try again")),
        path: path_of(&device),
        build: format!("{} {}", build.facts.package, name(&build)),
        build_id: build.id,
        device,
    }))
}

pub(crate) async fn retry(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let id = device_id(&path)?;
    // A form without a build must not forget everything that the device gave up.
    let build = build_of(&fields)?;
    app.devices.retry(&visitor.actor, &id, Some(build)).await?;
    Ok(done(&path_of(&id), "retried"))
}

fn build_of(fields: &Fields) -> Result<BuildId, Refusal> {
    Ok(BuildId(fields.number("build_id")?))
}
