//! Where a plan stands among its steps.
//!
//! Only the share moves with time. A step's ramp is a line from the share that was reached before to the step's own, and
//! whoever knows the line and the time knows the share: servers that share a database's clock agree without asking each
//! other. Everything else about a plan changes in steps, one at a time, each a transition that is written down.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Phase, Plan, PlanStep, Stage};
use crate::gate::StepProgress;
use crate::{Error, Percent, Position, Share, Slice};

/// Where a plan stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The step at hand, from 0.
    pub step: usize,
    /// What it does.
    pub stage: Stage,
    /// The share when the ramp began; that of a plan that doesn't ramp.
    pub from: Share,
    /// Since when it does that.
    pub since: DateTime<Utc>,
    /// When a ramp or a bake ends.
    pub until: DateTime<Utc>,
    /// Since when the plan's time stands still: it is held, or its rollout paused or halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<DateTime<Utc>>,
    /// Whether somebody holds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The share that the ramp had reached when it was last written down: it never falls below, should a clock be set back.
    pub floor: Share,
}

/// What is to come of a plan, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// When; none: when somebody has acted.
    pub at: Option<DateTime<Utc>>,
    /// The step, from 1.
    pub step: usize,
    /// What the plan then does.
    pub stage: Stage,
    /// The share that the step leads to.
    pub percent: Percent,
}

/// A plan and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRun {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// Where it stands.
    pub progress: Progress,
}

impl PlanRun {
    /// A plan whose first step begins now, at a share that may have been reached without it.
    pub fn begun(plan: Plan, from: Share, now: DateTime<Utc>) -> Self {
        let until = now + plan.first().over.delta();
        Self {
            plan,
            progress: Progress {
                step: 0,
                stage: Stage::Ramping,
                from,
                since: now,
                until,
                stopped: None,
                held: false,
                floor: from,
            },
        }
    }

    /// The step at hand.
    pub fn step(&self) -> &PlanStep {
        let last = self.plan.steps.len() - 1;
        &self.plan.steps[self.progress.step.min(last)]
    }

    /// The step after it.
    pub fn next_step(&self) -> Option<&PlanStep> {
        self.plan.steps.get(self.progress.step + 1)
    }

    /// How far the step at hand has come. Whether its plan's time stands still is not asked: what is over stays so.
    pub fn step_progress(&self, now: DateTime<Utc>) -> StepProgress {
        let Progress {
            stage,
            until,
            stopped,
            ..
        } = self.progress;
        let is_over = stopped.unwrap_or(now) >= until;
        match stage {
            Stage::Ramping => StepProgress::Ramping,
            Stage::Baking if !is_over => StepProgress::Baking,
            Stage::Baking | Stage::WaitingApproval | Stage::Done => StepProgress::Over,
        }
    }

    /// Whether the step at hand is over, so that the gate's word decides about the next one.
    pub fn awaits_gate(&self, now: DateTime<Utc>) -> bool {
        self.progress.stage == Stage::Baking && self.step_progress(now) == StepProgress::Over
    }

    /// What it waits for.
    pub fn phase(&self) -> Phase {
        match self.progress.held {
            true => Phase::Held,
            false => self.progress.stage.into(),
        }
    }

    /// The largest share of the steps before the one at hand: nothing of them is undone.
    pub fn share_before(&self) -> Share {
        let before = self.plan.steps.iter().take(self.progress.step);
        before
            .map(|step| step.percent.share())
            .max()
            .unwrap_or(Percent::NOBODY.share())
    }

    /// The largest share that the plan comes to before a step that asks for an approval of its own; the whole without one.
    pub(crate) fn free_share(&self) -> Share {
        let mut free = Share::NOBODY;
        for (index, step) in self.plan.steps.iter().enumerate() {
            if index > self.progress.step && step.approve {
                return free;
            }
            free = free.max(step.percent.share());
        }
        Share::WHOLE
    }

    /// The share at this time.
    pub fn share(&self, now: DateTime<Utc>) -> Share {
        let Progress {
            step: _,
            stage,
            from,
            since,
            until,
            stopped,
            held,
            floor,
        } = self.progress;
        if stage != Stage::Ramping {
            return from;
        }
        // At the share where somebody put it, though a step without a ramp would be beyond it from its beginning.
        if held {
            return floor;
        }
        let target = self.step().percent.share();
        let now = stopped.unwrap_or(now);
        // A step without a ramp is there from its beginning, whatever a clock then says.
        if now >= until || since == until {
            return target.max(from);
        }
        let (done, whole) = (millis(now - since), millis(until - since).max(1));
        let grown = u64::from(target.get().saturating_sub(from.get())) * done / whole;
        let share = from.get() + u32::try_from(grown).unwrap_or(0);
        floor.max(Share::within(share))
    }

