//! The dialogs that end a device's part: refusing its token, taking it out of the fleet, removing all that is known of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use tidegate_domain::{DeviceId, Role};

use super::device::{device_id, path_of};
use super::done;
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "ending.html")]
struct Page {
    frame: Frame,
    ending: &'static Ending,
    device: DeviceId,
    path: String,
}

/// What a dialog says.
struct Ending {
    /// The last step of its path.
    verb: &'static str,
    /// Before the device's id.
    title: &'static str,
    button: &'static str,
    /// What follows from it.
    says: &'static str,
    /// Whether the id has to be written once more.
    is_confirmed: bool,
}

const REVOKE: Ending = Ending {
    verb: "revoke",
    title: "Revoke the token of",
    button: "Revoke",
    says: "From now on the server refuses this device's token and the download addresses that were made for it. It gets no \
           update until it enrols again, which somebody has to allow: for this id, or by an enrolment token that takes known \
           ids. Use this for a device that was lost, stolen or copied.",
    is_confirmed: false,
};

const RETIRE: Ending = Ending {
    verb: "retire",
    title: "Retire",
    button: "Retire",
    says: "The device leaves the fleet: it is in no list, count or campaign any more, and the server refuses its token. What \
           it did stays on its page for a while. With a new enrolment token it may come back. Use this for a device that is \
           no longer used.",
    is_confirmed: false,
};

const ERASE: Ending = Ending {
    verb: "erase",
    title: "Erase",
    button: "Erase",
    says: "All that is known of this device is removed: what it says of itself, what it ran, its reports and its answers. \
           Statistics stay as numbers, and the audit log names the device no more. Nothing brings it back. The server \
           refuses its token.",
    is_confirmed: true,
};

pub(crate) async fn revoke_page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    show(&app, &visitor, &path, &REVOKE).await
}

pub(crate) async fn retire_page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    show(&app, &visitor, &path, &RETIRE).await
}

pub(crate) async fn erase_page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    show(&app, &visitor, &path, &ERASE).await
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    path: &str,
    ending: &'static Ending,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let device = app.devices.get(&device_id(path)?).await?.device.id;
    Ok(html(&Page {
        frame: Frame::new(visitor, Section::Devices, format!("{} {device}", ending.title)),
        path: path_of(&device),
        device,
        ending,
    }))
}

pub(crate) async fn revoke(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = device_id(&path)?;
    app.devices.revoke(&visitor.actor, &id).await?;
    Ok(done(&path_of(&id), "revoked"))
}

pub(crate) async fn retire(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = device_id(&path)?;
    app.devices.retire(&visitor.actor, &id).await?;
    Ok(done(&path_of(&id), "retired"))
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
