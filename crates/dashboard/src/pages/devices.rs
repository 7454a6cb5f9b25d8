//! The devices as a working list: searching, filtering, sorting and leafing through them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use tidegate_domain::{Device, PackageName};
use tidegate_service::{
    Condition, CountBound, DeviceCount, Error, Kind, LastOutcome, MAX_CANDIDATES, Page as PageOf, Paged,
    Told, VersionNames,
};

use super::device::path_of;
use super::device_query::{Chip, FATES, SEEN, Typed};
use super::{Query, builds, conditions, reason_words};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many devices a page shows.
const DEVICES_ON_A_PAGE: u32 = 40;

#[derive(Template)]
#[template(path = "devices.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    packages: Vec<String>,
    tags: Vec<String>,
    typed: Typed,
    chips: Vec<Chip>,
    /// Why the filter can't be asked; nobody is listed then.
    error: Option<String>,
    /// How many there are, in words.
    total: String,
    /// What the total says as a number, for what is done to all of them; `None` where it is not known exactly.
    all: Option<u64>,
    /// Why a page may be short and the total unsure.
    scanned: Option<String>,
    first: String,
    next: Option<String>,
    csv: String,
    is_first: bool,
}

impl Page {
    fn conditions() -> [(&'static str, &'static str); Condition::ALL.len()] {
        Condition::ALL.map(|condition| (condition.as_str(), conditions::name(condition)))
    }

    fn told() -> [(&'static str, &'static str); Told::ALL.len()] {
        Told::ALL.map(|told| (told.as_str(), show::meaning(told)))
    }

    fn seen() -> impl Iterator<Item = (&'static str, &'static str)> {
        SEEN.iter().map(|(word, words, ..)| (*word, *words))
    }

    fn fates() -> [(&'static str, &'static str); 3] {
        FATES
    }

    fn reasons() -> &'static [(&'static str, &'static str)] {
        reason_words::reasons()
    }
}

