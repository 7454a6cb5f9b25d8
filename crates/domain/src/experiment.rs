//! Experiments: builds tried side by side on slices of the fleet that don't overlap.
//!
//! Each arm of an experiment is a rollout above the base to the whole of its own slice, so pausing, halting and ending an
//! arm, its statistics and the poll's decision are those of any rollout. What an experiment adds is that its slices follow
//! one another, that they stay as they are, and that all arms end together. The hold-out is no rollout: its devices are
//! passed on like all others that no arm takes.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::track::{check_name, check_percent, check_terms, in_state};
use crate::{
    Audience, Build, BuildId, By, Consent, Error, ExperimentId, MAX_PRIORITY, PackageName, Percent, Position,
    Promotion, Release, Rollout, RolloutId, RolloutSettings, RolloutSpec, RolloutState, Share, Slice, Track,
};

/// The fewest arms of an experiment.
pub const MIN_ARMS: usize = 2;

/// The most arms of an experiment.
pub const MAX_ARMS: usize = 8;

/// The priority of an experiment's arms unless another is named.
pub const DEFAULT_EXPERIMENT_PRIORITY: u32 = 100;

/// An experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Its number.
    pub id: ExperimentId,
    /// Everything else about it, but for its arms.
    pub spec: ExperimentSpec,
}

/// An experiment without its number, which storage gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentSpec {
    /// The package that it tries builds of.
    pub package: PackageName,
    /// What people call it; may be empty.
    pub name: String,
    /// The priority of its arms, above 0.
    pub priority: u32,
    /// The devices that all slices are taken of.
    pub audience: Audience,
    /// Hashed into every position.
    pub salt: Option<String>,
    /// Where the first arm's slice begins.
    pub start: Position,
    /// The devices that are compared with the arms and offered none of their builds.
    pub holdout: Option<Slice>,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// How it ended; none while it runs.
    pub conclusion: Option<Conclusion>,
}

impl ExperimentSpec {
    /// The device's position in this experiment.
    pub fn position(&self, device_id: &str) -> Position {
        Position::of(device_id, self.salt.as_deref())
    }

    /// Whether the hold-out has the device at this position.
    pub fn holds_out(&self, position: Position) -> bool {
        self.holdout
            .is_some_and(|slice| slice.takes(position, Share::WHOLE))
    }
}

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// The build that was made the base, and its share; none when the arms were only ended.
    pub promoted: Option<(BuildId, Percent)>,
    /// The subject of the credential that concluded it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// What an operator says when beginning an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentDraft {
    /// What people call it; may be empty.
    pub name: String,
    /// The priority of its arms, above 0.
    pub priority: u32,
    /// The devices that all slices are taken of.
    pub audience: Audience,
    /// Hashed into every position when present.
    pub salt: Option<String>,
    /// [`MIN_ARMS`] to [`MAX_ARMS`] of them, each with a build of its own.
    pub arms: Vec<ArmDraft>,
    /// How much of the fleet is only compared with.
    pub holdout: Option<Share>,
    /// Where the first slice begins; none to begin where the package's last automatic slice ended.
    pub start: Option<Position>,
}

/// An arm that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmDraft {
    /// The build that it offers.
    pub build: BuildId,
    /// How much of the fleet it has.
    pub width: Share,
    /// What people call it; may be empty.
    pub name: String,
}

/// Which arm won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The one that offers this build.
    Build(BuildId),
    /// This one.
    Rollout(RolloutId),
}

/// What an operator says when concluding an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConclusionDraft {
    /// The arm whose build becomes the base; none to end the arms and do nothing else.
    pub winner: Option<Winner>,
    /// The share of the new base.
    pub percent: Percent,
}

/// What a transition of an experiment decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentChange {
    /// The audit log's word for it: `experiment.create` or `experiment.conclude`.
    pub action: &'static str,
    /// The experiment as it is from now on.
    pub experiment: ExperimentSpec,
    /// Existing rollouts in their new shape.
    pub updates: Vec<Rollout>,
    /// The rollouts to add: the arms in their order, which have no number of the experiment yet, or the new base.
    pub insert: Vec<RolloutSpec>,
    /// Where the next automatic slice begins from now on, if that changes.
    pub next_slice_start: Option<Position>,
}

/// What asking for an experiment comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExperimentStart {
    /// One runs already on these very terms.
    Running(ExperimentId),
    /// It is to be made.
    New(Box<ExperimentChange>),
}

