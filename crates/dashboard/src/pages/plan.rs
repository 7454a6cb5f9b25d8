//! A rollout that goes on by itself, as the page of its build shows it: where its plan stands, what waits for a second
//! person, and the buttons that hold it, let it go on and approve.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use tidegate_domain::{
    Build, Phase, PlanRun, Release, Role, Rollout, RolloutId, RolloutSpec, RolloutState, Stage, Track,
};
use tidegate_service::{Error, Page as PageOf, RolloutEvent};

use super::health::Health;
use super::stepper::{self, StepRow};
use super::{done, plan_words};
use crate::AppState;
use crate::error::Refusal;
use crate::form::{Fields, Posted};
use crate::session::Visitor;
use crate::show;

/// How much of the timeline is shown.
const EVENTS_SHOWN: usize = 10;

/// How much of it is looked through for when steps began.
const EVENTS_READ: u32 = 100;

/// How many rollouts of one build are told of.
const PLANS_SHOWN: usize = 5;

/// Where a rollout's plan stands.
pub(crate) struct PlanView {
    pub id: RolloutId,
    pub revision: u32,
    /// The step at hand, from 1; 0 without a plan.
    pub step: usize,
    /// What the feed says while this is up to date.
    pub mark: String,
    pub state: RolloutState,
    pub phase: &'static str,
    pub share: String,
    /// What it does, in a sentence.
    pub doing: String,
    pub steps: Vec<StepRow>,
    /// What the step at hand waits for, in a few words.
    pub waits_for: String,
    pub waiting: Option<Waiting>,
    /// What its gate makes of it, if it has one.
    pub health: Option<Health>,
    pub may: May,
    pub events: Vec<Line>,
}

impl PlanView {
    /// Why its gate's rollout is halted, in a sentence.
    pub fn halted_for(&self) -> Option<&str> {
        let health = self.health.as_ref()?;
        (self.state == RolloutState::Halted).then_some(health.sentence.as_str())
    }

    /// What the card is about.
    pub fn title(&self) -> &'static str {
        match (self.steps.is_empty(), &self.health) {
            (false, _) => "Plan",
            (true, Some(_)) => "Gate",
            (true, None) => "Approval",
        }
    }
}

/// What waits for a second person.
pub(crate) struct Waiting {
    pub says: String,
    /// What the button says that approves it.
    pub button: String,
    /// Whether it is the visitor's own, which they can't approve.
    pub is_own: bool,
}

/// What can be done now, by somebody who may.
pub(crate) struct May {
    pub hold: bool,
    /// What the button says that lets it go on; none where nothing stands still.
    pub start: Option<&'static str>,
    /// The share that the button raises it to which begins the next step.
    pub raise_to: Option<String>,
}

/// A line of the timeline.
pub(crate) struct Line {
    pub at: show::Time,
    pub what: String,
    pub who: String,
    pub share: String,
}

/// The build's rollouts that have a plan or a gate, or wait for somebody.
pub(crate) async fn of_build(
    app: &AppState,
    visitor: &Visitor,
    build: &Build,
) -> Result<Vec<PlanView>, Error> {
    let track = app.rollouts.track(&build.facts.package).await?;
    let told = track.serving.iter().filter(|release| {
        let spec = &release.rollout.spec;
        let is_told = spec.plan.is_some() || spec.gate.is_some() || spec.waits_since().is_some();
        spec.build == build.id && is_told
    });
    let told: Vec<&Release> = told.take(PLANS_SHOWN).collect();
    // One gate is drawn over time, as a page is small: the newest.
    let gated = told.iter().filter(|release| release.rollout.spec.gate.is_some());
    let drawn = gated.map(|release| release.rollout.id).max();
    let mut views = Vec::new();
    for release in told {
        let with_chart = drawn == Some(release.rollout.id);
        views.push(view(app, visitor, (&track, release), with_chart).await?);
    }
    Ok(views)
}

