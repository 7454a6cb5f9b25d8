//! What a gate can say of a step, before there is one.

use super::told::{SilenceForecast, StepGate, StepPasses};
use crate::gate::{
    GateSettings, NotMeasured, SILENCE_FLEET, row_of_treated, smallest_silence, successes_to_advance,
};

/// Of a step that reaches so many devices, compared with so many, in a fleet of so many.
pub(super) fn step(gate: &GateSettings, treated: u64, control: u64, fleet: u64) -> StepGate {
    let needs = successes_to_advance(0, 0, gate.failed_percent);
    let passes = match treated {
        0 => StepPasses::Never,
        treated if needs.is_some_and(|needs| needs <= treated) => StepPasses::ByEvidence,
        _ => StepPasses::ByCensus,
    };
    StepGate {
        passes,
        successes_to_advance: needs,
        treated,
        control,
        silence: silence(gate, treated, control, fleet),
    }
}

fn silence(gate: &GateSettings, treated: u64, control: u64, fleet: u64) -> SilenceForecast {
    if !gate.lost {
        return SilenceForecast::NotMeasured(NotMeasured::SwitchedOff);
    }
    if fleet < SILENCE_FLEET {
        return SilenceForecast::NotMeasured(NotMeasured::SmallFleet);
    }
    if control == 0 {
        return SilenceForecast::NotMeasured(NotMeasured::NoControl);
    }
    SilenceForecast::Measured {
        row: row_of_treated(treated, control),
        smallest: smallest_silence(treated, control),
    }
}