/// An experiment in the audit log's few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExperimentFacts {
    /// Its number.
    pub experiment_id: ExperimentId,
    /// The package.
    pub package_name: PackageName,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The priority of its arms.
    pub priority: u32,
    /// The devices that all slices are taken of.
    pub audience: Audience,
    /// Hashed into every position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The arms in their order.
    pub arms: Vec<ArmFacts>,
    /// The hold-out's slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Slice>,
    /// Whether it runs.
    pub running: bool,
    /// The build that became the base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner_build_id: Option<BuildId>,
    /// The share that it was promoted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_percent: Option<Percent>,
}

/// An arm in the audit log's few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmFacts {
    /// Its rollout.
    pub rollout_id: RolloutId,
    /// The build.
    pub build_id: BuildId,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The rollout's state.
    pub state: RolloutState,
    /// Its slice.
    pub slice: Slice,
}

impl ExperimentFacts {
    /// An experiment with these arms.
    pub fn of(id: ExperimentId, spec: &ExperimentSpec, arms: &[Rollout]) -> Self {
        let promoted = spec
            .conclusion
            .as_ref()
            .and_then(|conclusion| conclusion.promoted);
        Self {
            experiment_id: id,
            package_name: spec.package.clone(),
            name: spec.name.clone(),
            priority: spec.priority,
            audience: spec.audience.clone(),
            salt: spec.salt.clone(),
            arms: arms.iter().map(ArmFacts::of).collect(),
            holdout: spec.holdout,
            running: spec.conclusion.is_none(),
            winner_build_id: promoted.map(|(build, _)| build),
            rollout_percent: promoted.map(|(_, percent)| percent),
        }
    }
}

impl ArmFacts {
    fn of(arm: &Rollout) -> Self {
        Self {
            rollout_id: arm.id,
            build_id: arm.spec.build,
            name: arm.spec.name.clone(),
            state: arm.spec.state,
            slice: arm.spec.settings.slice,
        }
    }
}

impl ExperimentDraft {
    /// Checks what can be checked without the package's track.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too few or too many arms, two of one build, widths that are 0 or together more than all of
    /// the fleet, a name that is too long, and a priority that is a base's or too high.
    pub fn check(&self) -> Result<(), Error> {
        check_name(&self.name)?;
        if !(1..=MAX_PRIORITY).contains(&self.priority) {
            let fault = format!("must be from 1 to {MAX_PRIORITY}: arms are asked before the base");
            return Err(Error::invalid("priority", fault));
        }
        if !(MIN_ARMS..=MAX_ARMS).contains(&self.arms.len()) {
            let fault = format!("must be {MIN_ARMS} to {MAX_ARMS}, not {}", self.arms.len());
            return Err(Error::invalid("arms", fault));
        }
        for (at, arm) in self.arms.iter().enumerate() {
            if self.arms[..at].iter().any(|earlier| earlier.build == arm.build) {
                let fault = format!(
                    "must each have a build of its own: two offer build {}, and no device could tell them apart",
                    arm.build
                );
                return Err(Error::invalid("arms", fault));
            }
            if arm.width.get() == 0 {
                return Err(Error::invalid("arms", "must each be wider than 0 %"));
            }
        }
        if self.holdout.is_some_and(|width| width.get() == 0) {
            return Err(Error::invalid("holdout_percent", "must be above 0, or left out"));
        }
        self.width().map(drop)
    }

    /// How much of the fleet all slices are.
    fn width(&self) -> Result<Share, Error> {
        let widths = self.arms.iter().map(|arm| arm.width).chain(self.holdout);
        let units: u64 = widths.map(|width| u64::from(width.get())).sum();
        i64::try_from(units)
            .ok()
            .and_then(|units| Share::new(units).ok())
            .ok_or_else(|| {
                let fault = format!(
                    "and the hold-out take {} % of the fleet: at most 100 % can be given out",
                    Hundredths(units)
                );
                Error::invalid("arms", fault)
            })
    }
}

