//! The charts of the pages: which versions run, how far a build has come, and what its gate has seen.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, PackageName, RolloutId};
use tidegate_service::{BuildPoint, Error, GateEvidence, PackageEvent, VersionHistory};

use crate::AppState;
use crate::chart::{Chart, Drawing, Kind, Line, Mark, Range, of_events};
use crate::form::Fields;
use crate::show;

/// Which versions of a package ran, one upon the other: the newest at the bottom, since its growth is what one looks for.
pub(crate) async fn versions(
    app: &AppState,
    package: Option<&PackageName>,
    query: &Fields,
) -> Result<Chart, Error> {
    let asked = asked(query)?;
    let history = match package {
        Some(package) => {
            app.fleet
                .versions(package, asked.unwrap_or(Range::Week).span())
                .await?
        }
        None => VersionHistory::default(),
    };
    // The last point is of now, so this is asked after it.
    let now = app.clock.now();
    let first = history.points.first().map(|point| point.at);
    let range = asked.unwrap_or_else(|| Range::first_shown(first, now));
    let marks = match package {
        Some(package) => marks(app, package, None, now - range.span()).await?,
        None => vec![],
    };
    let drawing = Drawing {
        from: now - range.span(),
        to: now,
        kind: Kind::Areas,
        times: history.points.iter().map(|point| point.at).collect(),
        lines: version_lines(&history),
        marks,
    };
    let mut chart = drawing.chart("versions-figure", "Devices by version".to_owned(), "devices");
    if asked.is_none() {
        chart.empty = "Nothing yet: the fleet is counted once a minute, and the chart begins with the first poll that \
                       tells a version.";
    }
    let package = package.map_or("", PackageName::as_str).to_owned();
    Ok(chart.with_ranges(range, |range| {
        format!("/{}", show::query(&[("package", &package), ("range", range)]))
    }))
}

fn version_lines(history: &VersionHistory) -> Vec<Line> {
    let known = history.versions.iter().enumerate().rev();
    let mut lines: Vec<Line> = known
        .zip(0_usize..)
        .map(|((at, (code, name)), age)| Line {
            name: match name {
                Some(name) if !name.trim().is_empty() => name.clone(),
                _ => code.to_string(),
            },
            class: format!("v{age}"),
            values: history
                .points
                .iter()
                .map(|point| Some(number(point.devices[at])))
                .collect(),
        })
        .collect();
    if history.points.iter().any(|point| point.others > 0) {
        lines.push(Line {
            name: "others".to_owned(),
            class: "rest".to_owned(),
            values: history
                .points
                .iter()
                .map(|point| Some(number(point.others)))
                .collect(),
        });
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
fn number(devices: u64) -> f64 {
    devices as f64
}

/// How many devices were offered a build, had it and installed it.
pub(crate) async fn progress(
    app: &AppState,
    build: (BuildId, &PackageName),
    query: &Fields,
) -> Result<Chart, Error> {
    let asked = asked(query)?;
    let (id, package) = build;
    let points = app
        .builds
        .progress(id, asked.unwrap_or(Range::Week).span())
        .await?;
    let now = app.clock.now();
    let first = points.first().map(|point| point.at);
    let range = asked.unwrap_or_else(|| Range::first_shown(first, now));
    let line = |name: &str, class: &str, count: fn(&BuildPoint) -> i64| Line {
        name: name.to_owned(),
        class: class.to_owned(),
        values: points
            .iter()
            .map(|point| Some(number(count(point).unsigned_abs())))
            .collect(),
    };
    let drawing = Drawing {
        from: now - range.span(),
        to: now,
        kind: Kind::Lines,
        times: points.iter().map(|point| point.at).collect(),
        lines: vec![
            line("Offered", "s3", |point| point.eligible),
            line("Downloaded", "s1", |point| point.downloads),
            line("Installed", "s0", |point| point.installed),
        ],
        marks: marks(app, package, Some(id), now - range.span()).await?,
    };
    let mut chart = drawing.chart("progress-figure", "Devices so far".to_owned(), "devices");
    if first.is_none() {
        chart.empty = "No device has met it in this time.";
    }
    Ok(chart.with_ranges(range, |range| {
        format!("/builds/{id}{}", show::query(&[("range", range)]))
    }))
}

/// What a gate has seen against and for the build since its rollout began; none before its first reading.
pub(crate) async fn evidence(app: &AppState, rollout: RolloutId) -> Result<Option<Chart>, Error> {
    let now = app.clock.now();
    let mut readings = app.rollouts.gate_readings(rollout).await?;
    let (Some(first), Some(last)) = (readings.first().copied(), readings.last().copied()) else {
        return Ok(None);
    };
    // A reading stays true until the next.
    if last.minute < now {
        readings.push(GateEvidence { minute: now, ..last });
    }
    let range = Range::holding(first.minute, now);
    type Of = fn(&GateEvidence) -> Option<f64>;
    let all: [(&str, &str, Of); 5] = [
        ("Failed", "s4", |reading| Some(reading.failed)),
        ("Damaged file", "s1", |reading| Some(reading.corrupt)),
        ("Silent", "s3", |reading| reading.lost),
        ("Crashing", "s0", |reading| reading.crashing),
        ("That it is good", "s2", |reading| reading.good),
    ];
    let lines = all.into_iter().map(|(name, class, of)| Line {
        name: name.to_owned(),
        class: class.to_owned(),
        values: readings.iter().map(of).collect(),
    });
    let drawing = Drawing {
        from: now - range.span(),
        to: now,
        kind: Kind::Evidence,
        times: readings.iter().map(|reading| reading.minute).collect(),
        lines: lines
            .filter(|line| line.values.iter().any(Option::is_some))
            .collect(),
        marks: vec![],
    };
    let chart = drawing.chart("evidence-figure", "Evidence over time".to_owned(), "e-value");
    Ok(Some(chart))
}

fn asked(query: &Fields) -> Result<Option<Range>, Error> {
    Range::asked(query.given("range").as_deref())
}

async fn marks(
    app: &AppState,
    package: &PackageName,
    build: Option<BuildId>,
    from: DateTime<Utc>,
) -> Result<Vec<Mark>, Error> {
    let events = app.rollouts.package_events(package, build, from).await?;
    let names = names(app, build, &events).await?;
    Ok(of_events(&events, |of| {
        let name = names.get(&of.build).map_or("", String::as_str);
        match (name, build) {
            ("", _) | (_, Some(_)) => format!("Rollout {}", of.rollout),
            (name, None) => name.to_owned(),
        }
    }))
}

/// What builds are called, where a chart is about several.
async fn names(
    app: &AppState,
    build: Option<BuildId>,
    events: &[PackageEvent],
) -> Result<HashMap<BuildId, String>, Error> {
    let mut names = HashMap::new();
    if build.is_some() {
        return Ok(names);
    }
    let mut builds: Vec<BuildId> = events.iter().map(|of| of.build).collect();
    builds.sort_unstable();
    builds.dedup();
    // Chart marks are few: the last builds are those that they are about.
    for id in builds.into_iter().rev().take(MAX_NAMED) {
        names.insert(id, super::cards::name(&app.builds.get(id).await?.build));
    }
    Ok(names)
}

/// The most builds whose names are looked up for a chart's marks.
const MAX_NAMED: usize = 12;
