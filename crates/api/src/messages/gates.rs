//! Gates and what they found.

use tidegate_domain::gate::{
    AdvanceReading, ComparedReading, Evidence, GATE_PROMISE, GateReading, GateSettings, GateTerms, GateWait,
    NotMeasured, Passed, ShareReading, Tolerance,
};
use tidegate_proto::v1;
use tidegate_service::GateView;

use super::{count, time};

/// What an operator asks of a gate.
pub(super) fn gate(settings: &GateSettings) -> v1::Gate {
    v1::Gate {
        mode: settings.mode.as_str().to_owned(),
        failed_percent: Some(settings.failed_percent.as_percent()),
        corrupt_percent: Some(settings.corrupt_percent.as_percent()),
        lost: Some(settings.lost),
        crashing: Some(settings.crashing),
        holdback: settings.holdback,
    }
}

/// What becomes of a rollout that its gate halts; empty without one.
pub(super) fn on_halt(terms: Option<GateTerms>) -> String {
    terms.map_or("", |terms| terms.on_halt.as_str()).to_owned()
}

pub(super) fn is_forced(terms: Option<GateTerms>) -> bool {
    terms.is_some_and(|terms| terms.roll_back_forced)
}

/// A gate and what it found; all zeros before it has looked.
pub(crate) fn rollout_gate(state: &GateView) -> v1::RolloutGate {
    let (spec, terms) = (&state.rollout.spec, state.gate.terms);
    let reading = state.last.as_ref().map(|(_, reading)| reading);
    let waits = state.gate.waits;
    let settings = &terms.settings;
    v1::RolloutGate {
        rollout_id: state.rollout.id.0,
        build_id: spec.build.0,
        state: spec.state.to_string(),
        gate: Some(gate(settings)),
        on_halt: on_halt(Some(terms)),
        roll_back_forced: terms.roll_back_forced,
        segment: state.gate.segment.number.into(),
        segment_began: time(state.gate.segment.began),
        looked_at: state.last.as_ref().and_then(|(at, _)| time(*at)),
        sentence: state.sentence(),
        promise: GATE_PROMISE.to_owned(),
        verdict: word(reading.map(|reading| reading.verdict.as_str())),
        by: word(reading.map(|reading| reading.verdict.by())),
        action: word(reading.map(|reading| reading.action.as_str())),
        failures: count(state.failures()),
        failed: Some(share(
            reading.map(|reading| &reading.failed),
            settings.failed_percent,
        )),
        corrupt: Some(share(
            reading.map(|reading| &reading.corrupt),
            settings.corrupt_percent,
        )),
        lost: Some(comparison(reading.map(|reading| &reading.lost), settings.lost)),
        crashing: Some(comparison(
            reading.map(|reading| &reading.crashing),
            settings.crashing,
        )),
        advance: Some(advance(reading.map(|reading| &reading.advance))),
        polls_expected: polls(reading, |reading| reading.polls_expected),
        polls_seen: polls(reading, |reading| reading.polls_seen),
        waits_for: word(waits.map(|GateWait { what, .. }| what.as_str())),
        waits_since: waits.and_then(|waits| time(waits.since)),
    }
}

fn word(word: Option<&'static str>) -> String {
    word.unwrap_or_default().to_owned()
}

fn polls(reading: Option<&GateReading>, of: fn(&GateReading) -> u64) -> i64 {
    reading.map_or(0, |reading| count(of(reading)))
}

fn share(reading: Option<&ShareReading>, tolerance: Tolerance) -> v1::GateShare {
    let evidence = reading.map_or(Evidence::NONE, |reading| reading.ln_e);
    v1::GateShare {
        devices: reading.map_or(0, |reading| count(reading.devices)),
        seen: reading.map_or(0, |reading| count(reading.seen)),
        expected: reading.map_or(0, |reading| count(reading.expected)),
        tolerated_percent: tolerance.as_percent(),
        ln_e: evidence.ln(),
        e: evidence.to_string(),
        halts_after: reading.and_then(|reading| reading.halts_after).map(count),
    }
}

fn comparison(reading: Option<&ComparedReading>, is_asked: bool) -> v1::GateComparison {
    let evidence = reading.map_or(Evidence::NONE, |reading| reading.ln_e);
    let not_measured = match reading {
        Some(reading) => reading.not_measured,
        None if is_asked => None,
        None => Some(NotMeasured::SwitchedOff),
    };
    let patience = reading.and_then(|reading| reading.patience);
    v1::GateComparison {
        not_measured: word(not_measured.map(NotMeasured::as_str)),
        treated: reading.map_or(0, |reading| count(reading.treated)),
        seen: reading.map_or(0, |reading| count(reading.seen)),
        expected: reading.map_or(0.0, |reading| reading.expected),
        control: reading.map_or(0, |reading| count(reading.control)),
        control_seen: reading.map_or(0, |reading| count(reading.control_seen)),
        silent_minutes: patience.map(|patience| patience.bears().num_minutes()),
        ln_e: evidence.ln(),
        e: evidence.to_string(),
        halts_after: reading.and_then(|reading| reading.halts_after).map(count),
    }
}

fn advance(reading: Option<&AdvanceReading>) -> v1::GateAdvance {
    let good = reading.and_then(|reading| reading.ln_e_good);
    v1::GateAdvance {
        progress: word(reading.map(|reading| reading.progress.as_str())),
        reached: reading.map_or(0, |reading| count(reading.reached)),
        confirmed: reading.map_or(0, |reading| count(reading.confirmed)),
        in_trouble: reading.map_or(0, |reading| count(reading.in_trouble)),
        ln_e_good: good.map(Evidence::ln),
        e_good: good.map(|good| good.to_string()).unwrap_or_default(),
        passed: word(reading.and_then(|reading| reading.passed).map(Passed::as_str)),
        successes_missing: reading.and_then(|reading| reading.successes_missing).map(count),
        census_missing: reading.map_or(0, |reading| count(reading.census_missing)),
    }
}
