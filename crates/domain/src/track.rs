//! A package's track of releases, and every change that an operator can make to it, as pure transitions.
//!
//! Each verb looks at the track as it stands and returns a [`Change`]: which rollouts take a new shape, which one
//! is new, and what the audit log is to say. Nothing is changed in place; storage applies the whole change in
//! one transaction or none of it. A change that would alter nothing comes back empty, so that a retried request
//! does no harm and leaves no second entry in the audit log.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    Build, BuildId, Error, PackageName, Percent, Release, Rollout, RolloutId, RolloutSettings, RolloutSpec,
    RolloutState, SdkLevel, SignerFingerprint, Signers, VersionCode, cohort::MAX_SALT_BYTES,
};

/// How many rollouts of one package may serve side by side. Each costs every poll of the package a look.
pub const MAX_SERVING: usize = 8;

/// The rollouts of one package that serve, with what polls and changes are judged by besides. The catalog is made of
/// tracks, and every verb looks at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The package.
    pub package: PackageName,
    /// The rollouts that serve, in the order in which polls ask them: the current one, then the others from the newest
    /// to the oldest.
    pub serving: Vec<Release>,
    /// The release that the current rollout names as its predecessor.
    pub predecessor: Option<Release>,
    /// The signers of every build of the package, by ascending version code.
    pub known_signers: KnownSigners,
}

/// Who asks for a change, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The subject of the credential.
    pub actor: &'a str,
    /// The time of the change.
    pub now: DateTime<Utc>,
}

/// What an operator says when releasing a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// To whom and how.
    pub settings: RolloutSettings,
    /// Let the rollouts that serve now go on, for the devices that the new one does not take.
    pub keep_previous: bool,
    /// Offer the build anew to devices that gave it up for good.
    pub retry_failed: bool,
}

/// What a transition decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The audit log's word for it, such as `ota.promote`.
    pub action: &'static str,
    /// Existing rollouts in their new shape.
    pub updates: Vec<Rollout>,
    /// The rollout to add, if any. It becomes the current one.
    pub insert: Option<RolloutSpec>,
    /// How the package's offer stood before; `None` when nothing was offered.
    pub before: Option<OfferFacts>,
    /// How it stands afterwards.
    pub after: OfferFacts,
}

impl Change {
    /// Whether there is nothing to write, because all is already as asked.
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.insert.is_none()
    }
}

/// An offer in the audit log's few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferFacts {
    /// The build.
    pub build_id: BuildId,
    /// Its version code.
    pub version_code: VersionCode,
    /// Its version name.
    pub version_name: String,
    /// The rollout's state.
    pub state: RolloutState,
    /// To whom and how.
    #[serde(flatten)]
    pub settings: RolloutSettings,
    /// Whether devices are taken back from a higher version.
    pub force_downgrade: bool,
}

impl OfferFacts {
    fn of(spec: &RolloutSpec, build: &Build) -> Self {
        Self {
            build_id: build.id,
            version_code: build.facts.version_code,
            version_name: build.facts.version_name.clone(),
            state: spec.state,
            settings: spec.settings.clone(),
            force_downgrade: spec.takes_back.is_some(),
        }
    }
}

impl Track {
    /// A package that releases nothing yet.
    pub fn empty(package: PackageName) -> Self {
        Self {
            package,
            serving: Vec::new(),
            predecessor: None,
            known_signers: KnownSigners::new(),
        }
    }

    /// The current release.
    pub fn current(&self) -> Option<&Release> {
        self.serving
            .first()
            .filter(|release| release.rollout.spec.is_current)
    }

    /// The rollouts of a build that serve.
    fn rollouts_of(&self, build: BuildId) -> impl Iterator<Item = &Release> {
        self.serving
            .iter()
            .filter(move |release| release.build.id == build)
    }

