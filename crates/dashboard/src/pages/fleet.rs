//! The first page: how the fleet stands.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use tidegate_domain::{BuildId, PackageName};
use tidegate_service::{FleetOverview, PackageStandings};

use super::cards::Card;
use super::conditions::Overview;
use super::first_run::FirstRun;
use super::{Query, charts, first_run};
use crate::AppState;
use crate::chart::Chart;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many builds that serve the page shows.
const SERVING_SHOWN: usize = 12;

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page {
    frame: Frame,
    tile: Tile,
    overview: Overview,
    measured: Option<String>,
    serving: Vec<Card>,
    packages: Vec<String>,
    package: String,
    chart: Chart,
    standings: Option<Standings>,
    restored: Option<Restored>,
    first_run: Option<FirstRun>,
}

/// A backup that was put in the place of the database.
struct Restored {
    at: String,
    by: String,
}

/// The devices of a package by what their last poll was told.
struct Standings {
    devices: String,
    parts: Vec<Part>,
}

/// Those that were told the same.
struct Part {
    /// Its name in the feed.
    key: String,
    word: &'static str,
    meaning: &'static str,
    number: String,
    /// The devices that it counts.
    path: String,
}

/// One number about the fleet.
pub(crate) struct Tile {
    pub key: &'static str,
    pub name: &'static str,
    pub number: String,
    pub of: String,
}

/// What the bars don't say.
pub(crate) fn tile(overview: &FleetOverview) -> Tile {
    let share = show::part(overview.seen_last_day, overview.devices);
    Tile {
        key: "seen",
        name: "Seen in the last day",
        number: show::count(overview.seen_last_day),
        of: format!("{share} of {}", show::many(overview.devices, "device")),
    }
}

/// The name of one of a package's counts in the feed.
pub(crate) fn standing_key(package: &PackageName, word: &str) -> String {
    format!("p.{package}.{word}")
}

fn standings(of: PackageStandings) -> Standings {
    let parts = of.told.into_iter().map(|(told, devices)| Part {
        key: standing_key(&of.package, told.as_str()),
        word: told.as_str(),
        meaning: show::meaning(told),
        number: show::count(devices),
        path: format!(
            "/devices{}",
            show::query(&[("package_name", of.package.as_str()), ("state", told.as_str())])
        ),
    });
    Standings {
        devices: show::count(of.devices),
        parts: parts.collect(),
    }
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let serving = app.builds.serving();
    let mut packages: Vec<&PackageName> = serving.iter().map(|(_, rollout)| &rollout.spec.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let chosen = match query.given("package") {
        Some(name) => Some(PackageName::parse(&name)?),
        None => packages.first().map(|name| (*name).clone()),
    };
    let overview = app.fleet.overview();
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Fleet, "Fleet").after(&query),
        restored: restored(&app).await?,
        first_run: first_run::of(&app).await?,
        tile: tile(&overview),
        overview: Overview::of(
            app.fleet.conditions(),
            query.given("package").and(chosen.as_ref()),
        ),
        measured: overview.measured_at.map(show::moment),
        packages: packages.iter().map(ToString::to_string).collect(),
        chart: charts::versions(&app, chosen.as_ref(), &query).await?,
        standings: chosen
            .as_ref()
            .map(|package| standings(app.fleet.standings_of(package))),
        package: chosen.map(|name| name.to_string()).unwrap_or_default(),
        serving: cards(&app).await?,
    }))
}

async fn restored(app: &AppState) -> Result<Option<Restored>, Refusal> {
    let open = app.restorations.open().await?;
    Ok(open.map(|restoration| Restored {
        at: show::utc(restoration.at),
        by: restoration.by,
    }))
}

/// Somebody has repeated what was revoked since a backup.
pub(crate) async fn dismiss(
    State(app): State<Arc<AppState>>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    app.restorations.dismiss(&visitor.actor).await?;
    Ok(Redirect::to("/").into_response())
}

/// The builds that are offered now, the youngest rollout first.
async fn cards(app: &AppState) -> Result<Vec<Card>, Refusal> {
    let mut serving = app.builds.serving();
    serving.sort_by_key(|(_, rollout)| std::cmp::Reverse(rollout.id));
    serving.truncate(SERVING_SHOWN);
    let ids: Vec<BuildId> = serving.iter().map(|(build, _)| *build).collect();
    let stats = app.builds.stats_of(&ids).await?;
    let mut cards = Vec::with_capacity(ids.len());
    for id in ids {
        let view = app.builds.get(id).await?;
        let stats = stats.get(&id).copied().unwrap_or_default();
        cards.push(Card::new(view, stats, app.clock.now()));
    }
    Ok(cards)
}
