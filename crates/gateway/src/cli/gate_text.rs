//! Gates as they are written on the command line and printed.

use tidegate_domain::gate::{
    AdvanceReading, ComparedReading, GATE_PROMISE, GateMode, GateReading, GateSettings, GateTerms,
    NotMeasured, ShareReading,
};
use tidegate_service::GateView;

use super::args::GateDetails;
use super::people::moment;

/// The gate that is asked for; what is not said of what follows a halt is as before. None where no mode is named.
pub(super) fn terms(
    mode: Option<GateMode>,
    details: &GateDetails,
    before: GateTerms,
) -> Result<Option<GateTerms>, tidegate_domain::Error> {
    let Some(mode) = mode else { return Ok(None) };
    let usual = GateSettings::default();
    let settings = GateSettings {
        mode,
        failed_percent: details.failed_percent.unwrap_or(usual.failed_percent),
        corrupt_percent: details.corrupt_percent.unwrap_or(usual.corrupt_percent),
        lost: !details.no_lost,
        crashing: !details.no_crashing,
        holdback: details.holdback,
    };
    // Who names what follows says all of it.
    let forced = details.on_halt.map(|_| details.force);
    before.changed(settings, details.on_halt, forced).map(Some)
}

/// A gate's terms in a line.
pub(super) fn written(terms: GateTerms) -> String {
    let GateTerms {
        settings,
        on_halt,
        roll_back_forced,
    } = terms;
    let mut text = format!(
        "{}, tolerates {} failed and {} corrupt",
        settings.mode.as_str(),
        settings.failed_percent,
        settings.corrupt_percent
    );
    for (is_said, words) in [
        (!settings.lost, ", no silence"),
        (!settings.crashing, ", no crashes"),
        (settings.holdback, ", 5 % held back"),
    ] {
        if is_said {
            text.push_str(words);
        }
    }
    let force = if roll_back_forced { ", forced" } else { "" };
    format!("{text}; on halt {}{force}", on_halt.as_str())
}

/// What a gate found, for people.
pub(super) fn table(state: &GateView) -> String {
    let (rollout, segment) = (&state.rollout, state.gate.segment);
    let mut lines = vec![
        format!(
            "rollout {}, build {}, {}",
            rollout.id, rollout.spec.build, rollout.spec.state
        ),
        format!("gate: {}", written(state.gate.terms)),
        format!("segment {}, since {}", segment.number, moment(segment.began)),
        state.sentence(),
    ];
    if let Some(waits) = state.gate.waits {
        lines.push(format!("{} since {}", waits.what.as_str(), moment(waits.since)));
    }
    if let Some((at, reading)) = &state.last {
        lines.push(format!("looked {}", moment(*at)));
        lines.extend(rows(reading));
        lines.push(advance(&reading.advance));
        lines.push(format!(
            "polls of devices never offered it: {} of {} expected",
            reading.polls_seen, reading.polls_expected
        ));
    }
    lines.push(format!("failures to acknowledge: {}", state.failures()));
    lines.push(GATE_PROMISE.to_owned());
    lines.join("\n")
}

fn rows(reading: &GateReading) -> [String; 5] {
    [
        row([
            "test",
            "devices",
            "seen",
            "expected",
            "control",
            "seen",
            "halts after",
            "E",
        ]
        .map(str::to_owned)),
        share("failed", &reading.failed),
        share("corrupt", &reading.corrupt),
        compared("lost", &reading.lost),
        compared("crashing", &reading.crashing),
    ]
}

fn row(cells: [String; 8]) -> String {
    let [test, devices, seen, expected, control, control_seen, more, e] = cells;
    format!("  {test:<9}{devices:>9}{seen:>7}{expected:>10}{control:>9}{control_seen:>7}{more:>13}  {e}")
}

fn share(test: &str, reading: &ShareReading) -> String {
    row([
        test.to_owned(),
        reading.devices.to_string(),
        reading.seen.to_string(),
        reading.expected.to_string(),
        "-".to_owned(),
        "-".to_owned(),
        more(reading.halts_after),
        reading.ln_e.to_string(),
    ])
}

fn compared(test: &str, reading: &ComparedReading) -> String {
    let why = reading
        .not_measured
        .map(|why| format!(" (not measured: {})", words(why)));
    row([
        test.to_owned(),
        reading.treated.to_string(),
        reading.seen.to_string(),
        format!("{:.1}", reading.expected),
        reading.control.to_string(),
        reading.control_seen.to_string(),
        more(reading.halts_after),
        format!("{}{}", reading.ln_e, why.unwrap_or_default()),
    ])
}

fn more(halts_after: Option<u64>) -> String {
    halts_after.map_or_else(|| "-".to_owned(), |more| more.to_string())
}

fn words(why: NotMeasured) -> &'static str {
    match why {
        NotMeasured::SwitchedOff => "switched off",
        NotMeasured::NotTold => "no agent tells it",
        NotMeasured::SmallFleet => "the fleet is too small",
        NotMeasured::NoControl => "nobody is left without the build",
    }
}

/// How far the step is, and what is missing.
fn advance(reading: &AdvanceReading) -> String {
    let missing = match (reading.passed, reading.successes_missing) {
        (Some(passed), _) => format!("may advance by {}", passed.as_str()),
        (None, Some(more)) => format!(
            "advances when {more} more install without a failure, or {} of those reached",
            reading.census_missing
        ),
        (None, None) => format!(
            "advances when {} more of those reached run it",
            reading.census_missing
        ),
    };
    format!(
        "step: {}; reached {}, confirmed {}, in trouble {}; {missing}",
        reading.progress.as_str(),
        reading.reached,
        reading.confirmed,
        reading.in_trouble
    )
}