    /// The only rollout of a build that serves.
    fn rollout_of(&self, build: BuildId) -> Result<&Release, Error> {
        let mut candidates = self.rollouts_of(build);
        let only = candidates.next().ok_or(Error::NotServing { build })?;
        if candidates.next().is_none() {
            return Ok(only);
        }
        Err(Error::SeveralServing {
            build,
            rollouts: self
                .rollouts_of(build)
                .map(|release| release.rollout.id)
                .collect(),
        })
    }

    /// The signer that a device of this level sees on the version it runs, if the server holds that version.
    pub(crate) fn signer_of(&self, version: VersionCode, sdk: Option<SdkLevel>) -> Option<SignerFingerprint> {
        let at = self
            .known_signers
            .binary_search_by_key(&version, |(version, _)| *version)
            .ok()?;
        Some(self.known_signers[at].1.seen_by(sdk))
    }

    /// Releases a build to a share of the fleet. `attempts` is how often the build was released before.
    ///
    /// Without `keep_previous` every rollout that serves now ends, so that a device outside the new share is
    /// offered nothing. Promoting what is already current with the same settings changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a share of 0, an over-long salt or audience; [`Error::TooManyServing`].
    pub fn promote(
        &self,
        build: &Build,
        promotion: &Promotion,
        attempts: u32,
        by: By<'_>,
    ) -> Result<Change, Error> {
        check_settings(&promotion.settings)?;
        let current = self.current();
        let before = current.map(|release| OfferFacts::of(&release.rollout.spec, &release.build));
        let spec = RolloutSpec {
            package: self.package.clone(),
            build: build.id,
            state: RolloutState::Active,
            is_current: true,
            settings: promotion.settings.clone(),
            retry_generation: if promotion.retry_failed {
                attempts.saturating_add(1)
            } else {
                attempts.max(1)
            },
            previous: self.predecessor_for(build.id),
            rolled_back_from: None,
            takes_back: None,
            created_by: by.actor.to_owned(),
            created_at: by.now,
        };
        let after = OfferFacts::of(&spec, build);
        let unchanged = current.is_some_and(|release| {
            let now = &release.rollout.spec;
            let same_offer = now.build == build.id
                && now.settings == spec.settings
                && now.state == spec.state
                && now.takes_back.is_none();
            let nothing_to_end = promotion.keep_previous || self.serving.len() == 1;
            same_offer && nothing_to_end && !promotion.retry_failed
        });
        if unchanged {
            return Ok(Change {
                action: "ota.promote",
                updates: vec![],
                insert: None,
                before,
                after,
            });
        }
        let updates = self.supersede(promotion.keep_previous, build.facts.version_code)?;
        Ok(Change {
            action: "ota.promote",
            updates,
            insert: Some(spec),
            before,
            after,
        })
    }

    /// The rollout that a promotion of `build` would go back to: the current one, unless that offers the same build
    /// or was found bad by a health gate; then whatever that one would have gone back to. It never offers `build`
    /// itself, or rolling back would offer anew what is being taken back.
    fn predecessor_for(&self, build: BuildId) -> Option<RolloutId> {
        let current = &self.current()?.rollout;
        if current.spec.build != build && current.spec.state != RolloutState::Halted {
            return Some(current.id);
        }
        match &self.predecessor {
            Some(earlier) if earlier.build.id == build => earlier.rollout.spec.previous,
            _ => current.spec.previous,
        }
    }

    /// The rollouts that change when one of this version becomes current. Without `keep` all of them are superseded. With
    /// it they go on serving beside the new one, and none takes devices back from a version that is being released again.
    fn supersede(&self, keep: bool, version: VersionCode) -> Result<Vec<Rollout>, Error> {
        if keep && self.serving.len() >= MAX_SERVING {
            return Err(Error::TooManyServing {
                package: self.package.to_string(),
                limit: MAX_SERVING,
            });
        }
        let rollouts = self.serving.iter().map(|release| &release.rollout);
        if !keep {
            return Ok(rollouts
                .map(|rollout| in_state(rollout, RolloutState::Superseded))
                .collect());
        }
        Ok(rollouts.filter_map(|rollout| beside(rollout, version)).collect())
    }

