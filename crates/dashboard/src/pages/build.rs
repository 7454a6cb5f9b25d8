//! One build: what it is, who is offered it, what became of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, Rollout, RolloutState};
use tidegate_service::{BuildStats, BuildView, Comparison, Page as PageOf, RolloutFilter};

use super::cards::{self, Card, name};
use super::failures::{self, Failures};
use super::past::{self, TakenBack};
use super::patches;
use super::plan::{self, PlanView};
use super::{BuildPath, Query, charts};
use crate::AppState;
use crate::chart::Chart;
use crate::error::{Refusal, html};
use crate::frame::{Frame, Section};
use crate::live;
use crate::session::Visitor;
use crate::show;

/// How much of the release notes is shown, in characters.
const MAX_NOTES_CHARS: usize = 8_000;

/// How many rollouts the history shows.
const ROLLOUTS_SHOWN: u32 = 50;

#[derive(Template)]
#[template(path = "build.html")]
struct Page {
    frame: Frame,
    card: Card,
    /// How it stands: the state of the rollout that offers it, or of the last one that did.
    state: &'static str,
    /// By whom it was taken back, if it was.
    taken_back: Option<TakenBack>,
    /// What promoting it would not do, where a newer one is current.
    older: Option<String>,
    warnings: Vec<String>,
    /// When it was deleted, if it was.
    deleted_at: Option<DateTime<Utc>>,
    funnel: Vec<Stage>,
    chart: Chart,
    notes: String,
    siblings: String,
    failures: Failures,
    history: Vec<RolloutRow>,
    /// The rollouts of it that serve, as the feed names them.
    serving: String,
    signers: Vec<(String, String)>,
    comparison: Option<Comparison>,
    /// Whether a gate's rollout of it is halted.
    is_halted: bool,
    /// Whether the plan of the rollout that offers it tells its share and state.
    by_plan: bool,
    /// Of its rollouts those that go on by themselves or wait for somebody.
    plans: Vec<PlanView>,
    patches: Option<patches::Patches>,
}

/// A rollout of the build, and what it did with it.
struct RolloutRow {
    rollout: Rollout,
    /// The share that it has now.
    share: String,
    /// See [`cards::place`].
    place: String,
    /// By their names in the feed.
    numbers: [(&'static str, String); 5],
}

/// One line of the funnel.
struct Stage {
    name: &'static str,
    key: &'static str,
    count: String,
    percent: f64,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let view = app.builds.get(id).await?;
    let stats = app.builds.stats(id, 0).await?;
    let title = format!("{} {}", view.build.facts.package, name(&view.build));
    let mut frame = Frame::new(&visitor, Section::Builds, title).after(&query);
    frame.pausable = pausable(&query, &view, &frame);
    let plans = plan::of_build(&app, &visitor, &view.build).await?;
    let own = view.rollout.as_ref().map(|rollout| rollout.id);
    let page = Page {
        is_halted: plans.iter().any(|plan| plan.halted_for().is_some()),
        by_plan: plans
            .iter()
            .any(|plan| Some(plan.id) == own && !plan.steps.is_empty()),
        frame,
        funnel: funnel(&stats),
        siblings: show::query(&[("package", view.build.facts.package.as_str())]),
        notes: shown(&view.build.provenance.notes),
        failures: failures::of(id, app.builds.failures(id).await?, stats.stats.total_eligible),
        chart: charts::progress(&app, (id, &view.build.facts.package), &query).await?,
        history: history(&app, id, &stats).await?,
        serving: serving(&app, id),
        signers: signers(&view.build.facts.signers),
        comparison: app.builds.compare_with_current(id).await?,
        plans,
        patches: patches::of(&app, &view.build).await?,
        state: past::state(&view),
        taken_back: TakenBack::of(&app, &view).await?,
        older: past::older(&app, &view).await?,
        warnings: past::warnings(&view.build),
        deleted_at: view.deleted_at,
        card: Card::new(view, stats.stats, app.clock.now()),
    };
    Ok(html(&page))
}

/// The rollout that was just changed, where it serves this build and can be paused.
fn pausable(query: &crate::form::Fields, view: &BuildView, frame: &Frame) -> Option<i64> {
    let named: i64 = query.text("rollout").parse().ok()?;
    let rollout = view.rollout.as_ref().filter(|rollout| rollout.id.0 == named)?;
    let may =
        frame.may_operate() && frame.done.is_some() && rollout.spec.state.may_become(RolloutState::Paused);
    may.then_some(named)
}

/// A build and its numbers, for a dialog about it.
pub(crate) async fn card_of(app: &AppState, id: BuildId) -> Result<Card, Refusal> {
    let view = app.builds.get(id).await?;
    let stats = app.builds.stats(id, 0).await?;
    Ok(Card::new(view, stats.stats, app.clock.now()))
}

/// Release notes may be longer than a page should be.
fn shown(notes: &str) -> String {
    if notes.chars().nth(MAX_NOTES_CHARS).is_none() {
        return notes.to_owned();
    }
    notes.chars().take(MAX_NOTES_CHARS).collect::<String>() + " …"
}

async fn history(app: &AppState, id: BuildId, stats: &BuildStats) -> Result<Vec<RolloutRow>, Refusal> {
    let filter = RolloutFilter {
        state: None,
        package: None,
        build: Some(id),
    };
    let page = PageOf::new(Some(ROLLOUTS_SHOWN), None).map_err(tidegate_service::Error::from)?;
    let rollouts = app.rollouts.list(filter, page).await?.items;
    let now = app.rollouts.now();
    let rows = rollouts.into_iter().map(|rollout| {
        let of_it = stats.rollouts.iter().find(|of| of.rollout == rollout.id);
        let numbers = live::counts(&of_it.map(|of| of.stats).unwrap_or_default());
        RolloutRow {
            share: rollout.spec.percent(now).to_string(),
            place: cards::place(&rollout.spec),
            numbers: numbers.map(|(name, number)| (name, show::count(number))),
            rollout,
        }
    });
    Ok(rows.collect())
}

fn serving(app: &AppState, id: BuildId) -> String {
    let serving = app.builds.serving();
    let of_it = serving.iter().filter(|(build, _)| *build == id);
    let ids: Vec<String> = of_it.map(|(_, rollout)| rollout.id.to_string()).collect();
    ids.join(",")
}

fn funnel(stats: &BuildStats) -> Vec<Stage> {
    let whole = stats.stats.total_eligible;
    [
        ("Offered", "eligible", whole),
        ("Downloaded", "downloaded", stats.stats.total_downloads),
        ("Installed", "installed", stats.stats.installs_success),
        ("Installation failed", "failed", stats.stats.installs_failed),
        ("Did not verify", "verify_failed", stats.stats.verify_failed),
    ]
    .into_iter()
    .map(|(name, key, part)| Stage {
        name,
        key,
        count: show::count(part),
        percent: show::percent_of(part, whole).min(100.0),
    })
    .collect()
}

pub(super) fn signers(signers: &tidegate_domain::Signers) -> Vec<(String, String)> {
    let ranges = signers.ranges().iter();
    let words = ranges.map(|range| {
        let levels = show::levels(range.from_sdk, range.to_sdk);
        (levels, range.fingerprint.to_string())
    });
    words.collect()
}