    /// When the ramp at hand takes the device at this position, if it takes it and time does not stand still.
    pub fn reaches(&self, slice: Slice, position: Position) -> Option<DateTime<Utc>> {
        let Progress {
            stage,
            since,
            until,
            stopped,
            ..
        } = self.progress;
        if stage != Stage::Ramping || stopped.is_some() || !slice.takes(position, self.share(until)) {
            return None;
        }
        let (mut early, mut late) = (0, millis(until - since));
        let at = |after: u64| since + TimeDelta::milliseconds(i64::try_from(after).unwrap_or(i64::MAX));
        while early < late {
            let middle = early + (late - early) / 2;
            if slice.takes(position, self.share(at(middle))) {
                late = middle;
            } else {
                early = middle + 1;
            }
        }
        Some(at(late))
    }

    /// The plan one step further, if one is due: a ramp that has ended bakes, a bake that has ended makes room for the next
    /// step or for the wait for its approval. `asks` says whether a step must be approved. However long nobody looked, it
    /// is one step, and what it begins takes its whole time from now on.
    pub fn stepped(&self, now: DateTime<Utc>, asks: impl Fn(&PlanStep) -> bool) -> Option<Self> {
        let progress = &self.progress;
        if progress.stopped.is_some() || now < progress.until {
            return None;
        }
        match progress.stage {
            Stage::Ramping => Some(self.baking(now)),
            Stage::Baking => match self.next_step() {
                Some(next) if next.not_before.is_some_and(|begin| now < begin) => None,
                Some(next) if asks(next) => Some(self.resting(Stage::WaitingApproval, now)),
                _ => Some(self.advanced(now)),
            },
            Stage::WaitingApproval | Stage::Done => None,
        }
    }

    /// Whether the share of a step that wakes devices has just been reached, so that its bake is due.
    pub fn nudges(&self, now: DateTime<Utc>) -> bool {
        let progress = &self.progress;
        let has_ended = progress.stopped.is_none() && now >= progress.until;
        has_ended && progress.stage == Stage::Ramping && self.step().nudge
    }

    /// The plan with its next step begun, from the share as it is now; done when there is none, at the last step's share.
    pub fn advanced(&self, now: DateTime<Utc>) -> Self {
        let from = self.share(now);
        let Some(next) = self.next_step() else {
            let mut done = self.clone();
            done.progress.from = from.max(self.step().percent.share());
            return done.resting(Stage::Done, now);
        };
        Self {
            progress: Progress {
                step: self.progress.step + 1,
                stage: Stage::Ramping,
                from,
                since: now,
                until: now + next.over.delta(),
                stopped: None,
                held: false,
                floor: from,
            },
            plan: self.plan.clone(),
        }
    }

    fn baking(&self, now: DateTime<Utc>) -> Self {
        let mut baking = self.resting(Stage::Baking, now);
        baking.progress.until = now + self.step().bake.delta();
        baking
    }

    /// The share stays as it is now.
    fn resting(&self, stage: Stage, now: DateTime<Utc>) -> Self {
        let share = self.share(now);
        Self {
            progress: Progress {
                step: self.progress.step,
                stage,
                from: share,
                since: now,
                until: now,
                stopped: None,
                held: false,
                floor: share,
            },
            plan: self.plan.clone(),
        }
    }

    /// Lets the plan's time stand still.
    pub fn stop(&mut self, now: DateTime<Utc>) {
        self.progress.floor = self.share(now).max(self.progress.floor);
        self.progress.stopped.get_or_insert(now);
    }

    /// Lets it go on, unless somebody holds it. What was left of a ramp or a bake is left now.
    pub fn go_on(&mut self, now: DateTime<Utc>) {
        if self.progress.held {
            return;
        }
        if let Some(stopped) = self.progress.stopped.take() {
            let stood = (now - stopped).max(TimeDelta::zero());
            self.progress.since += stood;
            self.progress.until += stood;
        }
    }

    /// Holds the share where it is.
    pub fn hold(&mut self, now: DateTime<Utc>) {
        self.stop(now);
        self.progress.held = true;
    }

    /// Ends the hold.
    pub fn release(&mut self, now: DateTime<Utc>) {
        self.progress.held = false;
        self.go_on(now);
    }