/// Hundred-millionths as a percentage with two decimals, rounded up: what is too much shall not read as 100.
struct Hundredths(u64);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0.div_ceil(10_000);
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl Track {
    /// Begins an experiment: each arm becomes a rollout above the base to all of its own slice. The slices follow one
    /// another, and the hold-out's comes last. `builds` are those that arms offer, `attempts` tells how often one was
    /// released before, and `running` are the experiments whose arms serve. One that runs on the very same terms is not
    /// made again.
    ///
    /// # Errors
    /// As [`ExperimentDraft::check`]; [`Error::Invalid`] for a build that isn't the package's, and for a bad name or
    /// salt; [`Error::TooManyServing`]; [`Error::ApprovalUnsupported`].
    pub fn start_experiment(
        &self,
        draft: &ExperimentDraft,
        builds: &[Build],
        running: &[Experiment],
        attempts: impl Fn(BuildId) -> u32,
        by: By<'_>,
    ) -> Result<ExperimentStart, Error> {
        draft.check()?;
        for arm in &draft.arms {
            self.require_own(arm.build, builds)?;
            self.require_no_approval(Percent::of_share(arm.width))?;
        }
        if let Some(same) = running.iter().find(|running| self.is_same(running, draft)) {
            return Ok(ExperimentStart::Running(same.id));
        }
        self.check_room(draft.arms.len(), &[])?;
        let start = draft.start.unwrap_or(self.next_slice_start);
        let mut next = start;
        let mut insert = Vec::with_capacity(draft.arms.len());
        for arm in &draft.arms {
            let spec = self.arm(draft, arm, next, attempts(arm.build), by);
            check_terms(&spec)?;
            insert.push(spec);
            next = next.advanced_by(arm.width);
        }
        let holdout = draft.holdout.map(|width| Slice { start: next, width });
        Ok(ExperimentStart::New(Box::new(ExperimentChange {
            action: "experiment.create",
            experiment: ExperimentSpec {
                package: self.package.clone(),
                name: draft.name.clone(),
                priority: draft.priority,
                audience: draft.audience.clone(),
                salt: draft.salt.clone(),
                start,
                holdout,
                created_by: by.actor.to_owned(),
                created_at: by.now,
                conclusion: None,
            },
            updates: vec![],
            insert,
            next_slice_start: match draft.start {
                None => Some(start.advanced_by(draft.width()?)),
                Some(_) => None,
            },
        })))
    }

    fn require_own(&self, id: BuildId, builds: &[Build]) -> Result<(), Error> {
        let own = |build: &&Build| build.id == id && build.facts.package == self.package;
        match builds.iter().find(own) {
            Some(_) => Ok(()),
            None => {
                let fault = format!("must be of {}: build {id} is another package's", self.package);
                Err(Error::invalid("arms", fault))
            }
        }
    }

    /// The rollout of an arm.
    fn arm(
        &self,
        draft: &ExperimentDraft,
        arm: &ArmDraft,
        start: Position,
        attempts: u32,
        by: By<'_>,
    ) -> RolloutSpec {
        RolloutSpec {
            package: self.package.clone(),
            build: arm.build,
            name: arm.name.clone(),
            priority: draft.priority,
            revision: 1,
            state: RolloutState::Active,
            is_current: false,
            settings: RolloutSettings {
                slice: Slice {
                    start,
                    width: arm.width,
                },
                salt: draft.salt.clone(),
                audience: draft.audience.clone(),
                ..RolloutSettings::to(Percent::EVERYBODY)
            },
            retry_generation: attempts.max(1),
            previous: None,
            rolled_back_from: None,
            takes_back: None,
            experiment: None,
            plan: None,
            gate: None,
            consent: Consent {
                edited_by: by.editors(),
                ..Consent::default()
            },
            keep_previous: true,
            created_by: by.actor.to_owned(),
            created_at: by.now,
        }
    }

    /// Arms begin at once, and so does the winner: neither can wait for an approval.
    fn require_no_approval(&self, share: Percent) -> Result<(), Error> {
        if !self.approval.asks(share) {
            return Ok(());
        }
        let package = self.package.to_string();
        Err(Error::ApprovalUnsupported { package, share })
    }

    /// The arms of an experiment that serve, in their order.
    fn arms_of(&self, experiment: ExperimentId) -> Vec<&Release> {
        let own = |release: &&Release| release.rollout.spec.experiment == Some(experiment);
        let mut arms: Vec<&Release> = self.serving.iter().filter(own).collect();
        arms.sort_by_key(|release| release.rollout.id);
        arms
    }

    /// Whether a running experiment is what is asked for, and nobody changed an arm of it. Where its slices began by
    /// themselves is not asked for.
    fn is_same(&self, running: &Experiment, draft: &ExperimentDraft) -> bool {
        let spec = &running.spec;
        let arms = self.arms_of(running.id);
        let is_same_arm = |(arm, wanted): (&&Release, &ArmDraft)| {
            let RolloutSpec {
                build,
                name,
                state,
                settings,
                ..
            } = &arm.rollout.spec;
            *build == wanted.build
                && *name == wanted.name
                && settings.slice.width == wanted.width
                && settings.percent == Percent::EVERYBODY
                && *state == RolloutState::Active
        };
        spec.conclusion.is_none()
            && spec.name == draft.name
            && spec.priority == draft.priority
            && spec.audience == draft.audience
            && spec.salt == draft.salt
            && spec.holdout.map(|slice| slice.width) == draft.holdout
            && draft.start.is_none_or(|start| spec.start == start)
            && arms.len() == draft.arms.len()
            && arms.iter().zip(&draft.arms).all(is_same_arm)
    }

    /// Concludes an experiment: all of its arms end, and the winner's build becomes the base, as [`Track::promote`] tells,
    /// with the terms of its arm but to everybody. Without a winner the arms only end. `arms` are all that the experiment
    /// ever had, and `attempts` tells how often a build was released before. The same conclusion again changes nothing.
    ///
    /// # Errors
    /// [`Error::ExperimentEnded`] when it was concluded otherwise; [`Error::RolloutEnded`] when the winner's arm was ended;
    /// [`Error::Invalid`] for a winner that is no arm or is halted, and for a share of 0; [`Error::ApprovalUnsupported`].
    pub fn conclude(
        &self,
        experiment: &Experiment,
        arms: &[Rollout],
        draft: ConclusionDraft,
        attempts: impl Fn(BuildId) -> u32,
        by: By<'_>,
    ) -> Result<ExperimentChange, Error> {
        check_percent(draft.percent)?;
        let winner = draft.winner.map(|winner| winner.among(arms)).transpose()?;
        let promoted = winner.map(|arm| (arm.spec.build, draft.percent));
        let mut change = ExperimentChange {
            action: "experiment.conclude",
            experiment: experiment.spec.clone(),
            updates: vec![],
            insert: vec![],
            next_slice_start: None,
        };
        if let Some(conclusion) = &experiment.spec.conclusion {
            return match conclusion.promoted == promoted {
                true => Ok(change),
                false => Err(Error::ExperimentEnded {
                    experiment: experiment.id,
                }),
            };
        }
        let serving = self.arms_of(experiment.id);
        for arm in &serving {
            let next = match winner.is_some_and(|winner| winner.id == arm.rollout.id) {
                true => RolloutState::Superseded,
                false => RolloutState::Canceled,
            };
            change.updates.push(in_state(&arm.rollout, next, by.now));
        }
        if let Some(winner) = winner {
            self.require_no_approval(draft.percent)?;
            let arm = winning(&serving, winner)?;
            let base = self.without(experiment.id).promote(
                &arm.build,
                &as_base(arm, draft.percent),
                attempts(arm.build.id),
                by,
            )?;
            change.updates.extend(base.updates);
            change.insert = base.insert;
        }
        change.experiment.conclusion = Some(Conclusion {
            promoted,
            by: by.actor.to_owned(),
            at: by.now,
        });
        Ok(change)
    }

    /// The track as if these arms had ended, so that they take no room from the new base.
    fn without(&self, experiment: ExperimentId) -> Self {
        let mut rest = self.clone();
        rest.serving
            .retain(|release| release.rollout.spec.experiment != Some(experiment));
        rest
    }
}

