//! What has been counted so far.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::device::{Answer, Told};
use crate::{Reason, RolloutId};

/// Seconds of an hour.
const HOUR: u32 = 3_600;

/// All that is counted of a fleet.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) devices: u64,
    pub(super) steps: Vec<StepTally>,
    /// Of all steps together.
    pub(super) whole: Arrivals,
    /// Devices that run a higher version.
    pub(super) stranded: u64,
    /// Devices that a rollout which is asked earlier takes from the draft.
    pub(super) taken_before: BTreeMap<RolloutId, u64>,
    /// Devices that the first step shares with that of each earlier rollout.
    pub(super) shared: Vec<u64>,
}

impl Tally {
    pub(super) fn of(steps: usize, earlier: usize) -> Self {
        Self {
            devices: 0,
            steps: (0..steps).map(|_| StepTally::default()).collect(),
            whole: Arrivals::default(),
            stranded: 0,
            taken_before: BTreeMap::new(),
            shared: vec![0; earlier],
        }
    }
}

/// What devices are told.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) devices: u64,
    pub(super) offered: u64,
    /// Of those that are told nothing, the ones that only wait for a window. Reasons may leave them out.
    pub(super) waiting: u64,
    pub(super) offered_by_another: u64,
    /// By the reason's place among all.
    reasons: [u64; Reason::ALL.len()],
}

impl Answers {
    /// Counts a device; `apart`: one that only waits for a window under no reason.
    pub(super) fn count(&mut self, answer: &Answer, apart: bool) {
        self.devices += 1;
        match answer.told {
            Told::Offered => self.offered += 1,
            Told::OfferedByAnother => self.offered_by_another += 1,
            Told::Nothing(_) if apart && answer.waits => self.waiting += 1,
            Told::Nothing(reason) => self.reasons[place(reason)] += 1,
        }
    }

    /// The reasons that came up, in their order.
    pub(super) fn reasons(&self) -> Vec<(Reason, u64)> {
        let reasons = Reason::ALL.into_iter().zip(self.reasons);
        reasons.filter(|(_, devices)| *devices > 0).collect()
    }
}

/// What is counted of a step.
#[derive(Debug, Default)]
pub(super) struct StepTally {
    /// Of all devices.
    pub(super) all: Answers,
    /// Of those that the draft's audience and the step's share take.
    pub(super) within: Answers,
    pub(super) new_devices: u64,
    pub(super) unreachable: u64,
    pub(super) hops: u64,
    pub(super) bytes: u64,
    pub(super) control: u64,
    pub(super) arrivals: Arrivals,
}

impl StepTally {
    /// Counts a device, and whether the draft's audience and the step's share take it.
    pub(super) fn count(&mut self, answer: &Answer, is_within: bool) {
        self.all.count(answer, false);
        if is_within {
            self.within.count(answer, true);
        }
    }

    /// A device that this step is the first to take.
    pub(super) fn add(&mut self, hops: u32, bytes: u64) {
        self.new_devices += 1;
        self.hops += u64::from(hops);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn offered_after(&mut self, after: TimeDelta, bytes: u64) {
        self.arrivals.offered_after(after, bytes);
    }
}

fn place(reason: Reason) -> usize {
    Reason::ALL
        .iter()
        .position(|other| *other == reason)
        .unwrap_or_default()
}

/// When devices are offered the build.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// In seconds after the rollout's beginning.
    seconds: Vec<u32>,
    /// Devices and bytes by hour.
    hours: BTreeMap<u32, (u64, u64)>,
}

impl Arrivals {
    pub(super) fn offered_after(&mut self, after: TimeDelta, bytes: u64) {
        let second = u32::try_from(after.num_seconds().max(0)).unwrap_or(u32::MAX);
        self.seconds.push(second);
        let (devices, sum) = self.hours.entry(second / HOUR).or_default();
        *devices += 1;
        *sum = sum.saturating_add(bytes);
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.seconds.len() as u64
    }

    /// After how many seconds so many of a hundred have come.
    pub(super) fn after(&mut self, hundredths: usize) -> Option<u32> {
        let last = self.seconds.len().checked_sub(1)?;
        let place = (self.seconds.len() * hundredths).div_ceil(100).saturating_sub(1);
        let (_, found, _) = self.seconds.select_nth_unstable(place.min(last));
        Some(*found)
    }

    /// The most devices of an hour, and the most bytes.
    pub(super) fn peaks(&self) -> (u64, u64) {
        let hours = self.hours.values();
        hours.fold((0, 0), |(devices, bytes), hour| {
            (devices.max(hour.0), bytes.max(hour.1))
        })
    }
}
