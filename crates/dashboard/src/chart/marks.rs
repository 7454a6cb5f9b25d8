//! What people and plans did, as upright lines in a chart.

use chrono::{DateTime, Utc};
use tidegate_domain::RolloutState;
use tidegate_service::{PackageEvent, RolloutEvent};

use super::range;
use crate::show;

/// The most lines in a chart, the last ones.
const MAX_MARKS: usize = 12;

/// The most that is told at one line.
const MAX_TOLD: usize = 4;

/// Nearer than this, in percent of the width, lines would touch, and are one.
const NEAR: f64 = 2.0;

/// Something that happened, or several things at nearly one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    pub at: DateTime<Utc>,
    /// In percent from the left.
    pub x: f64,
    /// Its number in the chart and in the list below.
    pub number: usize,
    /// The gravest kind, by the stylesheet's name.
    pub kind: Kind,
    pub what: String,
}

/// How grave it is, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    GoesOn,
    StandsStill,
    Stopped,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::GoesOn => "on",
            Self::StandsStill => "still",
            Self::Stopped => "stopped",
        }
    }
}

/// The events that a chart marks, of those that are told newest first. `name` says what a build is called.
pub(crate) fn of_events(events: &[PackageEvent], name: impl Fn(&PackageEvent) -> String) -> Vec<Mark> {
    let marks = events.iter().enumerate().rev().filter_map(|(at, of)| {
        let mut earlier = events[at + 1..]
            .iter()
            .filter(|earlier| earlier.rollout == of.rollout);
        let (kind, verb) = kind(of, earlier.next().map(|earlier| &earlier.event))?;
        Some(Mark {
            at: of.event.at,
            x: 0.0,
            number: 0,
            kind,
            what: format!("{}: {verb}, {}", name(of), who(&of.event.actor)),
        })
    });
    marks.collect()
}

fn who(actor: &str) -> String {
    match actor {
        tidegate_service::CLERK => "by itself".to_owned(),
        actor => format!("by {actor}"),
    }
}

fn kind(of: &PackageEvent, before: Option<&RolloutEvent>) -> Option<(Kind, String)> {
    let event = &of.event;
    if before.is_some_and(|before| event.goes_on_from(before)) {
        return None;
    }
    let to = |verb: &str| format!("{verb} {}", event.percent);
    let step = event.step.unwrap_or(0);
    let action = event.action.strip_prefix("ota.").unwrap_or(&event.action);
    Some(match action {
        "promote" | "rollout.create" if of.begins => (Kind::GoesOn, to("promoted, at")),
        "rollout.step" if event.phase.as_deref() == Some("ramping") => {
            (Kind::GoesOn, format!("step {step} began"))
        }
        "rollout.step" if event.phase.as_deref() == Some("baking") => {
            (Kind::GoesOn, format!("step {step} reached {}", event.percent))
        }
        "rollout.advance" => (Kind::GoesOn, format!("step {step} begun by hand")),
        "rollout.adjust" => (Kind::GoesOn, to("share set to")),
        "rollout.resume" => (Kind::GoesOn, "resumed".to_owned()),
        "rollout.pause" => (Kind::StandsStill, "paused".to_owned()),
        "rollout.hold" => (Kind::StandsStill, "held".to_owned()),
        "rollout.halt" => (Kind::Stopped, "halted".to_owned()),
        "rollback" | "rollout.roll_back" if event.state == RolloutState::RolledBack => {
            (Kind::Stopped, "rolled back".to_owned())
        }
        "rollout.cancel" => (Kind::Stopped, "canceled".to_owned()),
        _ => return None,
    })
}

/// The marks of this time in their places, the last of them.
pub(super) fn placed(marks: &[Mark], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Mark> {
    let within = marks.iter().filter(|mark| mark.at >= from && mark.at <= to);
    let mut placed: Vec<(Mark, Vec<String>)> = Vec::new();
    for mark in within {
        let x = range::x(mark.at, from, to);
        match placed.last_mut() {
            Some((last, told)) if x - last.x < NEAR => {
                last.kind = last.kind.max(mark.kind);
                told.push(mark.what.clone());
            }
            _ => placed.push((Mark { x, ..mark.clone() }, vec![mark.what.clone()])),
        }
    }
    let beyond = placed.len().saturating_sub(MAX_MARKS);
    let numbered = placed.into_iter().skip(beyond).enumerate();
    numbered
        .map(|(at, (mark, told))| Mark {
            number: at + 1,
            what: joined(&told),
            ..mark
        })
        .collect()
}

fn joined(told: &[String]) -> String {
    let shown = told.iter().take(MAX_TOLD).cloned().collect::<Vec<_>>().join("; ");
    match told.len().saturating_sub(MAX_TOLD) {
        0 => shown,
        more => format!("{shown}; and {} more", show::count(more)),
    }
}

impl Mark {
    /// When, to the minute.
    pub(crate) fn time(&self) -> String {
        show::utc(self.at)
    }
}
