//! A package's track of releases, and every change that an operator can make to it, as pure transitions.
//!
//! Each verb looks at the track as it stands and returns a [`Change`]: which rollouts take a new shape, which one
//! is new, and what the audit log is to say. Nothing is changed in place; storage applies the whole change in
//! one transaction or none of it. A change that would alter nothing comes back empty, so that a retried request
//! does no harm and leaves no second entry in the audit log.

mod applied;
mod approving;
mod gating;
mod rolling_back;
mod stepping;

use std::cell::OnceCell;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use stepping::{enter_at, require_begun};

use crate::gate::RolloutGate;
use crate::install_terms::check_deadline;
use crate::policy::check_remark;
use crate::{
    Approval, Build, BuildId, By, Change, Consent, Error, MAX_PRIORITY, MAX_ROLLOUT_NAME_BYTES, OfferFacts,
    PackageName, Percent, PlanRun, Position, Promotion, Release, Resume, Rollout, RolloutDraft, RolloutEdit,
    RolloutId, RolloutSettings, RolloutSpec, RolloutState, SdkLevel, Share, SignerFingerprint, Signers,
    Subject, VersionCode, Which, check_visible, cohort::MAX_SALT_BYTES,
};

/// How many rollouts of one package may serve side by side. Each costs every poll of the package a look.
pub const MAX_SERVING: usize = 64;

/// The rollouts of one package that serve, with what polls and changes are judged by besides. The catalog is made of
/// tracks, and every verb looks at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The package.
    pub package: PackageName,
    /// The rollouts that serve, in the order in which polls ask them: by priority from the highest, of one priority the
    /// current one first, then the others from the newest to the oldest.
    pub serving: Vec<Release>,
    /// The builds that devices below them must take before any newer one, by ascending version code.
    pub barriers: Vec<Arc<Build>>,
    /// Where the next automatic slice begins.
    pub next_slice_start: Position,
    /// Which releases wait for a second person.
    pub approval: Approval,
    /// The release that the current rollout names as its predecessor.
    pub predecessor: Option<Release>,
    /// The signers of every build of the package, by ascending version code.
    pub known_signers: KnownSigners,
}

impl Track {
    /// A package that releases nothing yet.
    pub fn empty(package: PackageName) -> Self {
        Self {
            package,
            serving: Vec::new(),
            barriers: Vec::new(),
            next_slice_start: Position::FIRST,
            approval: Approval::Never,
            predecessor: None,
            known_signers: KnownSigners::new(),
        }
    }

    /// The current base.
    pub fn current(&self) -> Option<&Release> {
        self.serving
            .iter()
            .find(|release| release.rollout.spec.is_current)
    }

    /// The rollouts that are asked before any base, in that order. Neither a promotion nor a roll-back of the current
    /// base ends them.
    pub fn above_base(&self) -> impl Iterator<Item = &Release> {
        self.serving
            .iter()
            .filter(|release| release.rollout.spec.priority > 0)
    }

    /// The first of the rollouts that serve which takes this device, by its place in [`Track::serving`]: the device is
    /// one of its own, and it has begun. What the device runs, and whether it is offered anything, is not asked.
    pub fn taken_by(&self, device_id: &str, subject: &Subject<'_>, now: DateTime<Utc>) -> Option<usize> {
        let unsalted = OnceCell::new();
        let takes = |release: &Release| {
            let spec = &release.rollout.spec;
            spec.state.has_begun()
                && spec.settings.audience.includes(subject)
                && spec.takes(spec.settings.position_once(device_id, &unsalted), now)
        };
        self.serving.iter().position(takes)
    }

    fn bases(&self) -> impl Iterator<Item = &Release> {
        self.serving
            .iter()
            .filter(|release| release.rollout.spec.priority == 0)
    }

