//! What a gate can find, said beforehand: for forecasts, and for what a reading says is missing.

use crate::Error;
use crate::gate::verdict::{add_row, steps_evidence};
use crate::gate::{
    ADVANCE_AT, Arms, Evidence, HALT_AT, HALT_EVENTS, Logrank, Look, StepWeights, Tolerance, as_f64, e_bad,
    e_good,
};

/// The longest row of devices that is looked ahead. Beyond it the answer is none.
pub const MAX_ROW: u64 = 1_000_000;

/// The longest row of events in a comparison that is looked ahead, which costs a bet for each.
pub const MAX_COMPARED_ROW: u64 = 1_000;

/// The most devices that [`chance_of_halt`] reckons with: it walks through all of them, so that is some milliseconds.
pub const MAX_FORECAST_DEVICES: u64 = 10_000;

/// How many more devices must install without a failure before a step passes by evidence, after `failures` among
/// `decided` ones. None where that is more than [`MAX_ROW`].
pub fn successes_to_advance(decided: u64, failures: u64, tolerance: Tolerance) -> Option<u64> {
    first_that(MAX_ROW, |more| {
        e_good(decided.saturating_add(more), failures, tolerance).reaches(ADVANCE_AT)
    })
}

/// How many of the next devices in a row must fail to halt a rollout whose steps have counted so, the last of them the
/// one that fails now. None where that is more than [`MAX_ROW`].
pub fn failures_to_halt(weights: &StepWeights, steps: &[(u64, u64)], tolerance: Tolerance) -> Option<u64> {
    let mut counts = steps.to_vec();
    if counts.is_empty() {
        counts.push((0, 0));
    }
    let seen: u64 = counts.iter().map(|(_, failures)| failures).sum();
    let last = counts.len() - 1;
    let (devices, failures) = counts[last];
    first_that(MAX_ROW, |more| {
        let mut counts = counts.clone();
        counts[last] = (devices.saturating_add(more), failures.saturating_add(more));
        seen.saturating_add(more) >= HALT_EVENTS
            && steps_evidence(weights, &counts, tolerance).reaches(HALT_AT)
    })
}

/// How many treated devices in a row must fall silent, or crash, to halt a rollout of which so many are at risk in each
/// arm and nothing has happened yet: little control needs many. None where it can't halt, or only after more than
/// [`MAX_COMPARED_ROW`].
pub fn row_of_treated(treated: u64, control: u64) -> Option<u64> {
    let arms = Arms {
        treated,
        control,
        treated_at_risk: treated,
        control_at_risk: control,
    };
    row_to_halt(treated, 0, |more| {
        let mut test = Logrank::default();
        add_row(&mut test, arms, more);
        test.evidence()
    })
}

pub(crate) fn row_to_halt(at_risk: u64, seen: u64, evidence_after: impl Fn(u64) -> Evidence) -> Option<u64> {
    first_that(at_risk.min(MAX_COMPARED_ROW), |more| {
        seen.saturating_add(more) >= HALT_EVENTS && evidence_after(more).reaches(HALT_AT)
    })
}

/// The smallest number up to `most` that it holds for, where it holds for all above as well.
fn first_that(most: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let mut reach = 1;
    if holds(0) {
        return Some(0);
    }
    while !holds(reach.min(most)) {
        if reach >= most {
            return None;
        }
        reach *= 2;
    }
    let (mut below, mut at) = (reach / 2, reach.min(most));
    while at - below > 1 {
        let middle = below + (at - below) / 2;
        if holds(middle) {
            at = middle;
        } else {
            below = middle;
        }
    }
    Some(at)
}

