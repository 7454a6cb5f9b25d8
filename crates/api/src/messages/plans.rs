//! Plans, and what waits for a second person.

use tidegate_domain::{CalendarName, ChangeRequest, Coming, Percent, Plan, PlanRun, PlanStep, Stage};
use tidegate_proto::v1;
use tidegate_service::{RolloutEvent, Timeline};

use super::gates;
use super::rollouts::{audience, part, rollout};
use super::time;

/// A plan's steps.
pub(crate) fn plan(plan: &Plan) -> v1::Plan {
    let step = |step: &PlanStep| v1::PlanStep {
        percent: step.percent.as_decimal(),
        over: step.over.to_string(),
        bake: step.bake.to_string(),
        not_before: step.not_before.and_then(time),
        approve: step.approve,
        nudge: step.nudge,
        devices_per_hour: None,
    };
    v1::Plan {
        steps: plan.steps().iter().map(step).collect(),
    }
}

/// Where a plan stands.
pub(super) fn plan_progress(run: &PlanRun) -> v1::PlanProgress {
    let progress = &run.progress;
    let ends = progress.stopped.is_none() && matches!(progress.stage, Stage::Ramping | Stage::Baking);
    v1::PlanProgress {
        step: number(progress.step + 1),
        percent: run.step().percent.as_decimal(),
        since: time(progress.since),
        until: time(progress.until).filter(|_| ends),
    }
}

/// A change of a rollout's terms that waits.
pub(super) fn waiting(request: ChangeRequest) -> v1::WaitingChange {
    let edit = request.edit;
    let gate = edit.gate.flatten();
    v1::WaitingChange {
        asked_by: request.by,
        asked_at: time(request.at),
        name: edit.name,
        priority: edit.priority.map(i64::from),
        audience: edit.audience.as_ref().and_then(audience),
        slice: edit.slice.map(part),
        rollout_percent: edit.percent.map(Percent::as_decimal),
        plan: edit.plan.as_ref().map(plan),
        wifi_only: edit.wifi_only,
        must_install: edit.must_install,
        calendars: calendars_asked(edit.download_calendar, edit.install_calendar),
        ignore_freeze: edit.ignore_freeze,
        install_when: edit.install.when.map(|when| v1::InstallConditions {
            conditions: when.iter().map(ToString::to_string).collect(),
        }),
        no_install_deadline: edit.install.deadline == Some(None),
        install_deadline: edit.install.deadline.flatten().and_then(time),
        gate: gate.map(|terms| gates::gate(&terms.settings)),
        no_gate: edit.gate == Some(None),
        on_halt: gate.map(|terms| terms.on_halt.as_str().to_owned()),
        roll_back_forced: gate.map(|terms| terms.roll_back_forced),
    }
}

/// The calendars that a change names; an empty name takes one away.
fn calendars_asked(
    download: Option<Option<CalendarName>>,
    install: Option<Option<CalendarName>>,
) -> Option<v1::RolloutCalendars> {
    let name = |name: Option<CalendarName>| name.map(|name| name.to_string()).unwrap_or_default();
    (download.is_some() || install.is_some()).then(|| v1::RolloutCalendars {
        download: download.map(name),
        install: install.map(name),
    })
}

/// A small number of things.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What happened to a rollout, and what is to come.
pub(crate) fn timeline(
    timeline: Timeline,
    events: Vec<v1::RolloutEvent>,
    next_page_token: String,
) -> v1::RolloutTimeline {
    let coming = |coming: &Coming| v1::ComingStep {
        at: coming.at.and_then(time),
        step: number(coming.step),
        phase: coming.stage.to_string(),
        percent: coming.percent.as_decimal(),
    };
    v1::RolloutTimeline {
        rollout: Some(rollout(timeline.rollout, timeline.at)),
        coming: timeline.coming.iter().map(coming).collect(),
        events,
        next_page_token,
    }
}

/// Something that happened to a rollout.
pub(crate) fn rollout_event(event: RolloutEvent) -> v1::RolloutEvent {
    v1::RolloutEvent {
        at: time(event.at),
        actor: event.actor,
        action: event.action,
        state: event.state.to_string(),
        phase: event.phase.unwrap_or_default(),
        step: event.step.unwrap_or(0).into(),
        rollout_percent: event.percent.as_decimal(),
        remark: event.remark.unwrap_or_default(),
    }
}
