//! One device: what it says of itself, what became of each build on it, and why it is offered what it is.

use std::borrow::Cow;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use tidegate_domain::{Device, DeviceId, PackageName, Policy, Step, VersionCode};
use tidegate_service::{BuildOnDevice, Error};

use super::timeline::{self, Timeline};
use super::{Query, builds, policy_words, reason_words, why};
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
    id: String,
    may_nudge: bool,
    is_retired: bool,
    /// What somebody has to know of its enrolment.
    notices: Vec<String>,
    facts: Vec<(&'static str, String)>,
    tags: Vec<String>,
    /// Those that operators gave it.
    operator_tags: Vec<String>,
    policies: Vec<Demand>,
    /// Package, the version's name, its code.
    installed: Vec<(String, String, i64)>,
    /// What its last poll for each package was told.
    standings: Vec<(PackageName, String)>,
    history: Vec<Account>,
    timeline: Timeline,
    packages: Vec<String>,
    package: String,
    version: String,
    explanation: Option<Explained>,
}

/// The chain of rules, and where it led.
struct Explained {
    installed: VersionCode,
    build: Option<i64>,
    /// Where it led, in one sentence.
    sentence: String,
    answer: String,
    steps: Vec<Step>,
}

/// A policy that concerns it.
struct Demand {
    id: i64,
    /// On whom it hangs.
    subject: String,
    package: String,
    /// What it demands, in words.
    terms: String,
    remark: String,
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
    /// Whether it is refused the build until somebody lets it try again.
    is_refused: bool,
}

/// The device in a path.
pub(crate) fn device_id(path: &str) -> Result<DeviceId, Refusal> {
    let unknown = |_| Error::not_found("not_found", "there is no such device: no device can have this id");
    Ok(DeviceId::parse(path).map_err(unknown)?)
}

/// The path of a device's page.
pub(crate) fn path_of(device: &DeviceId) -> String {
    format!("/devices/{}", show::segment(device.as_str()))
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let id = device_id(&path)?;
    let view = app.devices.get(&id).await?;
    let (device, mut history) = (view.device, view.builds);
    history.truncate(BUILDS_SHOWN);
    let packages = builds::packages(&app).await?;
    let package = query
        .given("package_name")
        .or_else(|| device.installed.first().map(|(name, _)| name.to_string()))
        .or_else(|| packages.first().cloned())
        .unwrap_or_default();
    let names = app.devices.version_names(std::slice::from_ref(&device)).await?;
    let title = device.alias.clone().filter(|alias| !alias.trim().is_empty());
    Ok(html(&Page {
        explanation: explain(&app, &id, &package, &query).await?,
        frame: Frame::new(
            &visitor,
            Section::Devices,
            title.unwrap_or_else(|| id.to_string()),
        )
        .after(&query),
        path: path_of(&id),
        id: id.to_string(),
        nudge: show::query(&[("device_id", id.as_str())]),
        may_nudge: device.has_fcm_token && app.nudges.is_configured(),
        is_retired: device.retired_at.is_some(),
        notices: notices(&device, app.clock.now()),
        facts: facts(&device, app.clock.now()),
        operator_tags: view.overlay.tags().iter().map(ToString::to_string).collect(),
        policies: view
            .policies
            .iter()
            .map(|policy| demand(policy, view.at))
            .collect(),
        tags: device.shown().tags().map(str::to_owned).collect(),
        installed: device
            .installed
            .into_iter()
            .map(|(package, version)| {
                let name = names.get(&(package.clone(), version)).cloned();
                (package.to_string(), name.unwrap_or_default(), version.get())
            })
            .collect(),
        standings: view.standings,
        history: history.into_iter().map(account).collect(),
        timeline: timeline::of(&app, &id, &query).await?,
        packages,
        package,
        version: query.text("current_version_code").to_owned(),
    }))
}

fn demand(policy: &Policy, now: DateTime<Utc>) -> Demand {
    let spec = &policy.spec;
    Demand {
        id: policy.id.0,
        subject: spec.subject.to_string(),
        package: policy_words::package(policy),
        terms: policy_words::demands(policy, now).join("; "),
        remark: spec.remark.clone(),
    }
}

fn account(of: BuildOnDevice) -> Account {
    let history = of.history;
    let milestones = history.milestones;
    Account {
        id: of.build.0,
        name: format!("{} {}", of.package, of.version_code),
        offered_at: milestones.offered_at,
        downloaded_at: milestones.downloaded_at,
        installed_at: milestones.installed_at,
        failed_at: milestones.install_failed_at.or(milestones.verify_failed_at),
        last: history
            .last
            .as_ref()
            .map_or("–", |last| reason_words::status(last.status.as_str())),
        reason: history
            .last
            .and_then(|last| last.reason)
            .map(|code| reason_words::reason(&code).into_owned()),
        is_refused: history
            .rejection
            .is_some_and(|rejection| rejection.lifted_at().is_none()),
        gave_up: history.rejection.map(|rejection| match rejection.until {
            Some(at) if rejection.lifted_at().is_some() => {
                format!("may try again since {}", show::utc(at))
            }
            Some(until) => format!("not again before {}", show::utc(until)),
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
        sentence: why::sentence(&explanation, app.clock.now()),
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

fn standing_in_fleet(device: &Device) -> String {
    match (device.retired_at, device.inactive_at) {
        (Some(at), _) => format!("no: retired {} UTC", show::moment(at)),
        (None, Some(at)) => format!(
            "not counted since {} UTC: it had not polled for long",
            show::moment(at)
        ),
        (None, None) => "yes".to_owned(),
    }
}

fn notices(device: &Device, now: DateTime<Utc>) -> Vec<String> {
    let duplicate = device.duplicate_seen_at.map(|at| {
        format!(
            "Two phones may share this id: a credential from before its last enrolment was shown on {} UTC.",
            show::moment(at)
        )
    });
    let imported =
        (!device.has_enrolled).then(|| "It was imported and has not enrolled here yet.".to_owned());
    let allowed = device.enrolment_allowed_until.filter(|until| *until > now);
    let allowed = allowed.map(|until| {
        format!(
            "Its id may be enrolled once more until {} UTC.",
            show::moment(until)
        )
    });
    duplicate.into_iter().chain(imported).chain(allowed).collect()
}

fn facts(device: &Device, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let shown = device.shown();
    let text = |text: &Option<Cow<'_, str>>| text.clone().unwrap_or_default().into_owned();
    let seen = device.last_seen_at.map_or_else(
        || "never".to_owned(),
        |seen| format!("{} ({} UTC)", show::ago(seen, now), show::moment(seen)),
    );
    let nudge = if device.has_fcm_token {
        "yes"
    } else {
        "no: it has sent no FCM token"
    };
    // By a revocation, or by a takeover of the id.
    let ended = match device.token_generation {
        1 => "never".to_owned(),
        generation => show::many(u64::from(generation - 1), "time"),
    };
    vec![
        ("Device id", device.id.to_string()),
        ("Alias", device.alias.clone().unwrap_or_default()),
        ("Manufacturer", text(&shown.manufacturer)),
        ("Model", text(&shown.model)),
        ("Android", text(&shown.android)),
        (
            "API level",
            shown.sdk.map(|sdk| sdk.to_string()).unwrap_or_default(),
        ),
        ("Region", text(&shown.region)),
        ("Last seen", seen),
        ("Enrolled", format!("{} UTC", show::moment(device.enrolled_at))),
        ("Can be nudged", nudge.to_owned()),
        ("Token ended", ended),
        ("Part of the fleet", standing_in_fleet(device)),
    ]
}
