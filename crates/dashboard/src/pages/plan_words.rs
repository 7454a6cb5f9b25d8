//! Plans in words: what a step does, how long it all takes and what happened.

use tidegate_domain::gate::{GateMode, GateTerms, OnHalt};
use tidegate_domain::{Plan, PlanStep, RolloutEdit, Span};
use tidegate_service::RolloutEvent;

use crate::show;

/// A step; `asks`: whether somebody has to approve it first.
pub(crate) fn step(step: &PlanStep, asks: bool) -> String {
    let mut words = match step.over {
        Span::NONE => format!("{} at once", step.percent),
        over => format!("{} over {}", step.percent, lasting(over)),
    };
    if step.bake != Span::NONE {
        words = format!("{words}, stays for {}", lasting(step.bake));
    }
    if let Some(begin) = step.not_before {
        words = format!("{words}, not before {}", show::utc(begin));
    }
    if asks {
        words.push_str(", after another person’s approval");
    }
    if step.nudge {
        words.push_str(", wakes the devices that it adds");
    }
    words
}

/// A plan on one line: its shares, how long each ramp and each bake takes, and how long all of it.
pub(crate) fn brief(plan: &Plan) -> String {
    let shares: Vec<String> = plan.steps().iter().map(|step| step.percent.to_string()).collect();
    let mut words = shares.join(" → ");
    for (what, of_step) in [
        ("ramp", (|step| step.over) as fn(&PlanStep) -> Span),
        ("bake", |step| step.bake),
    ] {
        let spans = plan
            .steps()
            .iter()
            .map(of_step)
            .filter(|span| *span != Span::NONE);
        if let (Some(shortest), Some(longest)) = (spans.clone().min(), spans.max()) {
            words = format!("{words}, {what} {}", range(shortest, longest));
        }
    }
    format!("{words}; {}", takes(plan))
}

fn range(shortest: Span, longest: Span) -> String {
    match shortest == longest {
        true => lasting(longest),
        false => format!("{} to {}", lasting(shortest), lasting(longest)),
    }
}

/// How a step gets to its share, and what it does then.
pub(crate) fn way(step: &PlanStep) -> String {
    let mut words = match step.over {
        Span::NONE => "at once".to_owned(),
        over => format!("over {}", lasting(over)),
    };
    if step.bake != Span::NONE {
        words = format!("{words}, stays for {}", lasting(step.bake));
    }
    if step.nudge {
        words.push_str(", wakes the devices that it adds");
    }
    words
}

/// How long all steps take, if nothing holds them up.
pub(crate) fn takes(plan: &Plan) -> String {
    let seconds = |step: &PlanStep| u64::from(step.over.seconds()) + u64::from(step.bake.seconds());
    let whole = show::lasting(plan.steps().iter().map(seconds).sum());
    let may_wait = plan.steps().iter().any(|step| step.not_before.is_some());
    match may_wait {
        true => format!("{whole} in all, and longer where a step waits for its time"),
        false => format!("{whole} in all"),
    }
}

fn lasting(span: Span) -> String {
    show::lasting(span.seconds().into())
}

/// What happened; `before`: what had happened before it.
pub(crate) fn happened(event: &RolloutEvent, before: Option<&RolloutEvent>) -> String {
    let brief = happened_briefly(event, before);
    let Some(remark) = event.remark.as_deref().map(|remark| remark.trim_end_matches('.')) else {
        return brief;
    };
    // What a gate says begins with what it did.
    match remark.get(..brief.len()) {
        Some(begin) if begin.eq_ignore_ascii_case(&brief) => remark.to_owned(),
        _ => format!("{brief}: {remark}"),
    }
}

fn happened_briefly(event: &RolloutEvent, before: Option<&RolloutEvent>) -> String {
    let step = event.step.unwrap_or(0);
    let words = match event.action.strip_prefix("ota.").unwrap_or(&event.action) {
        "promote" => "promoted",
        "rollback" => "rolled back",
        "rollout.create" => "made",
        "rollout.step" => return step_taken(event, before, step),
        "rollout.advance" => return format!("step {step} was begun by hand"),
        "rollout.start" => "let go on",
        "rollout.hold" => "held",
        "rollout.approve" => "approved",
        "rollout.break_glass" => "approved without a second person",
        "rollout.deny" => "denied",
        "rollout.adjust" => "another share was set or asked for",
        "rollout.edit" => "terms were changed, or a change asked for",
        "rollout.pause" => "paused",
        "rollout.resume" => "resumed",
        "rollout.halt" => "halted",
        "rollout.complete" => "completed",
        "rollout.cancel" => "canceled",
        "rollout.roll_back" => "rolled back",
        other => other,
    };
    words.to_owned()
}

