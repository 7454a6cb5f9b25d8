//! How plans stand, as metrics show it.

use chrono::TimeDelta;
use tidegate_domain::{PackageName, Phase, RolloutId, RolloutState};

use crate::Snapshots;

/// A rollout that has a plan, or waits for an approval.
pub struct PlanNumbers {
    /// Its package.
    pub package: PackageName,
    /// Its number.
    pub rollout: RolloutId,
    /// What its plan does, while it is active.
    pub phase: Option<Phase>,
    /// How long something of it has waited for a second person.
    pub waits: Option<TimeDelta>,
    /// By how much the step that is due next is late.
    pub late: TimeDelta,
}

/// The rollouts with a gate that are halted, each of which waits for a person.
pub fn halted_gates(snapshots: &Snapshots) -> Vec<(PackageName, RolloutId)> {
    let catalog = snapshots.catalog();
    let serving = catalog.tracks().flat_map(|track| &track.serving);
    let halted = serving.filter(|release| {
        let spec = &release.rollout.spec;
        spec.gate.is_some() && spec.state == RolloutState::Halted
    });
    halted
        .map(|release| (release.rollout.spec.package.clone(), release.rollout.id))
        .collect()
}

/// Of all rollouts that serve.
pub fn plan_numbers(snapshots: &Snapshots) -> Vec<PlanNumbers> {
    let (catalog, now) = (snapshots.catalog(), snapshots.now());
    let mut numbers = Vec::new();
    for track in catalog.tracks() {
        for release in &track.serving {
            let spec = &release.rollout.spec;
            let waits = spec.waits_since().map(|since| now - since);
            if spec.plan.is_none() && waits.is_none() {
                continue;
            }
            let due = track.coming(release).first().and_then(|coming| coming.at);
            numbers.push(PlanNumbers {
                package: spec.package.clone(),
                rollout: release.rollout.id,
                phase: spec.phase(),
                waits,
                late: due.map_or(TimeDelta::zero(), |due| (now - due).max(TimeDelta::zero())),
            });
        }
    }
    numbers
}
