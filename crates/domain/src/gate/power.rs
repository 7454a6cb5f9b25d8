//! What a gate can find, said beforehand: for forecasts, and for what a reading says is missing.

use crate::Error;
use crate::gate::verdict::{add_row, steps_evidence};
use crate::gate::{
    ADVANCE_AT, Arms, Evidence, HALT_AT, HALT_EVENTS, Logrank, StepWeights, Tolerance, as_f64, e_bad, e_good,
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
