//! What a release would do, as the dialog that makes it tells: a forecast's rows and sentences.

use chrono::TimeDelta;
use tidegate_domain::forecast::{Forecast, SilenceForecast, StepForecast, StepGate, StepPasses};

use crate::show;

/// A forecast in the dialog.
pub(crate) struct Outlook {
    /// A row for each step.
    pub rows: Vec<Row>,
    /// What is to be known besides.
    pub notes: Vec<String>,
}

/// What a step would do.
pub(crate) struct Row {
    pub share: String,
    pub reached: String,
    /// Devices that are told to take the build when the share is reached.
    pub offered: String,
    /// Devices that this step is the first to take.
    pub added: String,
    pub bytes: String,
    /// When half of those that can be reached have been offered it.
    pub half: String,
    /// The same of 90 of 100.
    pub ninety: String,
}

impl Outlook {
    pub(crate) fn of(forecast: &Forecast) -> Self {
        Self {
            rows: forecast.steps.iter().map(row).collect(),
            notes: notes(forecast),
        }
    }
}

fn row(step: &StepForecast) -> Row {
    Row {
        share: step.percent.to_string(),
        reached: show::utc(step.reached),
        offered: show::count(step.offered),
        added: show::count(step.new_devices),
        bytes: show::bytes(step.bytes),
        half: after(step.times.half),
        ninety: after(step.times.ninety),
    }
}

fn after(time: Option<TimeDelta>) -> String {
    let seconds = time.and_then(|time| u64::try_from(time.num_seconds()).ok());
    seconds.map_or_else(|| "–".to_owned(), show::lasting)
}

fn notes(forecast: &Forecast) -> Vec<String> {
    let about = if forecast.sampled { "about " } else { "" };
    let devices = show::many(forecast.devices, "device");
    let mut notes = vec![format!("{about}{devices} ask for the package.")];
    let peak = forecast.peak;
    if peak.devices_per_hour > 0 {
        let rate = show::bytes(peak.bytes_per_second);
        let devices = show::many(peak.devices_per_hour, "device");
        notes.push(format!("The busiest hour: {devices}, {rate} a second."));
    }
    let silent: u64 = forecast.steps.iter().map(|step| step.unreachable).sum();
    if silent > 0 {
        notes.push(format!(
            "{} of them not heard of for long: no time is told for them.",
            show::count(silent)
        ));
    }
    let hops: u64 = forecast.steps.iter().map(|step| step.barrier_hops).sum();
    if hops > 0 {
        notes.push(format!("{} taken in between.", show::many(hops, "build")));
    }
    notes.extend(forecast.steps.last().and_then(others));
    let taken = forecast.taken_before.iter();
    notes.extend(taken.map(|(rollout, devices)| {
        format!(
            "Rollout {rollout}, which is asked before, takes {}.",
            show::many(*devices, "device")
        )
    }));
    if forecast.stranded > 0 {
        notes.push(format!(
            "{} on a higher version, and stay there.",
            show::many(forecast.stranded, "device")
        ));
    }
    let shared = forecast.overlaps.iter().filter(|overlap| overlap.devices > 0);
    notes.extend(shared.map(|overlap| {
        let devices = show::many(overlap.devices, "device");
        format!(
            "{devices} of the first step were in the first step of rollout {} too.",
            overlap.rollout
        )
    }));
    let gates = forecast
        .steps
        .iter()
        .filter_map(|step| Some((step, step.gate.as_ref()?)));
    notes.extend(gates.map(|(step, gate)| gated(step, gate)));
    notes
}

/// Why the last step leaves devices out.
fn others(step: &StepForecast) -> Option<String> {
    let told = step.not_offered();
    let all: Vec<String> = told
        .map(|(reason, devices)| format!("{reason} {}", show::count(devices)))
        .collect();
    (!all.is_empty()).then(|| format!("Not offered it at {}: {}.", step.percent, all.join(", ")))
}

fn gated(step: &StepForecast, gate: &StepGate) -> String {
    let passes = match gate.passes {
        StepPasses::ByEvidence => "has devices enough to pass by evidence",
        StepPasses::ByCensus => "has few devices, and passes by census only",
        StepPasses::Never => "reaches nobody, and can’t pass",
    };
    let silence = match gate.silence {
        SilenceForecast::Measured {
            smallest: Some(smallest),
            ..
        } => format!(
            "a build that silences {:.2} % is found in 80 of 100 cases",
            smallest * 100.0
        ),
        SilenceForecast::Measured { smallest: None, .. } => {
            "no silence is found in 80 of 100 cases".to_owned()
        }
        SilenceForecast::NotMeasured(_) => "silence is not measured".to_owned(),
    };
    format!("The gate: {} {passes}; {silence}.", step.percent)
}
