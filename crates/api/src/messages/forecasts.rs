//! Forecasts.

use chrono::TimeDelta;
use tidegate_domain::forecast::{Forecast, Peak, SilenceForecast, StepForecast, StepGate, Times};
use tidegate_domain::gate::NotMeasured;
use tidegate_domain::{BuildId, PackageName};
use tidegate_proto::v1;

use super::{count, time};

pub(crate) fn forecast(forecast: Forecast, build: BuildId, package: &PackageName) -> v1::RolloutForecast {
    let taken = forecast
        .taken_before
        .into_iter()
        .map(|(rollout, devices)| v1::ForecastTaken {
            rollout_id: rollout.0,
            devices: count(devices),
        });
    let overlaps = forecast.overlaps.into_iter().map(|overlap| v1::ForecastOverlap {
        rollout_id: overlap.rollout.0,
        name: overlap.name,
        state: overlap.state.to_string(),
        devices: count(overlap.devices),
    });
    v1::RolloutForecast {
        at: time(forecast.at),
        package_name: package.to_string(),
        build_id: build.0,
        same_rollout_id: forecast.same_as.map(|id| id.0),
        begins_at: time(forecast.begins),
        waits_for_approval: forecast.waits_for_approval,
        devices: count(forecast.devices),
        sampled: forecast.sampled,
        steps: forecast.steps.into_iter().map(step).collect(),
        times: Some(times(forecast.times)),
        peak: Some(peak(forecast.peak)),
        taken_before: taken.collect(),
        stranded_devices: count(forecast.stranded),
        overlaps: overlaps.collect(),
    }
}

fn step(step: StepForecast) -> v1::ForecastStep {
    let reasons = step
        .reasons
        .into_iter()
        .map(|(reason, devices)| v1::ForecastReason {
            reason: reason.to_string(),
            devices: count(devices),
        });
    v1::ForecastStep {
        percent: step.percent.as_decimal(),
        begins_at: time(step.begins),
        reached_at: time(step.reached),
        baked_at: time(step.baked),
        waits_for_approval: step.waits_for_approval,
        offered_devices: count(step.offered),
        offered_by_another_devices: count(step.offered_by_another),
        reasons: reasons.collect(),
        new_devices: count(step.new_devices),
        unreachable_devices: count(step.unreachable),
        barrier_hops: count(step.barrier_hops),
        bytes: count(step.bytes),
        times: Some(times(step.times)),
        peak: Some(peak(step.peak)),
        gate: step.gate.as_ref().map(gate),
    }
}

fn times(times: Times) -> v1::ForecastTimes {
    let seconds = |time: Option<TimeDelta>| time.map(|time| time.num_seconds());
    v1::ForecastTimes {
        half_after_s: seconds(times.half),
        ninety_after_s: seconds(times.ninety),
        ninety_nine_after_s: seconds(times.ninety_nine),
    }
}

fn peak(peak: Peak) -> v1::ForecastPeak {
    v1::ForecastPeak {
        devices_per_hour: count(peak.devices_per_hour),
        bytes_per_second: count(peak.bytes_per_second),
    }
}

fn gate(gate: &StepGate) -> v1::ForecastGate {
    let (not_measured, row, smallest) = match gate.silence {
        SilenceForecast::NotMeasured(why) => (not_measured(why), None, None),
        SilenceForecast::Measured { row, smallest } => ("", row, smallest),
    };
    v1::ForecastGate {
        passes_by: gate.passes.as_str().to_owned(),
        successes_to_advance: gate.successes_to_advance.map(count),
        treated_devices: count(gate.treated),
        control_devices: count(gate.control),
        silence_not_measured: not_measured.to_owned(),
        silent_in_a_row: row.map(count),
        smallest_silence_percent: smallest.map(|part| (part * 10_000.0).ceil() / 100.0),
    }
}

fn not_measured(why: NotMeasured) -> &'static str {
    match why {
        NotMeasured::SwitchedOff => "switched_off",
        NotMeasured::NotTold => "not_told",
        NotMeasured::SmallFleet => "small_fleet",
        NotMeasured::NoControl => "no_control",
    }
}