fn step_taken(event: &RolloutEvent, before: Option<&RolloutEvent>, step: u32) -> String {
    match event.phase.as_deref() {
        Some("blind") => "its gate sees nothing, so no time passes".to_owned(),
        Some("waiting_evidence") => format!("step {step} is over and waits for its gate"),
        Some("stuck") => format!("step {step} is stuck"),
        Some("ramping" | "baking") if before.is_some_and(|before| event.goes_on_from(before)) => {
            format!("step {step} goes on")
        }
        Some("baking") => format!("step {step} has reached its share"),
        Some("waiting_approval") => format!("step {} waits for approval", step.saturating_add(1)),
        Some("done") => "the last step is done".to_owned(),
        _ => format!("step {step} began"),
    }
}

/// What a change of terms would change: all of it, since somebody is to approve it.
pub(crate) fn change(edit: &RolloutEdit) -> String {
    let mut parts = Vec::new();
    if let Some(percent) = edit.percent {
        parts.push(format!("the share to {percent}"));
    }
    if let Some(plan) = &edit.plan {
        let steps: Vec<String> = plan.steps().iter().map(|at| step(at, at.approve)).collect();
        parts.push(format!("the plan to: {}", steps.join("; ")));
    }
    match edit.gate {
        Some(Some(terms)) => parts.push(format!("the gate to {}", gate(terms))),
        Some(None) => parts.push("the gate to none".to_owned()),
        None => {}
    }
    if let Some(audience) = &edit.audience {
        let whom = match audience.is_everybody() {
            true => "every device".to_owned(),
            false => audience.to_string(),
        };
        parts.push(format!("the audience to {whom}"));
    }
    if let Some(priority) = edit.priority {
        parts.push(format!("the priority to {priority}"));
    }
    if let Some(name) = &edit.name {
        parts.push(format!("the name to “{name}”"));
    }
    for (is_asked, what) in [
        (edit.slice.is_some(), "the slice"),
        (edit.wifi_only.is_some(), "Wi-Fi only"),
        (edit.must_install.is_some(), "must install"),
        (edit.download_calendar.is_some(), "the calendar for downloading"),
        (edit.install_calendar.is_some(), "the calendar for installing"),
        (edit.ignore_freeze.is_some(), "whether freezes count"),
        (edit.install != Default::default(), "the terms of installing"),
    ] {
        if is_asked {
            parts.push(what.to_owned());
        }
    }
    parts.join(", ")
}

/// A gate's terms.
fn gate(terms: GateTerms) -> String {
    let settings = terms.settings;
    let does = match (settings.mode, terms.on_halt, terms.roll_back_forced) {
        (GateMode::Watch, _, _) => "only shows",
        (GateMode::Hold, _, _) => "holds the plan",
        (GateMode::Act, OnHalt::Hold, _) => "halts",
        (GateMode::Act, OnHalt::RollBack, false) => "halts and takes it back",
        (GateMode::Act, OnHalt::RollBack, true) => "halts and takes it back from all devices",
    };
    let mut words = format!(
        "one that {does} at more than {} failed or {} damaged",
        settings.failed_percent, settings.corrupt_percent
    );
    for (is_said, what) in [
        (!settings.lost, ", without silence"),
        (!settings.crashing, ", without crashes"),
        (settings.holdback, ", with 5 % held back"),
    ] {
        if is_said {
            words.push_str(what);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use tidegate_domain::{Percent, RolloutState};

    use super::*;

    fn stepped(step: u32, phase: &str) -> RolloutEvent {
        RolloutEvent {
            at: DateTime::UNIX_EPOCH,
            actor: "tidegate".to_owned(),
            action: "ota.rollout.step".to_owned(),
            state: RolloutState::Active,
            phase: Some(phase.to_owned()),
            step: Some(step),
            percent: Percent::NOBODY,
            remark: None,
        }
    }

    #[test]
    fn a_step_begins_once_however_often_its_gate_kept_it_waiting() {
        let told = [
            ((1, "ramping"), "step 1 began"),
            ((1, "baking"), "step 1 has reached its share"),
            ((1, "blind"), "its gate sees nothing, so no time passes"),
            ((1, "baking"), "step 1 goes on"),
            ((1, "waiting_evidence"), "step 1 is over and waits for its gate"),
            ((1, "stuck"), "step 1 is stuck"),
            ((2, "ramping"), "step 2 began"),
            ((2, "blind"), "its gate sees nothing, so no time passes"),
            ((2, "ramping"), "step 2 goes on"),
            ((2, "baking"), "step 2 has reached its share"),
            ((2, "waiting_evidence"), "step 2 is over and waits for its gate"),
            ((2, "done"), "the last step is done"),
        ];
        let mut before = None;
        for ((step, phase), words) in told {
            let event = stepped(step, phase);
            assert_eq!(happened(&event, before.as_ref()), words);
            before = Some(event);
        }
    }
}
