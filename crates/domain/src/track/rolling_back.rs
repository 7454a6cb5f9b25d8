//! How a release is taken back, and devices with it.

use chrono::{DateTime, Utc};

use super::{Track, altered, beside, in_state};
use crate::gate::RolloutGate;
use crate::{
    Build, By, Change, Consent, Error, OfferFacts, PlanRun, Release, Rollout, RolloutId, RolloutSettings,
    RolloutSpec, RolloutState, Stage,
};

impl Track {
    /// Takes a rollout back. The current base goes back to its predecessor, as [`Track::roll_back`] tells. Any other one
    /// ends, and its devices are judged by what remains: they keep a higher version, unless `force_downgrade` has the
    /// current base take exactly that version back.
    ///
    /// # Errors
    /// As for [`Track::roll_back`]; [`Error::RolloutEnded`]; [`Error::NoCurrentBuild`] when there is no base to force
    /// devices back to, and [`Error::TakesBackAnother`] when it takes another version back already.
    pub fn roll_back_rollout(
        &self,
        rollout: RolloutId,
        force_downgrade: bool,
        by: By<'_>,
    ) -> Result<Change, Error> {
        let bad = self.only(rollout.into())?;
        if bad.rollout.spec.is_current {
            return self.roll_back(force_downgrade, by);
        }
        let ended = in_state(&bad.rollout, RolloutState::RolledBack, by.now);
        let forced = match force_downgrade {
            true => self.current_that_takes_back(bad)?,
            false => None,
        };
        let mut after = OfferFacts::of_rollout(&ended, &bad.build);
        after.force_downgrade = force_downgrade;
        Ok(Change {
            action: "ota.rollout.roll_back",
            before: Some(OfferFacts::of_rollout(&bad.rollout, &bad.build)),
            after,
            updates: std::iter::once(ended).chain(forced).collect(),
            insert: vec![],
            next_slice_start: None,
        })
    }

    /// The current base in a new shape that takes the version of this release back; none when it offers that version or
    /// a higher one anyway.
    fn current_that_takes_back(&self, bad: &Release) -> Result<Option<Rollout>, Error> {
        let current = self.current().ok_or_else(|| Error::NoCurrentBuild {
            package: self.package.to_string(),
        })?;
        let version = bad.build.facts.version_code;
        if current.build.facts.version_code >= version {
            return Ok(None);
        }
        let offering = |release: &&Release| release.build.id == bad.build.id;
        let offering: Vec<RolloutId> = self
            .bases()
            .filter(offering)
            .map(|release| release.rollout.id)
            .collect();
        if offering.iter().any(|rollout| *rollout != bad.rollout.id) {
            return Err(Error::SeveralServing {
                build: bad.build.id,
                rollouts: offering,
            });
        }
        require_one_signer(&bad.build, &current.build)?;
        let taken = current.rollout.spec.takes_back;
        if let Some(taken) = taken.filter(|taken| *taken != version) {
            return Err(Error::TakesBackAnother {
                rollout: current.rollout.id,
                taken,
            });
        }
        let mut forced = current.rollout.clone();
        forced.spec.takes_back = Some(version);
        Ok(altered(&current.rollout, forced))
    }

    /// Takes the current build back: its bases end, and its predecessor is offered again with the settings that it had. A predecessor that is paused or halted stays so: who stopped it as bad doesn't want it released by
    /// the roll-back of another build.
    ///
    /// Without `force_downgrade`, devices that already updated are left alone. With it, exactly the devices that run the
    /// version that is taken back are offered the predecessor, whatever its share and audience. Both builds must show
    /// every device the same signer, because Android refuses anything else. No rollout goes on taking devices back from
    /// the version that is offered again.
    ///
    /// # Errors
    /// [`Error::NoCurrentBuild`], [`Error::NoPredecessor`], [`Error::SignerMismatch`].
    pub fn roll_back(&self, force_downgrade: bool, by: By<'_>) -> Result<Change, Error> {
        let current = self.current().ok_or_else(|| Error::NoCurrentBuild {
            package: self.package.to_string(),
        })?;
        let target = self.predecessor.as_ref().ok_or_else(|| Error::NoPredecessor {
            package: self.package.to_string(),
            build: current.build.id,
        })?;
        if force_downgrade {
            require_one_signer(&current.build, &target.build)?;
        }
        let old = &target.rollout.spec;
        let state = match old.state {
            stopped @ (RolloutState::Paused | RolloutState::Halted) => stopped,
            _ => RolloutState::Active,
        };
        let spec = RolloutSpec {
            state,
            is_current: true,
            priority: 0,
            revision: 1,
            rolled_back_from: Some(current.build.id),
            takes_back: force_downgrade.then_some(current.build.facts.version_code),
            created_by: by.actor.to_owned(),
            created_at: by.now,
            plan: old.plan.clone().map(|run| offered_again(run, by.now)),
            gate: old.gate.map(|gate| RolloutGate::begun(gate.terms, by.now)),
            // What was approved was approved; what waited then is not asked for now.
            consent: Consent {
                edited_by: by.editors(),
                request: None,
                ..old.consent.clone()
            },
            // An admin allowed it for the rollout that was, and not for this one.
            settings: RolloutSettings {
                ignore_freeze: false,
                ..old.settings.clone()
            },
            ..old.clone()
        };
        let updates = self.bases().filter_map(|release| {
            if release.build.id == current.build.id {
                Some(in_state(&release.rollout, RolloutState::RolledBack, by.now))
            } else if release.rollout.id == target.rollout.id {
                Some(in_state(&release.rollout, RolloutState::Superseded, by.now))
            } else {
                beside(&release.rollout, target.build.facts.version_code, by.now)
            }
        });
        Ok(Change {
            action: "ota.rollback",
            updates: updates.collect(),
            before: Some(OfferFacts::of_rollout(&current.rollout, &current.build)),
            after: OfferFacts::of(&spec, &target.build),
            insert: vec![spec],
            next_slice_start: None,
        })
    }
}

/// The plan of a rollout that is offered again: its share stays as it was until somebody starts it anew.
fn offered_again(mut run: PlanRun, now: DateTime<Utc>) -> PlanRun {
    if run.progress.stage != Stage::Done {
        run.hold(now);
    }
    run
}

fn require_one_signer(from: &Build, to: &Build) -> Result<(), Error> {
    if from.facts.signers == to.facts.signers {
        return Ok(());
    }
    Err(Error::SignerMismatch {
        from: from.id,
        to: to.id,
    })
}
