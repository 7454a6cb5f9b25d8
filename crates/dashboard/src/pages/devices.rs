//! The devices: searching and leafing through them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::{Device, PackageName};
use tidegate_service::{DeviceFilter, Page as PageOf};

use super::{Query, builds};
use crate::Desk;
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
    package: String,
    search: String,
    first: String,
    next: Option<String>,
    is_first: bool,
}

struct Row {
    id: String,
    path: String,
    alias: String,
    model: String,
    android: String,
    region: String,
    installed: Vec<(String, i64)>,
    seen: String,
}

pub(crate) async fn page(
    State(desk): State<Arc<Desk>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let package = query
        .given("package_name")
        .map(|name| PackageName::parse(&name))
        .transpose()?;
    let search = query.text("search").to_owned();
    let token = query.given("page_token");
    let is_first = token.is_none();
    let filter = DeviceFilter {
        search: query.given("search"),
        package: package.clone(),
    };
    let page = PageOf::new(Some(DEVICES_ON_A_PAGE), token).map_err(tidegate_service::Error::from)?;
    let devices = desk.devices.list(filter, page).await?;
    let package = package.map(|name| name.to_string()).unwrap_or_default();
    let next = devices.next_page_token.map(|token| {
        let pairs = [
            ("search", search.as_str()),
            ("package_name", &package),
            ("page_token", &token),
        ];
        show::query(&pairs)
    });
    let now = desk.clock.now();
    Ok(html(&Page {
        rows: devices.items.into_iter().map(|device| row(device, now)).collect(),
        first: show::query(&[("search", &search), ("package_name", &package)]),
        packages: builds::packages(&desk).await?,
        package,
        search,
        next,
        is_first,
        frame: Frame::new(&visitor, Section::Devices, "Devices"),
    }))
}

fn row(device: Device, now: chrono::DateTime<chrono::Utc>) -> Row {
    let attributes = device.attributes;
    let maker = [attributes.manufacturer, attributes.model];
    let android = match (attributes.android_version, attributes.sdk) {
        (Some(version), Some(sdk)) => format!("{version} (API {sdk})"),
        (Some(version), None) => version,
        (None, Some(sdk)) => format!("API {sdk}"),
        (None, None) => String::new(),
    };
    Row {
        path: format!("/devices/{}", show::segment(device.id.as_str())),
        id: device.id.to_string(),
        alias: attributes.alias.unwrap_or_default(),
        model: maker.into_iter().flatten().collect::<Vec<_>>().join(" "),
        android,
        region: attributes.region.unwrap_or_default(),
        installed: device
            .installed
            .into_iter()
            .map(|(package, version)| (package.to_string(), version.get()))
            .collect(),
        seen: device
            .last_seen_at
            .map_or_else(|| "never".to_owned(), |seen| show::ago(seen, now)),
    }
}
