//! What a batch changes about the counts of gates, summed up before it is written, as [`crate::tally`] does.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_domain::gate::{DeviceOutcome, StepCounts};

/// The segment and the step of a rollout's gate that first offered a device the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GateStep {
    /// Segments are counted from 1.
    pub(crate) segment: u32,
    /// Steps are counted from 0.
    pub(crate) step: u16,
}

/// By rollout and step, in the order in which they are to be written.
#[derive(Default)]
pub(crate) struct GateTally(BTreeMap<(i64, GateStep), GateSums>);

/// What is to be added; a device that is in trouble no more is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GateSums {
    reached: i64,
    begun: i64,
    sent: i64,
    failed: i64,
    corrupt: i64,
    in_trouble: i64,
    confirmed: i64,
    watched: i64,
}

/// A row of sums.
#[derive(Serialize)]
pub(crate) struct GateRow {
    rollout_id: i64,
    segment: u32,
    step: u16,
    #[serde(flatten)]
    sums: GateSums,
}

impl GateTally {
    /// A device was offered the build for the first time.
    pub(crate) fn reach(&mut self, rollout: i64, at: GateStep) {
        self.sums(rollout, at).reached += 1;
    }

    /// A device that was counted as `before` is `after` now.
    pub(crate) fn change(&mut self, rollout: i64, at: GateStep, before: DeviceOutcome, after: DeviceOutcome) {
        if before == after {
            return;
        }
        let (before, after) = (counted(before), counted(after));
        let sums = self.sums(rollout, at);
        for (sum, is, was) in [
            (&mut sums.begun, after.begun, before.begun),
            (&mut sums.sent, after.sent, before.sent),
            (&mut sums.failed, after.failed, before.failed),
            (&mut sums.corrupt, after.corrupt, before.corrupt),
            (&mut sums.in_trouble, after.in_trouble, before.in_trouble),
            (&mut sums.confirmed, after.confirmed, before.confirmed),
        ] {
            *sum += i64::from(is == 1) - i64::from(was == 1);
        }
    }

    /// So many devices entered the treated arm.
    pub(crate) fn watch(&mut self, rollout: i64, at: GateStep, devices: usize) {
        self.sums(rollout, at).watched += i64::try_from(devices).unwrap_or(i64::MAX);
    }

    fn sums(&mut self, rollout: i64, at: GateStep) -> &mut GateSums {
        self.0.entry((rollout, at)).or_default()
    }

    /// What there is to write.
    pub(crate) fn rows(&self) -> Vec<GateRow> {
        let changed = self.0.iter().filter(|(_, sums)| **sums != GateSums::default());
        changed
            .map(|(&(rollout_id, at), &sums)| GateRow {
                rollout_id,
                segment: at.segment,
                step: at.step,
                sums,
            })
            .collect()
    }
}

/// One device, counted as the rule does.
fn counted(outcome: DeviceOutcome) -> StepCounts {
    let mut counts = StepCounts::default();
    counts.change(DeviceOutcome::default(), outcome);
    counts
}
