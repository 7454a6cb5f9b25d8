//! What a gate's look leaves for the next one.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::RolloutSpec;
use crate::gate::{
    Arms, BlindTimes, GateFacts, Logrank, LostTest, Segment, StepCounts, StepProgress, StepWeights, is_blind,
};

/// How often a gate asks who fell silent or crashed.
pub const SEARCH_EVERY: TimeDelta = TimeDelta::seconds(60);

/// What the next look goes on from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateState {
    /// The number of the segment that this is about.
    pub segment: u32,
    /// The weights of the plan's steps.
    pub weights: StepWeights,
    /// The looks at silence so far.
    pub lost: LostTest,
    /// The looks at crashes so far.
    pub crashing: Logrank,
    /// When it was blind.
    pub blind: BlindTimes,
    /// When it asked last who fell silent or crashed.
    pub searched_at: Option<DateTime<Utc>>,
    /// Polls that were expected then of devices never offered the build.
    pub polls_expected: u64,
    /// Those that had come.
    pub polls_seen: u64,
    /// Who was watched for silence then.
    pub lost_arms: Arms,
    /// Who was watched for crashes then; none where no agent tells of any.
    pub crashing_arms: Option<Arms>,
}

/// What is counted of a rollout at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateCounts {
    /// Devices of the audience.
    pub fleet: u64,
    /// The outcomes of the steps that have begun, this step's last.
    pub steps: Vec<StepCounts>,
}

impl GateState {
    /// The state as this look finds it, of this segment and a plan of so many steps of which these have begun. A new segment
    /// begins with all evidence at 1; when the gate was blind is remembered.
    #[must_use]
    pub fn at(self, segment: Segment, begun: usize, steps: usize) -> Self {
        let mut state = match self.segment == segment.number {
            true => self,
            false => Self {
                segment: segment.number,
                blind: self.blind,
                weights: StepWeights::equal(steps).unwrap_or_default(),
                ..Self::default()
            },
        };
        if state.weights.steps() != steps {
            // A plan that can't be weighed anew keeps its bets: what was added holds none.
            let mut weights = state.weights.clone();
            if weights.change(begun.min(weights.steps()), steps).is_ok() {
                state.weights = weights;
            }
        }
        state
    }

    /// Whether it is time to ask who fell silent or crashed.
    pub fn is_to_search(&self, now: DateTime<Utc>) -> bool {
        self.searched_at
            .is_none_or(|last| (now - last).abs() >= SEARCH_EVERY)
    }

    /// Takes note of the polls of devices that were never offered the build. Returns whether the gate sees: while it is
    /// blind nobody's silence counts.
    pub fn note_polls(&mut self, (expected, seen): (u64, u64), now: DateTime<Utc>) -> bool {
        (self.polls_expected, self.polls_seen) = (expected, seen);
        self.has_searched(false, now);
        self.blind.note(is_blind(expected, seen), now);
        !self.blind.is_blind()
    }

    /// Takes note of a search. Where it did not find all that was due, the next look goes on with it.
    pub fn has_searched(&mut self, leaves_some: bool, now: DateTime<Utc>) {
        self.searched_at = (!leaves_some).then_some(now);
    }

    /// What is judged.
    pub fn facts(&self, spec: &RolloutSpec, counts: GateCounts, now: DateTime<Utc>) -> GateFacts {
        let run = spec.plan.as_ref();
        let over = run
            .filter(|run| run.awaits_gate(now))
            .map(|run| run.progress.until);
        let waited = over.map_or(TimeDelta::zero(), |since| self.blind.passed(since, now));
        GateFacts {
            fleet: counts.fleet,
            weights: self.weights.clone(),
            steps: counts.steps,
            lost_arms: self.lost_arms,
            lost: self.lost,
            crashing_arms: self.crashing_arms,
            crashing: self.crashing,
            polls_expected: self.polls_expected,
            polls_seen: self.polls_seen,
            progress: run.map_or(StepProgress::Over, |run| run.step_progress(now)),
            waited_seconds: waited.num_seconds().unsigned_abs(),
        }
    }
}