/// The winner's arm, which must not have been stopped as bad.
fn winning<'a>(serving: &[&'a Release], winner: &Rollout) -> Result<&'a Release, Error> {
    let arm = serving.iter().find(|arm| arm.rollout.id == winner.id);
    let arm = arm.ok_or(Error::RolloutEnded { rollout: winner.id })?;
    if arm.rollout.spec.state == RolloutState::Halted {
        let fault = format!(
            "must not be halted: resume rollout {} first if its build is good",
            winner.id
        );
        return Err(Error::invalid("winner", fault));
    }
    Ok(arm)
}

/// The promotion of an arm's build to everybody.
fn as_base(arm: &Release, percent: Percent) -> Promotion {
    let settings = &arm.rollout.spec.settings;
    Promotion {
        settings: RolloutSettings {
            wifi_only: settings.wifi_only,
            must_install: settings.must_install,
            calendars: settings.calendars.clone(),
            install: settings.install.clone(),
            ..RolloutSettings::to(percent)
        },
        keep_previous: false,
        retry_failed: false,
        auto_start: false,
        plan: None,
        gate: None,
    }
}

impl Winner {
    fn among(self, arms: &[Rollout]) -> Result<&Rollout, Error> {
        let is_named = |arm: &&Rollout| match self {
            Self::Build(build) => arm.spec.build == build,
            Self::Rollout(rollout) => arm.id == rollout,
        };
        arms.iter().find(is_named).ok_or_else(|| {
            let fault = "must be the build or the rollout of one of the arms, or \"none\"";
            Error::invalid("winner", fault)
        })
    }
}
