//! What a gate's reading makes of a rollout.

use chrono::{DateTime, Utc};

use super::Track;
use super::stepping::by_itself;
use crate::gate::{
    GateAction, GateHalt, GateReading, GateWait, NotRolledBack, OnHalt, RolloutGate, WaitsFor,
};
use crate::{By, Change, Release, RolloutId, RolloutSpec, RolloutState};

impl Track {
    /// The rollouts that a gate watches: those that may be halted, and those that were. Whoever resumes one of them is to
    /// have seen what has come of it since.
    pub fn gated(&self) -> impl Iterator<Item = (&Release, RolloutGate)> {
        let is_watched = |state| {
            matches!(
                state,
                RolloutState::Active | RolloutState::Completed | RolloutState::Halted
            )
        };
        self.serving
            .iter()
            .filter(move |release| is_watched(release.rollout.spec.state))
            .filter_map(|release| Some((release, release.rollout.spec.gate?)))
    }

    /// What the reading of a rollout's gate changes: it is halted, or taken back; its plan goes a step further, or waits.
    /// `None` when it changes nothing.
    ///
    /// A rollout is taken back only where a healthy release remains that its devices are judged by, and a forced roll-back
    /// only where Android would install it; otherwise it is halted.
    pub fn judged(&self, rollout: RolloutId, reading: &GateReading, by: By<'_>) -> Option<Change> {
        let (release, gate) = self.gated().find(|(release, _)| release.rollout.id == rollout)?;
        if release.rollout.spec.state == RolloutState::Halted {
            return None;
        }
        match reading.action {
            GateAction::Halt => self.halted(release, gate, reading, by),
            GateAction::Advance => self.let_on(release, gate, by.now),
            GateAction::Continue | GateAction::Hold => waiting(release, gate, reading, by.now),
        }
    }

    fn halted(
        &self,
        release: &Release,
        gate: RolloutGate,
        reading: &GateReading,
        by: By<'_>,
    ) -> Option<Change> {
        let rollout = release.rollout.id;
        let mut halt = GateHalt::of(reading, by.now);
        let taken_back = match gate.terms.on_halt {
            OnHalt::RollBack => match self.taken_back(release, gate, by) {
                Ok(change) => Some(change),
                Err(why) => {
                    halt = halt.map(|halt| GateHalt {
                        not_rolled_back: Some(why),
                        ..halt
                    });
                    None
                }
            },
            OnHalt::Hold => None,
        };
        let mut change = taken_back.or_else(|| self.halt(rollout, by).ok())?;
        let gate = Some(RolloutGate { halted: halt, ..gate });
        for update in change.updates.iter_mut().filter(|update| update.id == rollout) {
            update.spec.gate = gate;
        }
        if change.after.rollout_id == Some(rollout) {
            change.after.gate = gate;
        }
        Some(change)
    }

    /// The rollout rolled back, if devices are left with a release that serves.
    fn taken_back(&self, release: &Release, gate: RolloutGate, by: By<'_>) -> Result<Change, NotRolledBack> {
        let left = match release.rollout.spec.is_current {
            true => self.predecessor.as_ref(),
            false => self.current(),
        };
        let left = left.ok_or(NotRolledBack::NoEarlierRelease)?;
        if matches!(
            left.rollout.spec.state,
            RolloutState::Paused | RolloutState::Halted
        ) {
            return Err(NotRolledBack::EarlierIsStopped);
        }
        self.roll_back_rollout(release.rollout.id, gate.terms.roll_back_forced, by)
            .map_err(|refused| NotRolledBack::for_error(&refused))
    }

    fn let_on(&self, release: &Release, gate: RolloutGate, now: DateTime<Utc>) -> Option<Change> {
        let mut shape = release.rollout.clone();
        end_wait(&mut shape.spec, gate, now);
        let is_due = shape.spec.state == RolloutState::Active
            && shape.spec.plan.as_ref().is_some_and(|run| run.awaits_gate(now));
        let stepped = is_due
            .then(|| self.stepped(release, shape.clone(), now))
            .flatten();
        stepped.or_else(|| by_itself("ota.rollout.step", release, shape).filter(|change| !change.is_empty()))
    }
}

/// The rollout with what it waits for written down, or no more.
fn waiting(
    release: &Release,
    gate: RolloutGate,
    reading: &GateReading,
    now: DateTime<Utc>,
) -> Option<Change> {
    let mut shape = release.rollout.clone();
    let spec = &mut shape.spec;
    let run = spec.plan.as_ref().filter(|_| spec.state == RolloutState::Active);
    let what = run.and_then(|run| WaitsFor::of(reading, run.awaits_gate(now)));
    let goes_on = run.is_some_and(|run| run.progress.stopped.is_none());
    match what {
        // Who paused and resumed a rollout that sees nothing let its time go on.
        Some(what)
            if gate.waits.is_some_and(|wait| wait.what == what) && !(what == WaitsFor::Blind && goes_on) =>
        {
            return None;
        }
        Some(what) => begin_wait(spec, gate, what, now),
        None => end_wait(spec, gate, now),
    }
    by_itself("ota.rollout.step", release, shape).filter(|change| !change.is_empty())
}

/// A gate that sees nothing has nobody's time pass.
fn begin_wait(spec: &mut RolloutSpec, gate: RolloutGate, what: WaitsFor, now: DateTime<Utc>) {
    end_wait(spec, gate, now);
    if what == WaitsFor::Blind
        && let Some(run) = &mut spec.plan
    {
        run.stop(now);
    }
    let waits = Some(GateWait { what, since: now });
    spec.gate = Some(RolloutGate { waits, ..gate });
}

fn end_wait(spec: &mut RolloutSpec, gate: RolloutGate, now: DateTime<Utc>) {
    let was_blind = gate.waits.is_some_and(|wait| wait.what == WaitsFor::Blind);
    if was_blind
        && spec.state == RolloutState::Active
        && let Some(run) = &mut spec.plan
    {
        run.go_on(now);
    }
    spec.gate = Some(RolloutGate { waits: None, ..gate });
}