    /// The rollout that is named, if it is one only.
    fn only(&self, which: Which) -> Result<&Release, Error> {
        let mut candidates = self.serving.iter().filter(|release| which.names(release));
        let only = candidates.next().ok_or_else(|| which.not_serving())?;
        let mut rollouts = vec![only.rollout.id];
        rollouts.extend(candidates.map(|release| release.rollout.id));
        if rollouts.len() == 1 {
            return Ok(only);
        }
        let build = only.build.id;
        Err(Error::SeveralServing { build, rollouts })
    }

    /// The signer that a device of this level sees on the version it runs, if the server holds that version.
    pub(crate) fn signer_of(&self, version: VersionCode, sdk: Option<SdkLevel>) -> Option<SignerFingerprint> {
        let at = self
            .known_signers
            .binary_search_by_key(&version, |(version, _)| *version)
            .ok()?;
        Some(self.known_signers[at].1.seen_by(sdk))
    }

    /// Releases a build to a share of the fleet: makes it the package's base. `attempts` is how often the build was
    /// released before.
    ///
    /// Without `keep_previous` every base that serves now ends, so that a device outside the new share is offered
    /// nothing by them. Rollouts above go on. Promoting what is already current with the same settings changes nothing.
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
        let draft = RolloutDraft {
            name: String::new(),
            priority: 0,
            promotion: promotion.clone(),
        };
        self.create(build, &draft, attempts, by)
    }

    /// Makes a rollout. One of priority 0 becomes the package's base, as [`Track::promote`] tells; one above serves beside
    /// all others until it is ended itself. One that serves already on the same terms is not made again.
    ///
    /// # Errors
    /// As for [`Track::promote`], and [`Error::Invalid`] for a name or priority out of bounds.
    pub fn create(
        &self,
        build: &Build,
        draft: &RolloutDraft,
        attempts: u32,
        by: By<'_>,
    ) -> Result<Change, Error> {
        let promotion = &draft.promotion;
        let is_base = draft.priority == 0;
        let mut spec = RolloutSpec {
            package: self.package.clone(),
            build: build.id,
            name: draft.name.clone(),
            priority: draft.priority,
            revision: 1,
            state: RolloutState::Active,
            is_current: is_base,
            settings: self.begun(promotion),
            retry_generation: if promotion.retry_failed {
                attempts.saturating_add(1)
            } else {
                attempts.max(1)
            },
            previous: is_base.then(|| self.predecessor_for(build.id)).flatten(),
            rolled_back_from: None,
            takes_back: None,
            experiment: None,
            plan: planned(promotion, by.now),
            gate: promotion.gate.map(|terms| RolloutGate::begun(terms, by.now)),
            consent: Consent {
                edited_by: by.editors(),
                ..Consent::default()
            },
            keep_previous: promotion.keep_previous,
            created_by: by.actor.to_owned(),
            created_at: by.now,
        };
        check_terms(&spec)?;
        check_deadline(spec.settings.install.deadline, by.now)?;
        self.put_off(&mut spec, by.now);
        let has_begun = spec.state.has_begun();
        let before = match is_base {
            true if has_begun => self.current(),
            _ => self.like(&spec, promotion),
        };
        let mut change = Change {
            action: if is_base {
                "ota.promote"
            } else {
                "ota.rollout.create"
            },
            updates: vec![],
            insert: vec![],
            next_slice_start: None,
            before: before.map(|release| OfferFacts::of_rollout(&release.rollout, &release.build)),
            after: OfferFacts::of(&spec, build),
        };
        let alike = before.filter(|release| is_alike(&release.rollout.spec, &spec, promotion));
        let nothing_to_end = !is_base || !has_begun || promotion.keep_previous || self.bases().count() == 1;
        if let Some(release) = alike.filter(|_| nothing_to_end && !promotion.retry_failed) {
            change.after = OfferFacts::of_rollout(&release.rollout, &release.build);
            return Ok(change);
        }
        change.updates = match is_base && has_begun {
            true => self.supersede(promotion.keep_previous, build.facts.version_code, by.now),
            false => vec![],
        };
        self.check_room(1, &change.updates)?;
        let settings = &spec.settings;
        change.next_slice_start = promotion
            .auto_start
            .then(|| settings.slice.after(settings.percent.share()));
        change.insert = vec![spec];
        Ok(change)
    }

    /// Lets a rollout wait that must be approved first, or whose first step may not begin yet.
    fn put_off(&self, spec: &mut RolloutSpec, now: DateTime<Utc>) {
        spec.state = if self.waits_to_begin(spec, now) {
            RolloutState::Proposed
        } else if !spec.may_begin(now) {
            RolloutState::Scheduled
        } else {
            return;
        };
        spec.is_current = false;
        spec.previous = None;
    }

    /// The settings of a promotion, with the slice begun where it is to begin by itself.
    fn begun(&self, promotion: &Promotion) -> RolloutSettings {
        let mut settings = promotion.settings.clone();
        if let Some(plan) = &promotion.plan {
            settings.percent = plan.first().percent;
        }
        if promotion.auto_start {
            settings.slice.start = self.next_slice_start;
        }
        settings
    }

    /// A rollout that serves, or waits, on these very terms.
    fn like(&self, spec: &RolloutSpec, promotion: &Promotion) -> Option<&Release> {
        self.serving
            .iter()
            .find(|release| is_alike(&release.rollout.spec, spec, promotion))
    }

    /// Refuses when more rollouts would serve side by side than may.
    pub(crate) fn check_room(&self, added: usize, updates: &[Rollout]) -> Result<(), Error> {
        let ended = updates.iter().filter(|rollout| !rollout.spec.state.serves());
        if self.serving.len() + added - ended.count() <= MAX_SERVING {
            return Ok(());
        }
        Err(Error::TooManyServing {
            package: self.package.to_string(),
            limit: MAX_SERVING,
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

    /// The bases that change when one of this version becomes current. Without `keep` all of them are superseded. With it
    /// they go on serving beside the new one, and none takes devices back from a version that is being released again.
    fn supersede(&self, keep: bool, version: VersionCode, now: DateTime<Utc>) -> Vec<Rollout> {
        let rollouts = self.bases().map(|release| &release.rollout);
        match keep {
            false => rollouts
                .map(|rollout| in_state(rollout, RolloutState::Superseded, now))
                .collect(),
            true => rollouts
                .filter_map(|rollout| beside(rollout, version, now))
                .collect(),
        }
    }

    /// Changes the share that a rollout is offered to. Lowering it takes nothing back: it only ends new offers. A plan is
    /// held there, until it is started anew.
    ///
    /// # Errors
    /// [`Error::Invalid`] for 0 (pause it instead), and below 100 for a completed rollout;
    /// [`Error::NotServing`], [`Error::RolloutEnded`], [`Error::SeveralServing`].
    pub fn adjust(&self, which: impl Into<Which>, percent: Percent, by: By<'_>) -> Result<Change, Error> {
        check_percent(percent)?;
        self.change_one(which, "ota.rollout.adjust", |spec| {
            self.edit_terms(spec, RolloutEdit::percent(percent), by)
        })
    }

    /// Changes a rollout's terms, if its revision is still the one that the caller saw. A rollout stays a base, or above.
    ///
    /// # Errors
    /// [`Error::RevisionMismatch`], [`Error::RolloutEnded`], [`Error::Invalid`]; [`Error::PartOfExperiment`] for an arm's
    /// audience, slice and priority, which stay as they are.
    pub fn edit(
        &self,
        rollout: RolloutId,
        edit: RolloutEdit,
        seen: u32,
        by: By<'_>,
    ) -> Result<Change, Error> {
        self.change_one(rollout, "ota.rollout.edit", |spec| {
            let before = spec.clone();
            let (was_base, revision) = (before.priority == 0, before.revision);
            let asked = before
                .consent
                .request
                .as_ref()
                .is_some_and(|request| request.edit == edit);
            let mut wanted = before.clone();
            edit.clone().apply(&mut wanted, by.now)?;
            if was_base != (wanted.priority == 0) {
                return Err(Error::invalid(
                    "priority",
                    match was_base {
                        true => "must stay 0 for a base; make another rollout to ask it before",
                        false => "must stay above 0; promote the build to make it the base",
                    },
                ));
            }
            require_own_terms(rollout, &before, &wanted)?;
            check_terms(&wanted)?;
            // What is as it should be already, or waits already, may be asked for again.
            if wanted == before || asked {
                return Ok(());
            }
            if revision == seen {
                return self.edit_terms(spec, edit, by);
            }
            Err(Error::RevisionMismatch {
                rollout,
                seen,
                revision,
            })
        })
    }

    /// Stops offering a build, in all of its rollouts that serve, or one rollout: its polls answer `paused` until it is
    /// resumed. A rollout that is halted stays so.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::RolloutEnded`], [`Error::WrongState`].
    pub fn pause(&self, which: impl Into<Which>, by: By<'_>) -> Result<Change, Error> {
        self.stop_all(which.into(), "ota.rollout.pause", RolloutState::Paused, by.now)
    }

    /// Offers a paused or halted build again. Of a halted rollout with a gate all failures must have been seen; its gate
    /// then begins a new segment. `failures` tells how many the gate of a rollout has counted.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::RolloutEnded`], [`Error::SeveralServing`], [`Error::WrongState`];
    /// [`Error::Invalid`] with `acknowledged_failures` or `remark`, [`Error::FailuresGrew`].
    pub fn resume(
        &self,
        which: impl Into<Which>,
        resume: &Resume,
        failures: impl Fn(RolloutId) -> u64,
        by: By<'_>,
    ) -> Result<Change, Error> {
        let which = which.into();
        if let Some(remark) = &resume.remark {
            check_remark(remark)?;
        }
        let rollout = self.only(which)?.rollout.id;
        let mut change = self.change_one(which, "ota.rollout.resume", |spec| {
            require_begun(spec, RolloutState::Active)?;
            if let Some(gate) = spec.gate.as_mut().filter(|_| spec.state == RolloutState::Halted) {
                resume.require_seen(rollout, failures(rollout))?;
                gate.segment = gate.segment.next(by.now);
                (gate.waits, gate.halted) = (None, None);
            }
            enter_at(spec, RolloutState::Active, by.now)
        })?;
        change.after.resumed = resume.clone();
        Ok(change)
    }

    /// Stops offering a build that a health gate found bad, in all of its rollouts that serve, or one rollout. One that is
    /// paused stays so.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::RolloutEnded`], [`Error::WrongState`].
    pub fn halt(&self, which: impl Into<Which>, by: By<'_>) -> Result<Change, Error> {
        self.stop_all(which.into(), "ota.rollout.halt", RolloutState::Halted, by.now)
    }

    /// Declares a rollout to everybody done. It goes on serving latecomers.
    ///
    /// # Errors
    /// [`Error::NotServing`], [`Error::RolloutEnded`], [`Error::SeveralServing`], [`Error::WrongState`];
    /// [`Error::Invalid`] below 100 %.
    pub fn complete(&self, which: impl Into<Which>, by: By<'_>) -> Result<Change, Error> {
        self.change_one(which, "ota.rollout.complete", |spec| {
            if spec.share(by.now) != Share::WHOLE {
                return Err(Error::invalid(
                    "rollout_percent",
                    "must be 100 before a rollout is complete",
                ));
            }
            spec.settings.percent = Percent::EVERYBODY;
            enter_at(spec, RolloutState::Completed, by.now)
        })
    }

    /// Ends a rollout before it is done. Its devices are judged by what remains, and keep what they have installed.
    ///
    /// # Errors
    /// [`Error::RolloutEnded`].
    pub fn cancel(&self, rollout: RolloutId, by: By<'_>) -> Result<Change, Error> {
        self.change_one(rollout, "ota.rollout.cancel", |spec| {
            spec.is_current = false;
            enter_at(spec, RolloutState::Canceled, by.now)
        })
    }

    fn change_one(
        &self,
        which: impl Into<Which>,
        action: &'static str,
        change: impl FnOnce(&mut RolloutSpec) -> Result<(), Error>,
    ) -> Result<Change, Error> {
        let which = which.into();
        let release = self.only(which)?;
        let mut rollout = release.rollout.clone();
        change(&mut rollout.spec)?;
        change_of(action, vec![(release, rollout)]).ok_or_else(|| which.not_serving())
    }

    /// Brings rollouts into a state that offers nothing. One that may not enter it, because it was stopped otherwise, stays
    /// as it is and keeps the others from nothing; the change is refused when none may.
    fn stop_all(
        &self,
        which: Which,
        action: &'static str,
        state: RolloutState,
        now: DateTime<Utc>,
    ) -> Result<Change, Error> {
        let mut refusal = which.not_serving();
        let mut stopped = Vec::new();
        for release in self.serving.iter().filter(|release| which.names(release)) {
            let mut rollout = release.rollout.clone();
            match enter_at(&mut rollout.spec, state, now) {
                Ok(()) => stopped.push((release, rollout)),
                Err(error) => refusal = error,
            }
        }
        change_of(action, stopped).ok_or(refusal)
    }
}

/// A change of rollouts that serve, each with its new shape; `None` when there is none. It is told by the first one
/// that is altered, and those that are as they were are left out.
fn change_of(action: &'static str, shapes: Vec<(&Release, Rollout)>) -> Option<Change> {
    let is_altered = |(release, rollout): &&(&Release, Rollout)| release.rollout != *rollout;
    let (release, rollout) = shapes.iter().find(is_altered).or(shapes.first())?;
    Some(Change {
        action,
        before: Some(OfferFacts::of_rollout(&release.rollout, &release.build)),
        after: OfferFacts::of_rollout(rollout, &release.build),
        insert: vec![],
        next_slice_start: None,
        updates: shapes
            .into_iter()
            .filter_map(|(release, rollout)| altered(&release.rollout, rollout))
            .collect(),
    })
}

/// The new shape under the next revision, if it alters the rollout.
fn altered(before: &Rollout, mut shape: Rollout) -> Option<Rollout> {
    if shape == *before {
        return None;
    }
    shape.spec.revision = before.spec.revision.saturating_add(1);
    Some(shape)
}

/// The new shape of a rollout that goes on serving beside one of this version, if that alters it: it is not the current
/// one, and takes no device back from a version that is being offered.
fn beside(rollout: &Rollout, version: VersionCode, now: DateTime<Utc>) -> Option<Rollout> {
    // One that waits would begin later, and take the place of what is released now.
    if !rollout.spec.state.has_begun() {
        return Some(in_state(rollout, RolloutState::Superseded, now));
    }
    let mut beside = rollout.clone();
    beside.spec.is_current = false;
    beside.spec.takes_back = beside.spec.takes_back.filter(|taken| *taken != version);
    altered(rollout, beside)
}

/// Whether a rollout that serves is what was asked for. Where its slice began by itself is not asked for.
fn is_alike(serving: &RolloutSpec, wanted: &RolloutSpec, promotion: &Promotion) -> bool {
    let mut settings = wanted.settings.clone();
    if promotion.auto_start {
        settings.slice.start = serving.settings.slice.start;
    }
    let plans = [serving, wanted].map(|spec| spec.plan.as_ref().map(|run| &run.plan));
    if plans[0].is_some() {
        settings.percent = serving.settings.percent;
    }
    let gates = [serving, wanted].map(|spec| spec.gate.map(|gate| gate.terms));
    plans[0] == plans[1]
        && gates[0] == gates[1]
        && serving.build == wanted.build
        && serving.experiment == wanted.experiment
        && serving.priority == wanted.priority
        && (wanted.name.is_empty() || serving.name == wanted.name)
        && serving.settings == settings
        && (serving.state.has_begun() || serving.keep_previous == wanted.keep_previous)
        && (serving.state == wanted.state || has_come_of(serving.state, wanted.state))
        && serving.takes_back.is_none()
}

/// Whether what was asked for has begun in the meantime.
fn has_come_of(serving: RolloutState, wanted: RolloutState) -> bool {
    !wanted.has_begun() && serving == RolloutState::Active
}

/// The run of a promotion's plan.
fn planned(promotion: &Promotion, now: DateTime<Utc>) -> Option<PlanRun> {
    let plan = promotion.plan.clone()?;
    Some(PlanRun::begun(plan, Percent::NOBODY.share(), now))
}

pub(crate) fn in_state(rollout: &Rollout, state: RolloutState, now: DateTime<Utc>) -> Rollout {
    let mut ended = rollout.clone();
    ended.spec.state = state;
    if let Some(run) = &mut ended.spec.plan {
        run.stop(now);
    }
    ended.spec.is_current = false;
    drop_request(&mut ended.spec);
    ended.spec.revision = rollout.spec.revision.saturating_add(1);
    ended
}

/// What waits for an approval of a rollout that has ended waits for nothing more.
fn drop_request(spec: &mut RolloutSpec) {
    if !spec.state.serves() {
        spec.consent.request = None;
    }
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
    drop_request(spec);
    Ok(())
}

/// Refuses what would change which devices an arm of an experiment has: its slice is compared with the others'.
fn require_own_terms(rollout: RolloutId, before: &RolloutSpec, after: &RolloutSpec) -> Result<(), Error> {
    let Some(experiment) = before.experiment else {
        return Ok(());
    };
    let is_as_before = before.priority == after.priority
        && before.settings.slice == after.settings.slice
        && before.settings.audience == after.settings.audience;
    match is_as_before {
        true => Ok(()),
        false => Err(Error::PartOfExperiment { rollout, experiment }),
    }
}

/// What a rollout's terms may be, however they came to be.
pub(crate) fn check_terms(spec: &RolloutSpec) -> Result<(), Error> {
    let settings = &spec.settings;
    check_percent(settings.percent)?;
    if spec.state == RolloutState::Completed && settings.percent != Percent::EVERYBODY {
        return Err(Error::invalid(
            "rollout_percent",
            "must stay 100 for a completed rollout; pause it before lowering its share",
        ));
    }
    check_name(&spec.name)?;
    if spec.priority > MAX_PRIORITY {
        let fault = format!("must be from 0 to {MAX_PRIORITY}");
        return Err(Error::invalid("priority", fault));
    }
    match &settings.salt {
        Some(salt) if salt.is_empty() || salt.len() > MAX_SALT_BYTES => {
            Err(Error::invalid("salt", "must be 1 to 64 bytes, or left out"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > MAX_ROLLOUT_NAME_BYTES {
        let fault = format!("is longer than {MAX_ROLLOUT_NAME_BYTES} bytes");
        return Err(Error::invalid("name", fault));
    }
    check_visible("name", name, true)
}

pub(crate) fn check_percent(percent: Percent) -> Result<(), Error> {
    if percent == Percent::NOBODY {
        return Err(Error::invalid(
            "rollout_percent",
            "must be from 0.01 to 100, not 0, unless a plan stands in its place; to stop offering a build, pause its rollout",
        ));
    }
    Ok(())
}

/// The signer of every version of a package that the server holds, for judging what a device runs.
pub type KnownSigners = Vec<(VersionCode, Signers)>;
