//! A plan's steps, as its page lists them: what each does, who or what lets it go on, and when.

use chrono::{DateTime, Utc};
use tidegate_domain::{Coming, Phase, PlanRun, PlanStep, RolloutSpec, RolloutState, Stage};
use tidegate_service::{CLERK, RolloutEvent};

use super::plan_words;
use crate::show;

/// A step of a plan.
pub(crate) struct StepRow {
    pub number: usize,
    pub percent: String,
    /// `done`, `now` or `next`.
    pub state: &'static str,
    /// How the share gets there, and how long it stays.
    pub what: String,
    /// When it began and by whom, or when it will.
    pub when: String,
    /// What lets the step after it begin.
    pub then: String,
}

/// The steps of a rollout's plan; `events` newest first.
pub(crate) fn of(spec: &RolloutSpec, coming: &[Coming], events: &[RolloutEvent]) -> Vec<StepRow> {
    let Some(run) = &spec.plan else { return vec![] };
    let steps = run.plan.steps();
    let row = |(at, step): (usize, &PlanStep)| {
        let number = at + 1;
        let state = state(spec, run, at);
        let ahead = coming
            .iter()
            .find(|of| of.step == number && of.stage == Stage::Ramping);
        StepRow {
            number,
            percent: step.percent.to_string(),
            state,
            what: plan_words::way(step),
            when: match state {
                "next" => begins(spec, step, ahead),
                _ => began(number, events),
            },
            then: match (state, steps.get(at + 1)) {
                ("done", _) => String::new(),
                (_, Some(next)) => then(spec, next, waits(coming, number)),
                (_, None) => "It is the last step.".to_owned(),
            },
        }
    };
    steps.iter().enumerate().map(row).collect()
}

fn state(spec: &RolloutSpec, run: &PlanRun, at: usize) -> &'static str {
    let now = run.progress.step;
    let is_over = spec.phase() == Some(Phase::Done) || spec.state == RolloutState::Completed;
    match () {
        () if !spec.state.has_begun() || at > now => "next",
        () if at < now || is_over => "done",
        () => "now",
    }
}

/// Whether the plan waits for somebody after this step.
fn waits(coming: &[Coming], number: usize) -> bool {
    coming
        .iter()
        .any(|of| of.step == number && of.stage == Stage::WaitingApproval)
}

fn then(spec: &RolloutSpec, next: &PlanStep, waits: bool) -> String {
    let mut lets = Vec::new();
    if spec.gate.is_some_and(|gate| gate.holds_plan()) {
        lets.push("its gate has seen enough".to_owned());
    }
    if waits || next.approve {
        lets.push("another person approves it".to_owned());
    }
    if let Some(begin) = next.not_before {
        lets.push(format!("it is {}", show::utc(begin)));
    }
    match lets.is_empty() {
        true => "The next step begins by itself.".to_owned(),
        false => format!("The next step begins when {}.", lets.join(" and ")),
    }
}

fn begins(spec: &RolloutSpec, step: &PlanStep, ahead: Option<&Coming>) -> String {
    match ahead.and_then(|of| of.at) {
        Some(at) if spec.gate.is_some_and(|gate| gate.holds_plan()) => {
            format!("begins {} at the earliest", show::utc(at))
        }
        Some(at) => format!("begins {}", show::utc(at)),
        None => match step.not_before {
            Some(at) => format!("begins not before {}", show::utc(at)),
            None if step.approve => "begins when it is approved".to_owned(),
            None => "begins after the step before it".to_owned(),
        },
    }
}

/// When a step began, as far as that is among the events.
fn began(number: usize, events: &[RolloutEvent]) -> String {
    let begun = events.iter().rev().find(|event| {
        let is_it = event.step.is_some_and(|step| usize::try_from(step) == Ok(number));
        is_it && event.state.has_begun()
    });
    begun.map_or_else(String::new, |event| {
        format!("since {}, {}", show::utc(event.at), who(&event.actor))
    })
}

fn who(actor: &str) -> String {
    match actor {
        CLERK => "by itself".to_owned(),
        actor => format!("by {actor}"),
    }
}

/// What the step at hand waits for, in a few words.
pub(crate) fn waits_for(run: &PlanRun, phase: Option<Phase>, state: RolloutState) -> String {
    let until = |at: DateTime<Utc>| show::utc(at);
    match (state, phase) {
        (RolloutState::Paused | RolloutState::Halted, _) => "stands still".to_owned(),
        (_, Some(Phase::Ramping)) => format!("reaches its share {}", until(run.progress.until)),
        (_, Some(Phase::Baking)) => format!("stays until {}", until(run.progress.until)),
        (_, Some(Phase::Held)) => "held by hand".to_owned(),
        (_, Some(Phase::WaitingApproval)) => "waits for another person".to_owned(),
        (_, Some(Phase::WaitingEvidence)) => "waits for its gate".to_owned(),
        (_, Some(Phase::Stuck)) => "stuck: its gate has not seen enough".to_owned(),
        (_, Some(Phase::Blind)) => "its gate can’t see".to_owned(),
        (_, Some(Phase::Done)) | (_, None) => String::new(),
    }
}
