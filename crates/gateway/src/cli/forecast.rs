//! `tidegate admin rollout forecast`: what a rollout would do, as a table.

use chrono::TimeDelta;
use tidegate_domain::forecast::{Forecast, SilenceForecast, StepForecast, StepGate, StepPasses, Times};

use super::people::moment;

/// A forecast as people read it: a table of its steps, and what is to be known of it below.
pub(super) fn told(forecast: &Forecast) -> String {
    let mut lines = vec![of_whom(forecast)];
    lines.extend(table(&forecast.steps));
    lines.push(format!(
        "busiest hour: {} devices, {}/s",
        forecast.peak.devices_per_hour,
        bytes(forecast.peak.bytes_per_second)
    ));
    for step in &forecast.steps {
        lines.extend(not_offered(step));
    }
    for step in &forecast.steps {
        lines.extend(step.gate.as_ref().map(|gate| gated(step, gate)));
    }
    let taken = forecast.taken_before.iter();
    lines.extend(
        taken.map(|(rollout, devices)| format!("taken before by rollout {rollout}: {devices} devices")),
    );
    if forecast.stranded > 0 {
        lines.push(format!("stay on a higher version: {} devices", forecast.stranded));
    }
    for overlap in &forecast.overlaps {
        lines.push(format!(
            "began with the same devices as rollout {} ({}): {}",
            overlap.rollout, overlap.state, overlap.devices
        ));
    }
    lines.join("\n")
}

fn of_whom(forecast: &Forecast) -> String {
    let about = if forecast.sampled { "about " } else { "" };
    let begins = moment(forecast.begins);
    let begins = match (forecast.same_as, forecast.waits_for_approval) {
        (Some(id), _) => format!("rollout {id} serves on these terms already"),
        (None, true) => format!("begins once it is approved, at {begins} if that is at once"),
        (None, false) => format!("begins at {begins}"),
    };
    format!("{about}{} devices; {begins}", forecast.devices)
}

const HEADS: [&str; 9] = [
    "share", "reached", "offered", "new", "silent", "hops", "bytes", "50 %", "90 %",
];

/// One row for each step, each column as wide as what stands in it.
fn table(steps: &[StepForecast]) -> Vec<String> {
    let rows: Vec<[String; 9]> = std::iter::once(HEADS.map(str::to_owned))
        .chain(steps.iter().map(row))
        .collect();
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:>width$}")).collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}

fn row(step: &StepForecast) -> [String; 9] {
    let Times { half, ninety, .. } = step.times;
    let waits = if step.waits_for_approval {
        " (approval)"
    } else {
        ""
    };
    [
        step.percent.to_string(),
        format!("{}{waits}", moment(step.reached)),
        step.offered.to_string(),
        step.new_devices.to_string(),
        step.unreachable.to_string(),
        step.barrier_hops.to_string(),
        bytes(step.bytes),
        after(half),
        after(ninety),
    ]
}

/// Why devices would not be offered it at a step.
fn not_offered(step: &StepForecast) -> Option<String> {
    let told = step.not_offered();
    let all: Vec<String> = told
        .map(|(reason, devices)| format!("{reason} {devices}"))
        .collect();
    (!all.is_empty()).then(|| format!("not offered at {}: {}", step.percent, all.join(", ")))
}

fn gated(step: &StepForecast, gate: &StepGate) -> String {
    let passes = match (gate.passes, gate.successes_to_advance) {
        (StepPasses::ByEvidence, Some(needs)) => format!("passes by evidence, after {needs} successes"),
        (StepPasses::Never, _) => "reaches nobody, and can't pass".to_owned(),
        (_, needs) => {
            let needs = needs.map_or("more than a million".to_owned(), |needs| needs.to_string());
            format!(
                "passes by census only: evidence needs {needs} successes of {}",
                gate.treated
            )
        }
    };
    let silence = match gate.silence {
        SilenceForecast::NotMeasured(_) => "silence is not measured".to_owned(),
        SilenceForecast::Measured { row, smallest } => {
            let row = row.map_or("no row of silent devices halts it".to_owned(), |row| {
                format!("{row} silent devices in a row halt it")
            });
            let smallest = smallest.map_or("none is found with 80 %".to_owned(), |part| {
                format!("{:.2} % silenced are found with 80 %", part * 100.0)
            });
            format!("{row}, {smallest}")
        }
    };
    format!("gate at {}: {passes}; {silence}", step.percent)
}

fn after(time: Option<TimeDelta>) -> String {
    let Some(minutes) = time.map(|time| time.num_minutes()) else {
        return "-".to_owned();
    };
    match (minutes / 60, minutes % 60) {
        (hours, minutes) if hours < 48 => format!("{hours}h {minutes:02}m"),
        (hours, _) => format!("{}d {:02}h", hours / 24, hours % 24),
    }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut whole, mut unit) = (bytes, 0);
    while whole >= 10_000 && unit + 1 < UNITS.len() {
        whole /= 1_000;
        unit += 1;
    }
    format!("{whole} {}", UNITS[unit])
}
