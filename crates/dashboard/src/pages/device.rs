//! One device: what it says of itself, what became of each build on it, and why it is offered what it is.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use tidegate_domain::{Device, DeviceId, PackageName, Step, VersionCode};
use tidegate_service::{DeviceBuild, Error};

use super::{Query, builds};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Fields;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many builds the history shows, the newest first.
const BUILDS_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "device.html")]
struct Page {
    frame: Frame,
    path: String,
    /// The query of a nudge to this device.
    nudge: String,
    may_nudge: bool,
    facts: Vec<(&'static str, String)>,
    tags: Vec<String>,
    installed: Vec<(String, i64)>,
    history: Vec<Account>,
    packages: Vec<String>,
    package: String,
    version: String,
    explanation: Option<Explained>,
}

/// The chain of rules, and where it led.
struct Explained {
    installed: VersionCode,
    build: Option<i64>,
    answer: String,
    steps: Vec<Step>,
}

/// What became of one build on it.
struct Account {
    id: i64,
    name: String,
    offered_at: Option<DateTime<Utc>>,
    downloaded_at: Option<DateTime<Utc>>,
    installed_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    last: &'static str,
    reason: Option<String>,
    gave_up: Option<String>,
}

/// The device in a path.
pub(crate) fn device_id(path: &str) -> Result<DeviceId, Refusal> {
    let unknown = |_| Error::not_found("not_found", "there is no such device: no device can have this id");
    Ok(DeviceId::parse(path).map_err(unknown)?)
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let id = device_id(&path)?;
    let (device, mut history) = app.devices.get(&id).await?;
    history.truncate(BUILDS_SHOWN);
    let packages = builds::packages(&app).await?;
    let package = query
        .given("package_name")
        .or_else(|| device.installed.first().map(|(name, _)| name.to_string()))
        .or_else(|| packages.first().cloned())
        .unwrap_or_default();
    let title = device
        .attributes
        .alias
        .clone()
        .filter(|alias| !alias.trim().is_empty());
    Ok(html(&Page {
        explanation: explain(&app, &id, &package, &query).await?,
        frame: Frame::new(
            &visitor,
            Section::Devices,
            title.unwrap_or_else(|| id.to_string()),
        )
        .after(&query),
        path: format!("/devices/{}", show::segment(id.as_str())),
        nudge: show::query(&[("device_id", id.as_str())]),
        may_nudge: device.has_fcm_token && app.nudges.is_configured(),
        facts: facts(&device, app.clock.now()),
        tags: device.attributes.tags,
        installed: device
            .installed
            .into_iter()
            .map(|(package, version)| (package.to_string(), version.get()))
            .collect(),
        history: history.into_iter().map(account).collect(),
        packages,
        package,
        version: query.text("current_version_code").to_owned(),
    }))
}

fn account(build: DeviceBuild) -> Account {
    Account {
        id: build.build.0,
        name: format!("{} {}", build.package, build.version_code),
        offered_at: build.offered_at,
        downloaded_at: build.downloaded_at,
        installed_at: build.installed_at,
        failed_at: build.install_failed_at.or(build.verify_failed_at),
        last: build.last_status.map_or("–", |status| status.as_str()),
        reason: build.last_reason,
        gave_up: build.rejection.map(|rejection| match rejection.until {
            Some(until) => format!("not again before {}", show::moment(until)),
            None => "given up".to_owned(),
        }),
    }
}

async fn explain(
    app: &AppState,
    id: &DeviceId,
    package: &str,
    query: &Fields,
) -> Result<Option<Explained>, Refusal> {
    if package.is_empty() {
        return Ok(None);
    }
    let package = PackageName::parse(package)?;
    let installed = match query.given("current_version_code") {
        Some(_) => Some(VersionCode::new(query.number("current_version_code")?)?),
        None => None,
    };
    let explanation = app.devices.explain(id, &package, installed).await?;
    Ok(Some(Explained {
        installed: explanation.installed,
        build: explanation.outcome.ok().map(|build| build.0),
        answer: explanation
            .outcome
            .err()
            .map(|reason| reason.to_string())
            .unwrap_or_default(),
        steps: explanation.steps,
    }))
}

fn facts(device: &Device, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let attributes = &device.attributes;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let seen = device.last_seen_at.map_or_else(
        || "never".to_owned(),
        |seen| format!("{} ({} UTC)", show::ago(seen, now), show::moment(seen)),
    );
    let nudge = if device.has_fcm_token {
        "yes"
    } else {
        "no: it has sent no FCM token"
    };
    let revoked = match device.token_generation {
        1 => "never".to_owned(),
        generation => show::many(u64::from(generation - 1), "time"),
    };
    vec![
        ("Device id", device.id.to_string()),
        ("Alias", text(&attributes.alias)),
        ("Manufacturer", text(&attributes.manufacturer)),
        ("Model", text(&attributes.model)),
        ("Android", text(&attributes.android_version)),
        (
            "API level",
            attributes.sdk.map(|sdk| sdk.to_string()).unwrap_or_default(),
        ),
        ("Region", text(&attributes.region)),
        ("Last seen", seen),
        ("Enrolled", format!("{} UTC", show::moment(device.enrolled_at))),
        ("Can be nudged", nudge.to_owned()),
        ("Token revoked", revoked),
    ]
}