/// The chance that a step to so many devices halts a build that fails on this fraction of them, independently of one
/// another, in a plan of so many steps. Undecided devices are none: it is the chance once all have told.
///
/// # Errors
/// [`Error::Invalid`] with field `devices` above [`MAX_FORECAST_DEVICES`], `breaks` outside of 0 to 1, and `plan.steps`.
pub fn chance_of_halt(devices: u64, breaks: f64, tolerance: Tolerance, steps: usize) -> Result<f64, Error> {
    check_chance(breaks)?;
    if devices > MAX_FORECAST_DEVICES {
        let fault = format!("must be at most {MAX_FORECAST_DEVICES}, not {devices}");
        return Err(Error::invalid("devices", fault));
    }
    let weights = StepWeights::equal(steps)?;
    let halts = |count: u64, failures: u64| {
        failures >= HALT_EVENTS && weights.mean([e_bad(count, failures, tolerance)]).reaches(HALT_AT)
    };
    // By failures so far, the chance to be here without having been halted. From the bound on one is halted.
    let mut going_on = vec![1.0];
    let mut bound = HALT_EVENTS;
    let mut halted = 0.0;
    for count in 1..=devices {
        while bound <= count && !halts(count, bound) {
            bound += 1;
        }
        going_on.push(0.0);
        for failures in (1..going_on.len()).rev() {
            going_on[failures] = going_on[failures] * (1.0 - breaks) + going_on[failures - 1] * breaks;
        }
        going_on[0] *= 1.0 - breaks;
        let first_halted = usize::try_from(bound).unwrap_or(usize::MAX).min(going_on.len());
        halted += going_on.drain(first_halted..).sum::<f64>();
    }
    Ok(halted)
}

/// The chance that all of so many devices succeed with a build that breaks this fraction of them: what a census of a
/// small step can still pass.
///
/// # Errors
/// [`Error::Invalid`] with field `breaks` outside of 0 to 1.
pub fn chance_of_passing(devices: u64, breaks: f64) -> Result<f64, Error> {
    check_chance(breaks)?;
    match devices {
        // 0 times minus infinity would be no number.
        0 => Ok(1.0),
        _ => Ok((as_f64(devices) * (-breaks).ln_1p()).exp()),
    }
}

/// The fraction of healthy devices that [`chance_of_finding`] takes to fall silent while a step is watched, in either arm.
/// The scenarios of docs/health-gate.md say how it depends on this.
pub const MISSED_BY_HEALTHY: f64 = 0.01;

/// With which chance [`smallest_silence`] is to be found.
const POWER: f64 = 0.8;

/// How finely it is looked for.
const FINEST_SILENCE: f64 = 1e-4;

/// How far from what is expected control's events are followed, in standard deviations.
const FOLLOWED: f64 = 7.0;

/// The chance that a build which silences this fraction of the devices that it is offered to is halted for it, where so
/// many treated are compared with so many of control and [`MISSED_BY_HEALTHY`] of healthy devices fall silent too.
///
/// It is exact for one look at the end, at all events at once: the events of each arm are binomial, and for each number of
/// control's the test itself ([`Logrank`]) says how many of the treated's it takes. Looking every second can only find
/// more. No normal approximation: it is worst where steps are small. Of more than [`MAX_ROW`] devices of an arm so many are
/// reckoned with.
///
/// # Errors
/// [`Error::Invalid`] with field `breaks` outside of 0 to 1.
pub fn chance_of_finding(treated: u64, control: u64, breaks: f64) -> Result<f64, Error> {
    check_chance(breaks)?;
    Ok(Rows::of(treated, control).chance(breaks))
}

/// The smallest fraction of the devices which it is offered to that a build silences and that is found with a chance of
/// 80 %, to a hundredth of a percent; otherwise as [`chance_of_finding`]. None where not even one that silences all is.
pub fn smallest_silence(treated: u64, control: u64) -> Option<f64> {
    let rows = Rows::of(treated, control);
    if rows.chance(1.0) < POWER {
        return None;
    }
    let (mut below, mut at) = (0.0, 1.0);
    while at - below > FINEST_SILENCE {
        let middle = f64::midpoint(below, at);
        match rows.chance(middle) >= POWER {
            true => at = middle,
            false => below = middle,
        }
    }
    Some(at)
}

