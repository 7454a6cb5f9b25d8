//! What a change would do, as a waterfall: from the devices in the share, over those that something keeps from the build, to
//! those that are offered it. All numbers are the forecast's.

use chrono::TimeDelta;
use tidegate_domain::Reason;
use tidegate_domain::forecast::{Forecast, StepForecast, Within};
use tidegate_service::{Error, Kind};

use super::outlook::Outlook;
use crate::show;

/// What a dialog tells of what it would do, where that was asked.
#[derive(Default)]
pub(crate) struct Told {
    /// Whom the audience takes.
    pub reach: Option<String>,
    /// What is wrong with it.
    pub fault: Option<String>,
    pub waterfall: Option<Waterfall>,
    /// The forecast step by step.
    pub outlook: Option<Outlook>,
    /// Why what it would do is not told.
    pub untold: Option<String>,
    /// Whether asking again in a moment helps.
    pub is_busy: bool,
}

impl Told {
    /// Whether nothing was asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.waterfall.is_none() && self.untold.is_none() && self.fault.is_none()
    }

    /// No forecast could be made.
    pub(crate) fn fails(&mut self, error: &Error) {
        self.is_busy = error.kind == Kind::Unavailable;
        self.untold = Some(format!("What it would do is not told: {}", error.message));
    }
}

/// From the share to the devices that are offered the build.
pub(crate) struct Waterfall {
    pub falls: Vec<Fall>,
    /// Devices that are offered it, or wait only for a window.
    pub reached: u64,
    /// When, how much, and who has been first before.
    pub facts: Vec<String>,
}

/// A row.
pub(crate) struct Fall {
    pub words: &'static str,
    pub devices: String,
    pub kind: &'static str,
    /// Where its bar begins and how wide it is, in percent of the first row.
    pub from: f64,
    pub width: f64,
}

impl Waterfall {
    /// Of a step. `before`: devices that have the offer already; none where the rollout is new.
    pub(crate) fn of(forecast: &Forecast, step: &StepForecast, before: Option<u64>) -> Self {
        let within = &step.within;
        let reached = (within.offered + within.waiting).saturating_sub(before.unwrap_or(0));
        let mut falls = vec![fall(
            "In the share",
            within.devices,
            "whole",
            within.devices,
            within.devices,
        )];
        let mut left = within.devices;
        for (words, devices) in kept(within, before) {
            falls.push(fall(words, devices, "less", left, within.devices));
            left = left.saturating_sub(devices);
        }
        falls.push(fall(
            "Will be offered it",
            reached,
            "rest",
            reached,
            within.devices,
        ));
        Self {
            falls,
            reached,
            facts: facts(forecast, step, reached),
        }
    }
}

/// Whom something keeps from the build. The first three are told even where they are nobody.
fn kept(within: &Within, before: Option<u64>) -> Vec<(&'static str, u64)> {
    let of = |reasons: &[Reason]| -> u64 {
        let told = within.reasons.iter();
        told.filter(|(reason, _)| reasons.contains(reason))
            .map(|(_, devices)| devices)
            .sum()
    };
    let all: u64 = within.reasons.iter().map(|(_, devices)| devices).sum();
    let newer = of(&[Reason::NewerInstalled, Reason::AlreadyCurrent]);
    let incompatible = of(&[Reason::IncompatibleSdk, Reason::IncompatibleAbi]);
    let gave_up = of(&[Reason::RejectedByDevice]);
    let held = of(&[Reason::AboveCeiling, Reason::HeldByPolicy]);
    let between = of(&[Reason::NeedsIntermediate]);
    let others = all.saturating_sub(newer + incompatible + gave_up + held + between);
    let mut kept = vec![
        ("On it or newer already", newer),
        ("Incompatible", incompatible),
        ("Gave it up", gave_up),
    ];
    let rare = [
        ("Held back by a policy", held),
        ("Need a build in between first", between),
        ("Served by another rollout", within.offered_by_another),
        ("Kept back by another rollout", others),
        ("Offered it already", before.unwrap_or(0)),
    ];
    kept.extend(rare.into_iter().filter(|(_, devices)| *devices > 0));
    kept
}

/// A row whose bar ends where `left` of `whole` devices are.
fn fall(words: &'static str, devices: u64, kind: &'static str, left: u64, whole: u64) -> Fall {
    let percent = |part: u64| {
        let whole = i64::try_from(whole).unwrap_or(i64::MAX);
        show::percent_of(i64::try_from(part).unwrap_or(i64::MAX), whole).min(100.0)
    };
    let devices_shown = show::count(devices);
    Fall {
        words,
        devices: match kind {
            "less" if devices > 0 => format!("−{devices_shown}"),
            _ => devices_shown,
        },
        kind,
        from: percent(left.saturating_sub(devices)),
        width: percent(devices),
    }
}

/// A time as far as it matters to whoever plans with it: whole hours, or minutes where it is less.
fn roughly(time: TimeDelta) -> String {
    let seconds = u64::try_from(time.num_seconds()).unwrap_or(0);
    let unit = if seconds >= 3_600 { 3_600 } else { 60 };
    show::lasting(seconds.div_ceil(unit).max(1) * unit)
}

fn facts(forecast: &Forecast, step: &StepForecast, reached: u64) -> Vec<String> {
    if reached == 0 {
        return vec!["Nobody would be offered it.".to_owned()];
    }
    let mut facts = Vec::new();
    facts.extend(
        step.times
            .half
            .map(|half| format!("half within {}", roughly(half))),
    );
    facts.push(show::bytes(step.bytes));
    if step.within.waiting > 0 {
        let waiting = show::many(step.within.waiting, "device");
        facts.push(format!("{waiting} when a window opens"));
    }
    let last = forecast.overlaps.first().filter(|overlap| overlap.devices > 0);
    facts.extend(last.map(|overlap| {
        let devices = show::count(overlap.devices);
        format!(
            "{devices} were among the first of rollout {} too",
            overlap.rollout
        )
    }));
    facts
}
