//! Second persons: what waits for one, and what their word does.

use chrono::{DateTime, Utc};

use super::stepping::run_on;
use super::{Track, check_terms};
use crate::{
    Approved, BuildId, By, Change, ChangeRequest, Error, Percent, Phase, RolloutEdit, RolloutId, RolloutSpec,
    RolloutState, Share,
};

impl Track {
    /// Approves what waits of a rollout: a change of its terms, its beginning, or the next step of its plan. Another
    /// person than who edited it last must do it; `break_glass`, which says why, lets them do it themselves.
    ///
    /// # Errors
    /// [`Error::RolloutEnded`]; [`Error::OwnApproval`]; [`Error::NothingToApprove`]; [`Error::RevisionMismatch`] when the
    /// terms were edited since they were seen, and what the waiting change itself is refused for by now.
    pub fn approve(
        &self,
        rollout: RolloutId,
        seen: Option<u32>,
        break_glass: Option<&str>,
        by: By<'_>,
    ) -> Result<Change, Error> {
        let action = match break_glass {
            None => "ota.rollout.approve",
            Some(_) => "ota.rollout.break_glass",
        };
        let approved = || {
            Some(Approved {
                by: by.actor.to_owned(),
                at: by.now,
                break_glass: break_glass.map(ToOwned::to_owned),
            })
        };
        let release = self.only(rollout.into())?;
        require_seen(&release.rollout.spec, rollout, seen)?;
        if release.rollout.spec.waits_since().is_none() {
            return Err(Error::NothingToApprove { rollout });
        }
        if break_glass.is_none() {
            require_another(&release.rollout.spec, rollout, by)?;
        }
        if release.rollout.spec.state == RolloutState::Proposed
            && release.rollout.spec.consent.request.is_none()
        {
            let mut begun = release.rollout.clone();
            begun.spec.consent.approved = approved();
            if begun.spec.may_begin(by.now) {
                return Ok(self.begin(action, release, begun, by.now));
            }
            return self.change_one(rollout, action, |spec| {
                begun.spec.state = RolloutState::Scheduled;
                *spec = begun.spec;
                Ok(())
            });
        }
        self.change_one(rollout, action, |spec| {
            if let Some(request) = spec.consent.request.take() {
                request.edit.apply(spec, by.now)?;
                spec.consent.edited_by = request.by;
                spec.consent.approved = approved();
                return check_terms(spec);
            }
            let run = spec.plan.as_ref().ok_or(Error::NothingToApprove { rollout })?;
            let next = run.advanced(by.now);
            spec.consent.approved = approved();
            run_on(spec, next);
            Ok(())
        })
    }

    /// Refuses what waits of a rollout: a change of its terms is dropped, a proposed rollout is canceled, a plan that waits
    /// for its next step is held.
    ///
    /// # Errors
    /// [`Error::RolloutEnded`], [`Error::NothingToApprove`].
    pub fn deny(&self, rollout: RolloutId, by: By<'_>) -> Result<Change, Error> {
        self.change_one(rollout, "ota.rollout.deny", |spec| {
            if spec.consent.request.take().is_some() {
                return Ok(());
            }
            if spec.state == RolloutState::Proposed {
                spec.state = RolloutState::Canceled;
                return Ok(());
            }
            match &mut spec.plan {
                Some(run) if run.phase() == Phase::WaitingApproval => {
                    run.hold(by.now);
                    Ok(())
                }
                _ => Err(Error::NothingToApprove { rollout }),
            }
        })
    }

    /// Refuses a rollout that was edited since somebody looked at it; `None`: whichever its revision is.
    ///
    /// # Errors
    /// [`Error::RevisionMismatch`], [`Error::RolloutEnded`].
    pub fn require_revision(&self, rollout: RolloutId, seen: Option<u32>) -> Result<(), Error> {
        require_seen(&self.only(rollout.into())?.rollout.spec, rollout, seen)
    }

    /// Whether a rollout must be approved before it begins.
    pub(super) fn waits_to_begin(&self, spec: &RolloutSpec, now: DateTime<Utc>) -> bool {
        let first = spec.plan.as_ref().map(|run| run.plan.first());
        let others = self.unapproved(spec.build, None, now);
        first.is_some_and(|step| step.approve) || self.approval.asks(together(spec.settings.percent, others))
    }

