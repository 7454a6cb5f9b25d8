//! How much of a rollout's bet each step of its plan holds.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::gate::Evidence;

/// The most steps of a plan that a gate watches.
pub const MAX_GATE_STEPS: usize = 100;

/// The share of a rollout's bet that each step of its plan holds. A rollout's evidence is the mean over its steps: one
/// account for all of them would have 10,000 good devices hide a later step's failures for 8,000 more.
///
/// A weight is fixed before the step begins. When the plan changes, only those that have not begun share anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepWeights {
    steps: Vec<f64>,
    /// What belongs to no step, since those that had it were taken out of the plan. It is not bet.
    idle: f64,
}

impl StepWeights {
    /// Equal weights of so many steps.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan.steps` for none, and for more than [`MAX_GATE_STEPS`].
    pub fn equal(steps: usize) -> Result<Self, Error> {
        let mut weights = Self {
            steps: Vec::new(),
            idle: 1.0,
        };
        weights.change(0, steps)?;
        Ok(weights)
    }

    /// Changes the plan to `steps` steps, of which the first `begun` have begun and stay as they are. The others share
    /// what those that have not begun held, equally.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan.steps`: for more than [`MAX_GATE_STEPS`], where a step that has begun would be
    /// gone, and where steps are added after the last one has begun: the bet is placed, so that only a new
    /// [segment](super::Segment) has something left for them.
    pub fn change(&mut self, begun: usize, steps: usize) -> Result<(), Error> {
        let fault = |fault: String| Err(Error::invalid("plan.steps", fault));
        if !(1..=MAX_GATE_STEPS).contains(&steps) {
            return fault(format!("must be from 1 to {MAX_GATE_STEPS}, not {steps}"));
        }
        if begun > steps.min(self.steps.len()) {
            return fault(format!("has {begun} steps that have begun: they stay"));
        }
        let open = self.steps[begun..].iter().sum::<f64>() + self.idle;
        let later = steps - begun;
        if later > 0 && open <= 0.0 {
            return fault("can't be added to after the last one has begun".to_owned());
        }
        self.steps.truncate(begun);
        self.steps.resize(steps, 0.0);
        self.idle = if later == 0 { open } else { 0.0 };
        for weight in &mut self.steps[begun..] {
            *weight = open / super::evidence::as_f64(later as u64);
        }
        Ok(())
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The weight of a step, from 0 to 1; 0 for one that is not in the plan.
    pub fn of(&self, step: usize) -> f64 {
        self.steps.get(step).copied().unwrap_or(0.0)
    }

    /// The mean of the steps' evidence. Steps that have not begun are left out of `steps`, and count 1.
    pub fn mean(&self, steps: impl IntoIterator<Item = Evidence>) -> Evidence {
        let mut evidence = steps.into_iter();
        let begun = self
            .steps
            .iter()
            .map(|weight| (*weight, evidence.next().unwrap_or(Evidence::NONE)));
        Evidence::weighted_mean(begun.chain([(self.idle, Evidence::NONE)]))
    }
}

impl Default for StepWeights {
    /// A rollout without a plan is one step.
    fn default() -> Self {
        Self {
            steps: vec![1.0],
            idle: 0.0,
        }
    }
}