/// How many events among the treated halt a rollout, by how many there are among control.
struct Rows {
    treated: u64,
    /// The chance of a number of control's events, and how many of the treated's it then takes; none: it never halts.
    rows: Vec<(f64, Option<u64>)>,
}

impl Rows {
    fn of(treated: u64, control: u64) -> Self {
        let (treated, control) = (treated.min(MAX_ROW), control.min(MAX_ROW));
        let mean = as_f64(control) * MISSED_BY_HEALTHY;
        let around = FOLLOWED * (mean * (1.0 - MISSED_BY_HEALTHY)).sqrt() + FOLLOWED;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the longest row, rounded up"
        )]
        let most = (mean + around).ceil() as u64;
        let near = (0..).zip(chances(control, MISSED_BY_HEALTHY, most));
        let near = near.skip_while(|(events, _)| as_f64(*events) < mean - around);
        let rows = near.map(|(events, chance)| (chance, row_beside(treated, control, events)));
        Self {
            treated,
            rows: rows.collect(),
        }
    }

    fn chance(&self, breaks: f64) -> f64 {
        let silent = breaks + (1.0 - breaks) * MISSED_BY_HEALTHY;
        let longest = self.rows.iter().filter_map(|(_, row)| *row).max();
        let Some(longest) = longest else { return 0.0 };
        let mut below = vec![0.0];
        for chance in chances(self.treated, silent, longest) {
            below.push(below[below.len() - 1] + chance);
        }
        let halts = |row: u64| {
            let below = usize::try_from(row).ok().and_then(|row| below.get(row));
            below.map_or(0.0, |below: &f64| (1.0 - below).max(0.0))
        };
        let rows = self.rows.iter();
        rows.map(|(chance, row)| row.map_or(0.0, |row| chance * halts(row)))
            .sum()
    }
}

/// How many of the treated must fall silent to halt a rollout where so many of control do, all at one look.
fn row_beside(treated: u64, control: u64, control_events: u64) -> Option<u64> {
    first_that(treated, |treated_events| {
        let mut test = Logrank::default();
        test.add(Look {
            treated,
            control,
            treated_events,
            control_events,
        });
        treated_events >= HALT_EVENTS && test.evidence().reaches(HALT_AT)
    })
}

/// The chances of 0, 1, 2 and so on up to `most` events among so many devices, each with this chance.
fn chances(devices: u64, chance: f64, most: u64) -> Vec<f64> {
    if chance >= 1.0 {
        let most = usize::try_from(most.min(devices)).unwrap_or(usize::MAX);
        let mut all = vec![0.0; most + 1];
        if most as u64 == devices {
            all[most] = 1.0;
        }
        return all;
    }
    let odds = chance.ln() - (-chance).ln_1p();
    let mut ln = as_f64(devices) * (-chance).ln_1p();
    let mut found = vec![ln.exp()];
    for events in 0..most.min(devices) {
        ln += (as_f64(devices - events) / as_f64(events + 1)).ln() + odds;
        found.push(ln.exp());
    }
    found
}

/// What a small step's page says of its census: "If all ten succeed, a build that breaks one in ten would still have
/// passed in 35 of 100."
pub fn census_sentence(devices: u64) -> String {
    let chance = chance_of_passing(devices, 0.1).unwrap_or(1.0);
    let devices = match devices {
        10 => "ten".to_owned(),
        _ => crate::gate::thousands(devices),
    };
    format!(
        "If all {devices} succeed, a build that breaks one in ten would still have passed in {:.0} of 100.",
        chance * 100.0
    )
}

fn check_chance(breaks: f64) -> Result<(), Error> {
    match (0.0..=1.0).contains(&breaks) {
        true => Ok(()),
        false => Err(Error::invalid(
            "breaks",
            format!("must be from 0 to 1, not {breaks}"),
        )),
    }
}