    /// What the build's rollouts that nobody approved take together, all but this one: a large share must not begin as many
    /// small ones.
    fn unapproved(&self, build: BuildId, but: Option<&RolloutSpec>, now: DateTime<Utc>) -> u64 {
        let serving = self.serving.iter().map(|release| &release.rollout.spec);
        let shares = serving
            .filter(|other| other.build == build && other.state.has_begun())
            .filter(|other| other.consent.approved.is_none())
            .map(|other| width_of(other, now));
        let own = but.filter(|own| own.consent.approved.is_none());
        let own = own.map_or(0, |own| width_of(own, now));
        shares.sum::<u64>().saturating_sub(own)
    }

    /// Whether a change of a rollout that has begun needs an approval.
    fn waits_to_change(&self, before: &RolloutSpec, after: &RolloutSpec, now: DateTime<Utc>) -> bool {
        let others = self.unapproved(before.build, Some(before), now);
        let asks = self.approval.asks(together(share_of(after, now), others));
        (asks && widens(before, after, now)) || passes_approval(before, after, now)
    }

    /// Changes the terms; where that widens the release and the package asks for it, only writes down that it is asked for.
    /// An edit voids the approval of what was before, and a change that waits where it is about the same terms.
    pub(super) fn edit_terms(
        &self,
        spec: &mut RolloutSpec,
        edit: RolloutEdit,
        by: By<'_>,
    ) -> Result<(), Error> {
        let before = spec.clone();
        edit.clone().apply(spec, by.now)?;
        if *spec == before {
            return Ok(());
        }
        check_terms(spec)?;
        let editors = by.editors();
        if before.state.has_begun() && self.waits_to_change(&before, spec, by.now) {
            *spec = before;
            let request = ChangeRequest {
                edit,
                by: editors,
                at: by.now,
            };
            let request = request.over(spec.consent.request.take());
            let mut approved = spec.clone();
            request.edit.clone().apply(&mut approved, by.now)?;
            check_terms(&approved)?;
            spec.consent.request = Some(request);
            return Ok(());
        }
        spec.consent.edited_by = editors;
        spec.consent.approved = None;
        spec.consent.request = before
            .consent
            .request
            .filter(|waiting| !waiting.edit.meets(&edit));
        if before.state == RolloutState::Scheduled && self.waits_to_begin(spec, by.now) {
            spec.state = RolloutState::Proposed;
        }
        Ok(())
    }
}

/// Shares of one build taken together, at most the whole.
fn together(share: Percent, others: u64) -> Percent {
    let all = u64::from(share.share().get()).saturating_add(others);
    Percent::of_share(u32::try_from(all).map_or(Share::WHOLE, Share::within))
}

fn width_of(spec: &RolloutSpec, now: DateTime<Utc>) -> u64 {
    share_of(spec, now).share().get().into()
}

/// The largest share that the rollout takes before something else is approved.
fn share_of(spec: &RolloutSpec, now: DateTime<Utc>) -> Percent {
    spec.settings.percent.max(Percent::of_share(spec.share(now)))
}

/// Whether devices may be offered the build that were not before, or other rollouts lose devices.
fn widens(before: &RolloutSpec, after: &RolloutSpec, now: DateTime<Utc>) -> bool {
    let (old, new) = (&before.settings, &after.settings);
    share_of(after, now) > share_of(before, now)
        || new.audience != old.audience
        || new.slice != old.slice
        || after.priority > before.priority
        || after.plan.as_ref().map(|run| &run.plan) != before.plan.as_ref().map(|run| &run.plan)
        || after.gate.map(|gate| gate.terms) != before.gate.map(|gate| gate.terms)
}

/// Whether a change goes past a step that asks for an approval of its own, or takes the asking away.
fn passes_approval(before: &RolloutSpec, after: &RolloutSpec, now: DateTime<Utc>) -> bool {
    let Some(free) = before.plan.as_ref().map(|run| run.free_share()) else {
        return false;
    };
    let free = free.max(before.share(now));
    after.share(now) > free || after.plan.as_ref().is_none_or(|run| run.free_share() > free)
}

fn require_seen(spec: &RolloutSpec, rollout: RolloutId, seen: Option<u32>) -> Result<(), Error> {
    let revision = spec.revision;
    match seen {
        Some(seen) if seen != revision => Err(Error::RevisionMismatch {
            rollout,
            seen,
            revision,
        }),
        _ => Ok(()),
    }
}

fn require_another(spec: &RolloutSpec, rollout: RolloutId, by: By<'_>) -> Result<(), Error> {
    let consent = &spec.consent;
    let editors = consent
        .request
        .as_ref()
        .map_or(&consent.edited_by, |request| &request.by);
    match editors.iter().any(|editor| editor == by.actor) {
        true => Err(Error::OwnApproval { rollout }),
        false => Ok(()),
    }
}