async fn view(
    app: &AppState,
    visitor: &Visitor,
    (track, release): (&Track, &Release),
    with_chart: bool,
) -> Result<PlanView, Error> {
    let (rollout, now) = (&release.rollout, app.rollouts.now());
    let page = PageOf::new(Some(EVENTS_READ), None)?;
    let events = app.rollouts.events(rollout.id, page).await?.items;
    let coming = track.coming(release);
    let health = match app.rollouts.gate_of(rollout.clone()).await? {
        Some(gate) => Some(Health::of(app, &gate, with_chart).await?),
        None => None,
    };
    let spec = &rollout.spec;
    Ok(PlanView {
        id: rollout.id,
        revision: spec.revision,
        step: spec.plan.as_ref().map_or(0, |run| run.progress.step + 1),
        mark: mark(rollout),
        state: spec.state,
        phase: spec.phase().map_or("", phase_words),
        share: spec.percent(now).to_string(),
        doing: doing(spec, now),
        steps: stepper::of(spec, &coming, &events),
        waits_for: spec.plan.as_ref().map_or_else(String::new, |run| {
            stepper::waits_for(run, spec.phase(), spec.state)
        }),
        waiting: waiting(spec, &visitor.actor.subject),
        health,
        may: may(track, spec),
        events: events
            .iter()
            .enumerate()
            .take(EVENTS_SHOWN)
            .map(|(at, event)| happened(event, events.get(at + 1)))
            .collect(),
    })
}

/// What changes when the view of a rollout is out of date.
pub(crate) fn mark(rollout: &Rollout) -> String {
    let spec = &rollout.spec;
    let phase = spec.phase().map_or("-", Phase::as_str);
    let step = spec.plan.as_ref().map_or(0, |run| run.progress.step + 1);
    let waits = if spec.waits_since().is_some() {
        "waits"
    } else {
        "-"
    };
    format!("{} {} {phase} {step} {waits}", spec.revision, spec.state)
}

fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Ramping => "ramping",
        Phase::Baking => "baking",
        Phase::Held => "held",
        Phase::WaitingApproval => "waiting for approval",
        Phase::WaitingEvidence => "waits for evidence",
        Phase::Stuck => "stuck",
        Phase::Blind => "blind",
        Phase::Done => "done",
    }
}

fn doing(spec: &RolloutSpec, now: DateTime<Utc>) -> String {
    let Some(run) = &spec.plan else {
        return String::new();
    };
    let (number, many) = (run.progress.step + 1, run.plan.steps().len());
    let at_hand = format!("Step {number} of {many}, to {}", run.step().percent);
    match spec.state {
        RolloutState::Proposed => "It offers nothing before it is approved.".to_owned(),
        RolloutState::Scheduled => match run.plan.first().not_before {
            Some(begin) => format!("It begins at {} and offers nothing before.", show::utc(begin)),
            None => "It offers nothing before it begins.".to_owned(),
        },
        RolloutState::Active => {
            let phase = spec.phase().unwrap_or(run.phase());
            format!("{at_hand}: {}", active(run, phase, now))
        }
        RolloutState::Paused | RolloutState::Halted => {
            format!("{at_hand}: the plan’s time stands still until the rollout is resumed.")
        }
        _ => "All steps are done.".to_owned(),
    }
}

fn active(run: &PlanRun, phase: Phase, now: DateTime<Utc>) -> String {
    let progress = &run.progress;
    let left = u64::try_from((progress.until - now).num_seconds()).unwrap_or(0);
    // To the minute: the page does not count down.
    let left = show::lasting(left.div_ceil(60) * 60);
    let end = show::utc(progress.until);
    match phase {
        Phase::Ramping => format!("the share grows until {end}, in {left}."),
        Phase::Baking => {
            let begin = run.next_step().and_then(|next| next.not_before);
            match begin.filter(|begin| *begin > progress.until) {
                Some(begin) => format!(
                    "the share stays until {}, when the next step may begin.",
                    show::utc(begin)
                ),
                None => format!("the share stays until {end}, in {left}."),
            }
        }
        Phase::Held => "somebody holds the share where it is. Offers go on.".to_owned(),
        Phase::WaitingApproval => "done. The next step waits for another person’s approval.".to_owned(),
        Phase::WaitingEvidence => "done. Its gate waits for evidence that the build is good.".to_owned(),
        Phase::Stuck => {
            "done, and its gate has not seen enough for 72 hours. Look why, or begin the next step by \
                         hand."
                .to_owned()
        }
        Phase::Blind => {
            "its gate can’t judge: devices that were never offered the build don’t poll either.".to_owned()
        }
        Phase::Done => "done, and there is no further step. The share stays.".to_owned(),
    }
}

