//! Which poll brings which device into an arm.

use crate::gate::{Arm, Place, StepRange};
use crate::{Position, RolloutId, RolloutSpec, RolloutState, Share, Track};

/// What a poll means for the health gate of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// The rollout.
    pub rollout: RolloutId,
    /// The number of the segment at hand.
    pub segment: u32,
    /// The step at hand, from 0.
    pub step: u16,
    /// The arm that the device is in from now on, unless it is in one already.
    pub arm: Arm,
    /// The share at which the rollout takes the device. Control leaves when the share is there.
    pub takes_at: Share,
}

impl RolloutSpec {
    /// The step at hand of its gate, from 0: that of its plan, and the only one without a plan.
    pub fn gate_step(&self) -> u16 {
        let step = self.plan.as_ref().map_or(0, |run| run.progress.step);
        u16::try_from(step).unwrap_or(u16::MAX)
    }

    /// The positions of the step at hand, where so many devices have the package.
    pub fn gate_range(&self, devices: u64) -> StepRange {
        let slice = self.settings.slice;
        let own = self.settings.percent.share();
        let (from, target) = self.plan.as_ref().map_or((Share::NOBODY, own), |run| {
            (run.share_before(), own.max(run.step().percent.share()))
        });
        let in_slice = u128::from(devices) * u128::from(slice.width.get()) / u128::from(Position::END);
        let in_slice = u64::try_from(in_slice).unwrap_or(u64::MAX);
        StepRange::new(slice, from, target, in_slice, self.stays_below().is_some())
    }
}

/// The step at hand of one rollout.
#[derive(Clone, Debug)]
pub(crate) struct StepAtHand {
    pub(crate) rollout: RolloutId,
    /// Its place in [`Track::serving`].
    pub(crate) place: usize,
    segment: u32,
    step: u16,
    slice: crate::Slice,
    /// None while it is not known how many devices there are: then nobody is control.
    range: Option<StepRange>,
}

impl StepAtHand {
    pub(crate) fn is_control(&self, position: Position, reached: Share) -> bool {
        self.range
            .is_some_and(|range| range.place(position, reached) == Place::Control)
    }

    pub(crate) fn watch(&self, arm: Arm, position: Position) -> Watch {
        Watch {
            rollout: self.rollout,
            segment: self.segment,
            step: self.step,
            arm,
            takes_at: self.slice.share_at(position).unwrap_or(Share::WHOLE),
        }
    }
}

/// The rollouts of a track that are active and have a gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct GateIndex(Vec<StepAtHand>);

impl GateIndex {
    pub(crate) fn of(track: &Track, devices: Option<u64>) -> Self {
        let gated = track.serving.iter().enumerate().filter_map(|(place, release)| {
            let spec = &release.rollout.spec;
            let gate = spec.gate.filter(|_| spec.state == RolloutState::Active)?;
            Some(StepAtHand {
                rollout: release.rollout.id,
                place,
                segment: gate.segment.number,
                step: spec.gate_step(),
                slice: spec.settings.slice,
                range: devices.map(|devices| spec.gate_range(devices)),
            })
        });
        Self(gated.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order in which polls ask them.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &StepAtHand> {
        self.0.iter()
    }

    pub(crate) fn rollouts(&self) -> impl Iterator<Item = RolloutId> {
        self.0.iter().map(|gate| gate.rollout)
    }
}
