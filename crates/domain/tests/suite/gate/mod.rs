//! The health gate: what it halts, what it passes, whom it watches and what it says.

mod figures;
mod members;
mod properties;
mod resuming;
mod rollouts;
mod segments;
mod settings;
mod silence;
mod vectors;
mod verdicts;
mod watching;

use tidegate_domain::gate::{Arms, GateFacts, StepCounts, StepProgress, StepWeights};

/// A rollout of one step to a large fleet, over but for what these outcomes show; nothing fell silent or crashed.
pub(crate) fn facts_of(step: StepCounts) -> GateFacts {
    GateFacts {
        fleet: 10_000,
        weights: StepWeights::default(),
        steps: vec![step],
        lost_arms: Arms {
            treated: 600,
            control: 5_990,
            treated_at_risk: 600,
            control_at_risk: 5_990,
        },
        lost: Default::default(),
        crashing_arms: None,
        crashing: Default::default(),
        polls_expected: 1_000,
        polls_seen: 980,
        progress: StepProgress::Over,
        waited_seconds: 0,
    }
}

/// So many devices that all have the file, of which these failed, these run the build, and the others are undecided.
pub(crate) fn step_of(reached: u64, failed: u64, confirmed: u64) -> StepCounts {
    StepCounts {
        reached,
        begun: reached,
        sent: reached,
        failed,
        corrupt: 0,
        in_trouble: failed,
        confirmed,
    }
}
