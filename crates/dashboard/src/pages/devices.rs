//! The devices: searching and leafing through them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use tidegate_domain::{Device, PackageName};
use tidegate_service::{Condition, DeviceState, Error, Page as PageOf, Told};

use super::device::path_of;
use super::{Query, builds, conditions};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many devices a page shows.
const DEVICES_ON_A_PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "devices.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    packages: Vec<String>,
    filter: Shown,
    conditions: [(&'static str, &'static str); Condition::ALL.len()],
    told: [&'static str; Told::ALL.len()],
    first: String,
    next: Option<String>,
    is_first: bool,
}

/// The filter as it was typed.
struct Shown {
    search: String,
    package: String,
    state: String,
}

impl Shown {
    fn query(&self, page_token: &str) -> String {
        show::query(&[
            ("search", &self.search),
            ("package_name", &self.package),
            ("state", &self.state),
            ("page_token", page_token),
        ])
    }
}

struct Row {
    id: String,
    path: String,
    alias: String,
    model: String,
    android: String,
    region: String,
    installed: Vec<(String, i64)>,
    /// What its last poll for each package was told; of the chosen package alone where one is chosen.
    told: Vec<(String, &'static str)>,
    seen: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let package = query.given("package_name");
    let package = package.map(|name| PackageName::parse(&name)).transpose()?;
    let filter = Shown {
        search: query.text("search").to_owned(),
        package: query.text("package_name").to_owned(),
        state: query.text("state").to_owned(),
    };
    let token = query.given("page_token");
    let is_first = token.is_none();
    let page = PageOf::new(Some(DEVICES_ON_A_PAGE), token).map_err(Error::from)?;
    let state = match filter.state.as_str() {
        "" => None,
        word => Some(word.parse::<DeviceState>()?),
    };
    let devices = app
        .devices
        .find(query.given("search"), package.clone(), state, page)
        .await?;
    let mut told = app.devices.standings_of(&devices.items).await?;
    for standings in told.values_mut() {
        standings.retain(|(name, _)| package.as_ref().is_none_or(|package| package == name));
    }
    let next = devices.next_page_token.map(|token| filter.query(&token));
    let now = app.clock.now();
    Ok(html(&Page {
        rows: devices
            .items
            .into_iter()
            .map(|device| {
                let told = told.remove(&device.id).unwrap_or_default();
                row(device, told, now)
            })
            .collect(),
        packages: builds::packages(&app).await?,
        first: filter.query(""),
        filter,
        conditions: Condition::ALL.map(|condition| (condition.as_str(), conditions::name(condition))),
        told: Told::ALL.map(Told::as_str),
        next,
        is_first,
        frame: Frame::new(&visitor, Section::Devices, "Devices").after(&query),
    }))
}

fn row(device: Device, told: Vec<(PackageName, Told)>, now: DateTime<Utc>) -> Row {
    let shown = device.shown();
    let maker = [shown.manufacturer, shown.model];
    let android = match (shown.android, shown.sdk) {
        (Some(version), Some(sdk)) => format!("{version} (API {sdk})"),
        (Some(version), None) => version.into_owned(),
        (None, Some(sdk)) => format!("API {sdk}"),
        (None, None) => String::new(),
    };
    Row {
        path: path_of(&device.id),
        id: device.id.to_string(),
        alias: device.alias.unwrap_or_default(),
        model: maker.into_iter().flatten().collect::<Vec<_>>().join(" "),
        android,
        region: shown.region.unwrap_or_default().into_owned(),
        installed: device
            .installed
            .into_iter()
            .map(|(package, version)| (package.to_string(), version.get()))
            .collect(),
        told: told
            .into_iter()
            .map(|(package, told)| (package.to_string(), told.as_str()))
            .collect(),
        seen: device
            .last_seen_at
            .map_or_else(|| "never".to_owned(), |seen| show::ago(seen, now)),
    }
}