    /// Changes the share that a serving build is offered to. Lowering it takes nothing back: it only ends new
    /// offers.
    ///
    /// # Errors
    /// [`Error::Invalid`] for 0 (pause it instead), and below 100 for a completed rollout;
    /// [`Error::NotServing`], [`Error::SeveralServing`].
    pub fn adjust(&self, build: BuildId, percent: Percent) -> Result<Change, Error> {
        check_percent(percent)?;
        self.change_one(build, "ota.rollout.adjust", |spec| {
            if spec.state == RolloutState::Completed && percent != Percent::EVERYBODY {
                return Err(Error::invalid(
                    "rollout_percent",
                    "must stay 100 for a completed rollout; pause it before lowering its share",
                ));
            }
            spec.settings.percent = percent;
            Ok(())
        })
    }

    /// Stops offering a build, in all of its rollouts that serve: their polls answer `paused` until it is resumed. A
    /// rollout that is halted stays so.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::WrongState`].
    pub fn pause(&self, build: BuildId) -> Result<Change, Error> {
        self.stop_all(build, "ota.rollout.pause", RolloutState::Paused)
    }

    /// Offers a paused or halted build again.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::SeveralServing`], [`Error::WrongState`].
    pub fn resume(&self, build: BuildId) -> Result<Change, Error> {
        self.change_one(build, "ota.rollout.resume", |spec| {
            enter(spec, RolloutState::Active)
        })
    }

    /// Stops offering a build that a health gate found bad, in all of its rollouts that serve. A rollout that is paused
    /// stays so.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::WrongState`].
    pub fn halt(&self, build: BuildId) -> Result<Change, Error> {
        self.stop_all(build, "ota.rollout.halt", RolloutState::Halted)
    }

    /// Declares a rollout to everybody done. It goes on serving latecomers.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::SeveralServing`], [`Error::WrongState`]; [`Error::Invalid`] below 100 %.
    pub fn complete(&self, build: BuildId) -> Result<Change, Error> {
        self.change_one(build, "ota.rollout.complete", |spec| {
            if spec.settings.percent != Percent::EVERYBODY {
                return Err(Error::invalid(
                    "rollout_percent",
                    "must be 100 before a rollout is complete",
                ));
            }
            enter(spec, RolloutState::Completed)
        })
    }

    /// Takes the current build back: all of its rollouts end, and its predecessor is offered again with the settings
    /// that it had. A predecessor that is paused or halted stays so: who stopped it as bad doesn't want it released by
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
        if force_downgrade && current.build.facts.signers != target.build.facts.signers {
            return Err(Error::SignerMismatch {
                from: current.build.id,
                to: target.build.id,
            });
        }
        let old = &target.rollout.spec;
        let state = match old.state {
            stopped @ (RolloutState::Paused | RolloutState::Halted) => stopped,
            _ => RolloutState::Active,
        };
        let spec = RolloutSpec {
            state,
            is_current: true,
            rolled_back_from: Some(current.build.id),
            takes_back: force_downgrade.then_some(current.build.facts.version_code),
            created_by: by.actor.to_owned(),
            created_at: by.now,
            ..old.clone()
        };
        let bad = self.rollouts_of(current.build.id);
        let ended = bad.map(|release| in_state(&release.rollout, RolloutState::RolledBack));
        let others = self
            .serving
            .iter()
            .filter(|release| release.build.id != current.build.id);
        let replaced = others.filter_map(|release| {
            if release.rollout.id == target.rollout.id {
                Some(in_state(&release.rollout, RolloutState::Superseded))
            } else {
                beside(&release.rollout, target.build.facts.version_code)
            }
        });
        Ok(Change {
            action: "ota.rollback",
            updates: ended.chain(replaced).collect(),
            before: Some(OfferFacts::of(&current.rollout.spec, &current.build)),
            after: OfferFacts::of(&spec, &target.build),
            insert: Some(spec),
        })
    }

    fn change_one(
        &self,
        build: BuildId,
        action: &'static str,
        edit: impl FnOnce(&mut RolloutSpec) -> Result<(), Error>,
    ) -> Result<Change, Error> {
        let release = self.rollout_of(build)?;
        let mut rollout = release.rollout.clone();
        edit(&mut rollout.spec)?;
        change_of(action, &[(release, rollout)]).ok_or(Error::NotServing { build })
    }

    /// Brings the rollouts of a build into a state that offers nothing. One that may not enter it, because it was
    /// stopped otherwise, stays as it is and keeps the others from nothing; the change is refused when none may.
    fn stop_all(&self, build: BuildId, action: &'static str, state: RolloutState) -> Result<Change, Error> {
        let mut refusal = Error::NotServing { build };
        let mut stopped = Vec::new();
        for release in self.rollouts_of(build) {
            let mut rollout = release.rollout.clone();
            match enter(&mut rollout.spec, state) {
                Ok(()) => stopped.push((release, rollout)),
                Err(error) => refusal = error,
            }
        }
        change_of(action, &stopped).ok_or(refusal)
    }
}

