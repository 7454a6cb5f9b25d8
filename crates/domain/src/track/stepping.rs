//! How rollouts begin and go through their plans.

use chrono::{DateTime, Utc};

use crate::gate::RolloutGate;

use super::{Track, altered, change_of, enter, in_state};
use crate::{
    By, Change, Error, Percent, Phase, PlanRun, PlanStep, Release, Rollout, RolloutId, RolloutSpec,
    RolloutState, Stage,
};

impl Track {
    /// Begins a scheduled rollout now, or lets one that is held go on.
    ///
    /// # Errors
    /// [`Error::RolloutEnded`], [`Error::NotActive`]; [`Error::ApprovalRequired`] for a proposed one that still has to be
    /// approved.
    pub fn start(&self, rollout: RolloutId, by: By<'_>) -> Result<Change, Error> {
        let release = self.only(rollout.into())?;
        match release.rollout.spec.state {
            RolloutState::Proposed if self.waits_to_begin(&release.rollout.spec, by.now) => {
                Err(Error::ApprovalRequired { rollout })
            }
            RolloutState::Proposed | RolloutState::Scheduled => {
                Ok(self.begin("ota.rollout.start", release, release.rollout.clone(), by.now))
            }
            _ => self.change_one(rollout, "ota.rollout.start", |spec| {
                require_active(spec)?;
                if let Some(run) = &mut spec.plan
                    && run.progress.held
                {
                    run.release(by.now);
                    spec.settings.percent = spec.settings.percent.max(run.step().percent);
                }
                Ok(())
            }),
        }
    }

    /// Holds a rollout's share where it is. Offers go on.
    ///
    /// # Errors
    /// [`Error::RolloutEnded`], [`Error::NotActive`], [`Error::NoPlan`].
    pub fn hold(&self, rollout: RolloutId, by: By<'_>) -> Result<Change, Error> {
        self.change_one(rollout, "ota.rollout.hold", |spec| {
            require_active(spec)?;
            let run = spec.plan.as_mut().ok_or(Error::NoPlan { rollout })?;
            if !run.progress.held {
                run.hold(by.now);
            }
            Ok(())
        })
    }

    /// Refuses a plan that is at another step than somebody saw, from 1; `None`: whichever it is at. Who presses twice would
    /// else begin two steps.
    ///
    /// # Errors
    /// [`Error::StepMismatch`], [`Error::RolloutEnded`].
    pub fn require_step(&self, rollout: RolloutId, seen: Option<usize>) -> Result<(), Error> {
        let spec = &self.only(rollout.into())?.rollout.spec;
        match (seen, spec.plan.as_ref().map(|run| run.progress.step + 1)) {
            (Some(seen), Some(step)) if seen != step => Err(Error::StepMismatch { rollout, seen, step }),
            _ => Ok(()),
        }
    }

    /// Begins the next step of a rollout's plan now, from the share as it is, whatever the step at hand still waits for;
    /// after the last step its share is reached at once.
    ///
    /// # Errors
    /// [`Error::RolloutEnded`], [`Error::NotActive`], [`Error::NoPlan`]; [`Error::PlanDone`] when there is nothing left,
    /// [`Error::ApprovalRequired`] when the next step has to be approved.
    pub fn advance(&self, rollout: RolloutId, by: By<'_>) -> Result<Change, Error> {
        self.change_one(rollout, "ota.rollout.advance", |spec| {
            require_active(spec)?;
            let asks = self.asking(spec);
            let run = spec.plan.as_ref().ok_or(Error::NoPlan { rollout })?;
            if run.progress.stage == Stage::Done {
                return Err(Error::PlanDone { rollout });
            }
            if run.next_step().is_some_and(asks) {
                return Err(Error::ApprovalRequired { rollout });
            }
            run_on(spec, run.advanced(by.now));
            Ok(())
        })
    }

    /// The first change that is due by itself at this time: a scheduled rollout begins, a plan goes one step further, or a
    /// rollout that has gone through a plan to everybody is complete.
    pub fn due(&self, now: DateTime<Utc>) -> Option<Change> {
        self.serving.iter().find_map(|release| self.due_of(release, now))
    }

    fn due_of(&self, release: &Release, now: DateTime<Utc>) -> Option<Change> {
        let spec = &release.rollout.spec;
        spec.plan.as_ref()?;
        match spec.state {
            RolloutState::Scheduled => {
                let begins = spec.may_begin(now);
                begins.then(|| self.begin("ota.rollout.step", release, release.rollout.clone(), now))
            }
            RolloutState::Active if is_for_gate(spec, now) => None,
            RolloutState::Active => self.stepped(release, release.rollout.clone(), now),
            _ => None,
        }
    }

    /// A plan one step further, in this shape of its rollout, if a step is due.
    pub(super) fn stepped(
        &self,
        release: &Release,
        mut shape: Rollout,
        now: DateTime<Utc>,
    ) -> Option<Change> {
        let spec = &release.rollout.spec;
        let stepped = shape.spec.plan.as_ref()?.stepped(now, self.asking(spec))?;
        let mut action = "ota.rollout.step";
        run_on(&mut shape.spec, stepped);
        if shape.spec.phase() == Some(Phase::Done) && shape.spec.settings.percent == Percent::EVERYBODY {
            shape.spec.state = RolloutState::Completed;
            action = "ota.rollout.complete";
        }
        by_itself(action, release, shape)
    }