    /// Holds the plan at a share that somebody set. Released, it goes on from there: with the ramp of the step at hand, or
    /// with the bake of the last step that the share has reached.
    pub fn hold_at(&mut self, percent: Percent, now: DateTime<Utc>) {
        let reached = self.plan.steps.iter().rposition(|step| step.percent <= percent);
        let step = reached
            .unwrap_or(0)
            .max(self.progress.step.min(self.plan.steps.len() - 1));
        let at_hand = &self.plan.steps[step];
        let (stage, lasts) = match at_hand.percent > percent {
            true => (Stage::Ramping, at_hand.over),
            false => (Stage::Baking, at_hand.bake),
        };
        let share = percent.share();
        self.progress = Progress {
            step,
            stage,
            from: share,
            since: now,
            until: now + lasts.delta(),
            stopped: Some(now),
            held: true,
            floor: share,
        };
    }

    /// Takes another plan whose steps up to the one at hand are the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan` for one that changes what has begun.
    pub fn replan(&mut self, plan: Plan, now: DateTime<Utc>) -> Result<(), Error> {
        let begun = self.progress.step + 1;
        if plan.steps.get(..begun) != self.plan.steps.get(..begun) {
            let fault = format!(
                "must leave the first {begun} step(s) as they are, which have begun; hold the plan, advance it or set the share instead"
            );
            return Err(Error::invalid("plan", fault));
        }
        let grows = plan.steps.len() > begun;
        self.plan = plan;
        if grows && self.progress.stage == Stage::Done {
            *self = self.resting(Stage::Baking, now);
        }
        Ok(())
    }

    /// The plan with the ramp's share written down, where that is more than was.
    pub fn with_floor(&self, now: DateTime<Utc>) -> Option<Self> {
        let share = self.share(now);
        if self.progress.stage != Stage::Ramping || share <= self.progress.floor {
            return None;
        }
        let mut kept = self.clone();
        kept.progress.floor = share;
        Some(kept)
    }

    /// What is to come, in its order, if nobody acts. `asks` says whether a step must be approved.
    pub fn coming(&self, asks: impl Fn(&PlanStep) -> bool) -> Vec<Coming> {
        self.coming_after(self.progress.stage == Stage::WaitingApproval, asks)
    }

    /// The same after an approval, or without one. It holds for the later steps too, unless they ask for their own.
    fn coming_after(&self, mut is_approved: bool, asks: impl Fn(&PlanStep) -> bool) -> Vec<Coming> {
        let mut coming = Vec::new();
        let mut run = self.clone();
        let mut at = run.progress.stopped.is_none().then_some(run.progress.until);
        let mut pending = match run.progress.stage {
            Stage::Ramping => Some(Stage::Baking),
            Stage::Baking => Some(Stage::Ramping),
            Stage::WaitingApproval => {
                at = None;
                Some(Stage::Ramping)
            }
            Stage::Done => None,
        };
        while let Some(stage) = pending {
            if stage == Stage::Baking {
                coming.push(run.coming_now(at, Stage::Baking));
                at = at.map(|at| at + run.step().bake.delta());
                pending = Some(Stage::Ramping);
                continue;
            }
            let Some(next) = run.next_step() else {
                coming.push(run.coming_now(at, Stage::Done));
                break;
            };
            let is_next = run.progress.stage == Stage::WaitingApproval;
            at = at.map(|at| next.not_before.map_or(at, |begin| at.max(begin)));
            let waits = if is_approved { next.approve } else { asks(next) };
            if waits && !is_next {
                coming.push(run.coming_now(at, Stage::WaitingApproval));
                (at, is_approved) = (None, true);
            }
            run.progress.step += 1;
            run.progress.stage = Stage::Ramping;
            coming.push(run.coming_now(at, Stage::Ramping));
            at = at.map(|at| at + run.step().over.delta());
            pending = Some(Stage::Baking);
        }
        coming
    }

    /// The same before it has begun; `waits`: for somebody's approval.
    pub fn coming_from_start(&self, waits: bool, asks: impl Fn(&PlanStep) -> bool) -> Vec<Coming> {
        let begin = self.plan.first().not_before.unwrap_or(self.progress.since);
        let at = (!waits).then_some(begin.max(self.progress.since));
        let mut run = Self::begun(
            self.plan.clone(),
            self.progress.from,
            begin.max(self.progress.since),
        );
        if waits {
            run.progress.stopped = Some(begin);
        }
        let first = run.coming_now(at, Stage::Ramping);
        std::iter::once(first)
            .chain(run.coming_after(waits, asks))
            .collect()
    }

    /// The plan with nothing left to do, at the share that it has.
    pub fn finished(&self, now: DateTime<Utc>) -> Self {
        self.resting(Stage::Done, now)
    }

    fn coming_now(&self, at: Option<DateTime<Utc>>, stage: Stage) -> Coming {
        Coming {
            at,
            step: self.progress.step + 1,
            stage,
            percent: self.step().percent,
        }
    }
}

fn millis(time: TimeDelta) -> u64 {
    u64::try_from(time.num_milliseconds()).unwrap_or(0)
}
