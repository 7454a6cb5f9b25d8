//! Beginning a nudge campaign.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::{
    DEFAULT_NUDGE_PRIORITY, DEFAULT_NUDGE_TTL, DeviceId, MAX_NAMED_DEVICES, NudgeAudience, NudgeOrder,
    PackageName, Priority, Role,
};
use tidegate_service::Error;

use super::{Query, builds, done};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "new_nudge.html")]
struct Page {
    frame: Frame,
    configured: bool,
    packages: Vec<String>,
    package: String,
    audience: String,
    device_ids: String,
    high: bool,
    /// This form's idempotency key.
    once: String,
    error: Option<String>,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    show(&app, &visitor, &query, query.text("device_id"), None).await
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    fields: &Fields,
    devices: &str,
    error: Option<String>,
) -> Result<Response, Refusal> {
    let audience = match (fields.text("audience"), devices.is_empty()) {
        ("", true) => "behind",
        ("", false) => "chosen",
        (audience, _) => audience,
    };
    let packages = builds::packages(app).await?;
    // "Behind" needs a package. Where there is only one, it is chosen.
    let package = match (fields.text("package_name"), &packages[..]) {
        ("", [only]) if error.is_none() => only.clone(),
        (package, _) => package.to_owned(),
    };
    Ok(html(&Page {
        frame: Frame::new(visitor, Section::Nudges, "Nudge devices"),
        configured: app.nudges.is_configured(),
        packages,
        package,
        audience: audience.to_owned(),
        device_ids: devices.to_owned(),
        high: priority(fields).unwrap_or(DEFAULT_NUDGE_PRIORITY) == Priority::High,
        once: uuid::Uuid::new_v4().to_string(),
        error,
    }))
}

pub(crate) async fn begin(
    State(app): State<Arc<AppState>>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let nudged = match order(&fields) {
        // The form's idempotency key keeps a second click from making a second campaign.
        Ok(order) => {
            app.nudges
                .nudge(&visitor.actor, order, fields.given("once"))
                .await
        }
        Err(error) => Err(error),
    };
    match nudged {
        Ok(nudged) => Ok(done(&format!("/nudges/{}", nudged.campaign.id), "nudged")),
        Err(error) => {
            let status = status(error.kind);
            let devices = fields.raw("device_ids").to_owned();
            let page = show(&app, &visitor, &fields, &devices, Some(error.message)).await?;
            Ok((status, page).into_response())
        }
    }
}

fn order(fields: &Fields) -> Result<NudgeOrder, Error> {
    let package = fields.given("package_name");
    let package = package.map(|name| PackageName::parse(&name)).transpose()?;
    let (devices, audience) = match fields.text("audience") {
        "chosen" => (Some(chosen(fields.raw("device_ids"))?), NudgeAudience::All),
        audience => (None, audience.parse()?),
    };
    Ok(NudgeOrder {
        devices,
        package,
        audience,
        rollout: None,
        priority: priority(fields)?,
        ttl: DEFAULT_NUDGE_TTL,
    })
}

fn priority(fields: &Fields) -> Result<Priority, Error> {
    let given = fields.given("priority");
    Ok(given.map_or(Ok(DEFAULT_NUDGE_PRIORITY), |word| word.parse())?)
}

/// One id a line.
fn chosen(text: &str) -> Result<Vec<DeviceId>, Error> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let devices: Vec<DeviceId> = lines
        .take(MAX_NAMED_DEVICES + 1)
        .map(DeviceId::parse)
        .collect::<Result<_, _>>()?;
    if devices.is_empty() {
        return Err(Error::invalid(
            "device_ids",
            "must name at least one device, one a line",
        ));
    }
    if devices.len() > MAX_NAMED_DEVICES {
        let fault = format!("may name at most {MAX_NAMED_DEVICES} devices; address the fleet instead");
        return Err(Error::invalid("device_ids", fault));
    }
    Ok(devices)
}