fn waiting(spec: &RolloutSpec, visitor: &str) -> Option<Waiting> {
    let since = show::utc(spec.waits_since()?);
    let edited_by = &spec.consent.edited_by;
    let (what, button, editors) = match (&spec.consent.request, &spec.plan) {
        (Some(request), _) => (
            format!("A change of {}", plan_words::change(&request.edit)),
            "Approve the change".to_owned(),
            &request.by,
        ),
        (None, _) if spec.state == RolloutState::Proposed => {
            let share = spec.settings.percent;
            let button = format!("Approve the rollout, to {share}");
            (format!("This rollout, to {share}"), button, edited_by)
        }
        (None, run) => {
            let next = run.as_ref().and_then(PlanRun::next_step);
            let share = next.map(|next| next.percent.to_string()).unwrap_or_default();
            let number = run.as_ref().map_or(1, |run| run.progress.step + 2);
            let button = format!("Approve step {number}, to {share}");
            (format!("The next step, to {share}"), button, edited_by)
        }
    };
    let by = match editors.is_empty() {
        true => String::new(),
        false => format!(", edited last by {}", editors.join(" for ")),
    };
    Some(Waiting {
        says: format!("{what} waits for another person’s approval since {since}{by}."),
        button,
        is_own: editors.iter().any(|editor| editor == visitor),
    })
}

fn may(track: &Track, spec: &RolloutSpec) -> May {
    let active = spec.plan.as_ref().filter(|_| spec.state == RolloutState::Active);
    let goes_on = active.filter(|run| run.progress.stage != Stage::Done);
    let is_held = goes_on.is_some_and(|run| run.progress.held);
    May {
        hold: goes_on.is_some_and(|run| !run.progress.held && run.progress.stage != Stage::WaitingApproval),
        start: match spec.state {
            RolloutState::Scheduled => Some("Begin now"),
            _ if is_held => Some("Go on"),
            _ => None,
        },
        raise_to: goes_on
            .and_then(PlanRun::next_step)
            .filter(|next| !track.asks(spec, next))
            .map(|next| next.percent.to_string()),
    }
}

/// `before`: what had happened before it.
fn happened(event: &RolloutEvent, before: Option<&RolloutEvent>) -> Line {
    Line {
        at: show::time(event.at),
        what: plan_words::happened(event, before),
        who: event.actor.clone(),
        share: event.percent.to_string(),
    }
}

/// A button of a plan.
pub(crate) async fn act(
    State(app): State<Arc<AppState>>,
    Path((id, verb)): Path<(String, String)>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let unknown = || {
        Error::not_found(
            "not_found",
            "there is no such rollout, or nothing of that name can be done with it",
        )
    };
    let id = RolloutId(id.parse().map_err(|_| unknown())?);
    let (rollouts, actor) = (&app.rollouts, &visitor.actor);
    let (rollout, what) = match verb.as_str() {
        "hold" => (rollouts.hold(actor, id).await?, "plan_held"),
        "start" => (rollouts.start(actor, id).await?, "started"),
        "pause" => {
            rollouts.pause(actor, id).await?;
            (rollouts.get(id).await?, "paused")
        }
        "advance" => {
            let step = fields.seen("step")?.and_then(|step| usize::try_from(step).ok());
            (rollouts.advance(actor, id, step).await?, "advanced")
        }
        "approve" => (
            rollouts.approve(actor, id, Some(seen(&fields)?), None).await?,
            "approved",
        ),
        "deny" => (rollouts.deny(actor, id, Some(seen(&fields)?)).await?, "denied"),
        _ => return Err(unknown().into()),
    };
    Ok(done(&format!("/builds/{}", rollout.spec.build), what))
}

/// The revision that was looked at: what was edited since is not approved.
fn seen(fields: &Fields) -> Result<u32, Error> {
    let seen = fields.seen("revision")?;
    seen.ok_or_else(|| Error::invalid("revision", "is missing"))
}