struct Row {
    id: String,
    path: String,
    alias: String,
    model: String,
    /// Android, API level, region.
    more: String,
    /// Package, the version's name, its code.
    installed: Vec<(String, String, i64)>,
    /// What its last poll for each package was told; of the chosen package alone where one is chosen.
    told: Vec<(String, &'static str)>,
    outcome: Option<Outcome>,
    seen: String,
    enrolled: String,
}

/// The last thing that a device reported.
struct Outcome {
    what: String,
    why: String,
    build: i64,
    version: String,
    is_bad: bool,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let typed = Typed::of(&query);
    let now = app.clock.now();
    let token = query.given("page_token");
    let is_first = token.is_none();
    let page = PageOf::new(Some(DEVICES_ON_A_PAGE), token).map_err(Error::from)?;
    let (found, refused) = match find(&app, &typed, page, now).await {
        Ok(found) => (found, None),
        // What was typed stays, to be mended.
        Err(error) if matches!(error.kind, Kind::Invalid | Kind::NotFound) => (Found::nobody(), Some(error)),
        Err(error) => return Err(error.into()),
    };
    let Found {
        devices,
        count,
        package,
    } = found;
    let status = refused.as_ref().map(|error| status(error.kind));
    let next = devices.next_page_token.clone();
    let page = html(&Page {
        rows: rows(&app, devices.items, package.as_ref(), now).await?,
        packages: builds::packages(&app).await?,
        tags: tags(&app).await?,
        total: total(count),
        all: (count.bound == CountBound::Exact && count.devices > 0).then_some(count.devices),
        scanned: (count.bound == CountBound::Scanned).then(scanned),
        first: typed.query(&[]),
        csv: typed.query(&[]),
        next: next.map(|token| typed.query(&[("page_token", &token)])),
        chips: typed.chips(),
        typed,
        is_first,
        error: refused.map(|error| error.message),
        frame: Frame::new(&visitor, Section::Devices, "Devices").after(&query),
    });
    Ok((status.unwrap_or_default(), page).into_response())
}

/// A page of the devices that a filter finds.
struct Found {
    devices: Paged<Device>,
    count: DeviceCount,
    /// The package that they are asked about.
    package: Option<PackageName>,
}

impl Found {
    fn nobody() -> Self {
        Self {
            devices: Paged {
                items: vec![],
                next_page_token: None,
            },
            count: DeviceCount {
                devices: 0,
                bound: CountBound::Exact,
            },
            package: None,
        }
    }
}

async fn find(app: &AppState, typed: &Typed, page: PageOf, now: DateTime<Utc>) -> Result<Found, Error> {
    let Some(filter) = app.devices.resolve(typed.parse(now)?)? else {
        return Ok(Found::nobody());
    };
    Ok(Found {
        devices: app.devices.list(filter.clone(), page).await?,
        count: app.devices.count(filter.clone()).await?,
        package: filter.package,
    })
}

/// How many devices there are, in words.
pub(crate) fn total(count: DeviceCount) -> String {
    match count.bound {
        CountBound::Exact => show::many(count.devices, "device"),
        CountBound::More => format!("More than {}", show::many(count.devices, "device")),
        CountBound::Scanned => format!("At least {}", show::many(count.devices, "device")),
    }
}

fn scanned() -> String {
    format!(
        "No index answers all these filters together, so {} devices at a time are looked at one by one. A page may be \
         short: go on to the next one.",
        show::count(MAX_CANDIDATES as u64)
    )
}

/// The tags to choose from, as many as one list holds.
async fn tags(app: &AppState) -> Result<Vec<String>, Refusal> {
    let page = PageOf::new(Some(tidegate_service::MAX_PAGE_SIZE), None).map_err(Error::from)?;
    let tags = app.tags.list(page).await?;
    Ok(tags.items.into_iter().map(|of| of.tag.to_string()).collect())
}

async fn rows(
    app: &AppState,
    devices: Vec<Device>,
    package: Option<&PackageName>,
    now: DateTime<Utc>,
) -> Result<Vec<Row>, Refusal> {
    let mut told = app.devices.standings_of(&devices).await?;
    let mut outcomes = app.devices.last_outcomes(&devices).await?;
    let names = app.devices.version_names(&devices).await?;
    let rows = devices.into_iter().map(|device| {
        let mut told = told.remove(&device.id).unwrap_or_default();
        told.retain(|(name, _)| package.is_none_or(|package| package == name));
        let outcome = outcomes.remove(&device.id).map(outcome);
        row(device, told, outcome, &names, now)
    });
    Ok(rows.collect())
}

fn outcome(last: LastOutcome) -> Outcome {
    let why = last.reason.as_deref().map(reason_words::reason);
    Outcome {
        what: reason_words::status(&last.status).to_owned(),
        why: why.unwrap_or_default().into_owned(),
        build: last.build.0,
        version: last.version_name,
        is_bad: last.status.ends_with("_failed"),
    }
}

fn row(
    device: Device,
    told: Vec<(PackageName, Told)>,
    outcome: Option<Outcome>,
    names: &VersionNames,
    now: DateTime<Utc>,
) -> Row {
    let shown = device.shown();
    let maker = [shown.manufacturer, shown.model];
    let android = shown.android.map(|version| format!("Android {version}"));
    let level = shown.sdk.map(|sdk| format!("API {sdk}"));
    let region = shown.region.map(std::borrow::Cow::into_owned);
    let more: Vec<String> = android.into_iter().chain(level).chain(region).collect();
    Row {
        path: path_of(&device.id),
        id: device.id.to_string(),
        alias: device.alias.unwrap_or_default(),
        model: maker.into_iter().flatten().collect::<Vec<_>>().join(" "),
        more: more.join(" · "),
        installed: device
            .installed
            .into_iter()
            .map(|(package, version)| {
                let name = names.get(&(package.clone(), version)).cloned();
                (package.to_string(), name.unwrap_or_default(), version.get())
            })
            .collect(),
        told: told
            .into_iter()
            .map(|(package, told)| (package.to_string(), told.as_str()))
            .collect(),
        outcome,
        seen: device
            .last_seen_at
            .map_or_else(|| "never".to_owned(), |seen| show::ago(seen, now)),
        enrolled: show::ago(device.enrolled_at, now),
    }
}