/// A change of rollouts that serve, each with its new shape; `None` when there is none. It is told by the first one
/// that is altered, and those that are as they were are left out.
fn change_of(action: &'static str, shapes: &[(&Release, Rollout)]) -> Option<Change> {
    let is_altered = |(release, rollout): &&(&Release, Rollout)| release.rollout != *rollout;
    let (release, rollout) = shapes.iter().find(is_altered).or(shapes.first())?;
    Some(Change {
        action,
        before: Some(OfferFacts::of(&release.rollout.spec, &release.build)),
        after: OfferFacts::of(&rollout.spec, &release.build),
        insert: None,
        updates: shapes
            .iter()
            .filter(is_altered)
            .map(|(_, rollout)| rollout.clone())
            .collect(),
    })
}

/// The new shape of a rollout that goes on serving beside one of this version, if that alters it: it is not the current
/// one, and takes no device back from a version that is being offered.
fn beside(rollout: &Rollout, version: VersionCode) -> Option<Rollout> {
    let mut beside = in_state(rollout, rollout.spec.state);
    beside.spec.takes_back = beside.spec.takes_back.filter(|taken| *taken != version);
    (beside != *rollout).then_some(beside)
}

fn in_state(rollout: &Rollout, state: RolloutState) -> Rollout {
    let mut rollout = rollout.clone();
    rollout.spec.state = state;
    rollout.spec.is_current = false;
    rollout
}

fn enter(spec: &mut RolloutSpec, state: RolloutState) -> Result<(), Error> {
    let from = spec.state;
    if from != state && !from.may_become(state) {
        return Err(Error::WrongState {
            build: spec.build,
            from,
            to: state,
        });
    }
    spec.state = state;
    Ok(())
}

fn check_settings(settings: &RolloutSettings) -> Result<(), Error> {
    check_percent(settings.percent)?;
    match &settings.salt {
        Some(salt) if salt.is_empty() || salt.len() > MAX_SALT_BYTES => {
            Err(Error::invalid("salt", "must be 1 to 64 bytes, or left out"))
        }
        _ => Ok(()),
    }
}

fn check_percent(percent: Percent) -> Result<(), Error> {
    if percent == Percent::NOBODY {
        return Err(Error::invalid(
            "rollout_percent",
            "must be from 1 to 100, not 0; to stop offering a build, pause its rollout",
        ));
    }
    Ok(())
}

/// The signer of every version of a package that the server holds, for judging what a device runs.
pub type KnownSigners = Vec<(VersionCode, Signers)>;
