//! Removing all that is known of a device.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use tidegate_domain::Role;

use super::device::device_id;
use super::done;
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "erase.html")]
struct Page {
    frame: Frame,
    id: String,
    path: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let device = app.devices.get(&device_id(&path)?).await?.device;
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Devices, format!("Erase {}", device.id)),
        path: format!("/devices/{}", show::segment(device.id.as_str())),
        id: device.id.to_string(),
    }))
}

pub(crate) async fn erase(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let id = device_id(&path)?;
    app.devices
        .erase(&visitor.actor, &id, fields.text("confirm"))
        .await?;
    Ok(done("/devices", "erased"))
}