    /// The rollouts at whose step devices are woken now, since its share has just been reached.
    pub fn nudging(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Rollout> {
        let rollouts = self.serving.iter().map(|release| &release.rollout);
        rollouts.filter(move |rollout| {
            let is_active = rollout.spec.state == RolloutState::Active;
            let run = rollout.spec.plan.as_ref();
            is_active && run.is_some_and(|run| run.nudges(now))
        })
    }

    /// The ramps whose share is to be written down, so that a clock that is set back does not lower it.
    pub fn floors(&self, now: DateTime<Utc>) -> Vec<Rollout> {
        let risen = |release: &Release| {
            let mut rollout = release.rollout.clone();
            let run = rollout.spec.plan.as_ref()?.with_floor(now)?;
            rollout.spec.plan = Some(run);
            (rollout.spec.state == RolloutState::Active).then_some(rollout)
        };
        self.serving.iter().filter_map(risen).collect()
    }

    /// Begins a rollout. A base takes the place of the others, as its promotion said.
    pub(super) fn begin(
        &self,
        action: &'static str,
        release: &Release,
        mut begun: Rollout,
        now: DateTime<Utc>,
    ) -> Change {
        let spec = &mut begun.spec;
        spec.state = RolloutState::Active;
        spec.gate = spec.gate.map(|gate| RolloutGate::begun(gate.terms, now));
        if let Some(run) = &spec.plan {
            run_on(spec, PlanRun::begun(run.plan.clone(), run.progress.from, now));
        }
        let mut shapes = Vec::new();
        if spec.priority == 0 {
            spec.is_current = true;
            spec.previous = self.predecessor_for(spec.build);
            let others = self.bases().filter(|base| base.rollout.id != begun.id);
            let version = release.build.facts.version_code;
            for base in others {
                let ended = match begun.spec.keep_previous {
                    true => super::beside(&base.rollout, version, now),
                    false => Some(in_state(&base.rollout, RolloutState::Superseded, now)),
                };
                shapes.extend(ended);
            }
        }
        let mut change = Change {
            action,
            before: Some(crate::OfferFacts::of_rollout(&release.rollout, &release.build)),
            after: crate::OfferFacts::of_rollout(&begun, &release.build),
            // The old current rollout makes room for the new one.
            updates: shapes,
            insert: vec![],
            next_slice_start: None,
        };
        change.updates.extend(altered(&release.rollout, begun));
        change
    }

    /// Whether a step of this rollout's plan waits for an approval.
    pub(super) fn asking<'t>(&'t self, spec: &RolloutSpec) -> impl Fn(&PlanStep) -> bool + use<'t> {
        let is_approved = spec.consent.approved.is_some();
        move |step| step.approve || (!is_approved && self.approval.asks(step.percent))
    }

    /// Whether this step of a rollout's plan waits for an approval before it begins.
    pub fn asks(&self, spec: &RolloutSpec, step: &PlanStep) -> bool {
        self.asking(spec)(step)
    }

    /// What is to come of a rollout by itself. Nothing of one that is stopped, before it goes on.
    pub fn coming(&self, release: &Release) -> Vec<crate::Coming> {
        let spec = &release.rollout.spec;
        let Some(run) = &spec.plan else { return vec![] };
        match spec.state {
            RolloutState::Active => run.coming(self.asking(spec)),
            RolloutState::Proposed | RolloutState::Scheduled => {
                run.coming_from_start(spec.state == RolloutState::Proposed, self.asking(spec))
            }
            _ => vec![],
        }
    }
}

/// Takes a plan's next progress over; the settings' share is that of the step at hand.
pub(super) fn run_on(spec: &mut RolloutSpec, run: PlanRun) {
    spec.settings.percent = match run.progress.stage {
        Stage::Ramping | Stage::Baking => run.step().percent.max(Percent::of_share(run.progress.from)),
        Stage::WaitingApproval | Stage::Done => spec.settings.percent,
    };
    spec.plan = Some(run);
    if let Some(gate) = &mut spec.gate {
        gate.waits = None;
    }
}

/// Whether a step is over whose gate decides about the next one.
fn is_for_gate(spec: &RolloutSpec, now: DateTime<Utc>) -> bool {
    let holds = spec.gate.is_some_and(|gate| gate.holds_plan());
    holds && spec.plan.as_ref().is_some_and(|run| run.awaits_gate(now))
}

/// A change that nobody asked for: the terms are as they were edited last.
pub(super) fn by_itself(action: &'static str, release: &Release, shape: Rollout) -> Option<Change> {
    let mut change = change_of(action, vec![(release, shape)])?;
    for updated in &mut change.updates {
        updated.spec.revision = release.rollout.spec.revision;
    }
    Some(change)
}

fn require_active(spec: &RolloutSpec) -> Result<(), Error> {
    match spec.state {
        RolloutState::Active => Ok(()),
        state => Err(Error::NotActive {
            build: spec.build,
            state,
        }),
    }
}

/// The rollout's state after a verb, with its plan's time standing still or going on accordingly.
pub(super) fn enter_at(spec: &mut RolloutSpec, state: RolloutState, now: DateTime<Utc>) -> Result<(), Error> {
    enter(spec, state)?;
    if let Some(run) = &mut spec.plan {
        match state {
            RolloutState::Active => run.go_on(now),
            RolloutState::Completed => *run = run.finished(now),
            _ => run.stop(now),
        }
    }
    Ok(())
}

/// Refuses for a rollout that has not begun: it is approved or started instead.
pub(super) fn require_begun(spec: &RolloutSpec, to: RolloutState) -> Result<(), Error> {
    match spec.state {
        from if !from.has_begun() => Err(Error::WrongState {
            build: spec.build,
            from,
            to,
        }),
        _ => Ok(()),
    }
}
