//! What an operator asks for, and what comes of it: the words in which verbs of a [`Track`](crate::Track) are said.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    Audience, Build, BuildId, Error, InstallTermsEdit, Percent, Position, Release, Rollout, RolloutId,
    RolloutSettings, RolloutSpec, RolloutState, Slice, VersionCode,
};

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
    /// Begin the slice where the last automatic one ended, whatever the settings say of its start.
    pub auto_start: bool,
}

/// What an operator says when making a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutDraft {
    /// What people call it; may be empty.
    pub name: String,
    /// Whom it is asked before; 0 makes it the package's base, as promoting does.
    pub priority: u32,
    /// To whom and how.
    pub promotion: Promotion,
}

/// The terms of a rollout that an operator changes; those left out stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutEdit {
    /// What people call it.
    pub name: Option<String>,
    /// Whom it is asked before.
    pub priority: Option<u32>,
    /// Whom it addresses.
    pub audience: Option<Audience>,
    /// The part of all positions that the share is taken of.
    pub slice: Option<Slice>,
    /// The share.
    pub percent: Option<Percent>,
    /// Download over Wi-Fi only.
    pub wifi_only: Option<bool>,
    /// Shorten the waiting on the device.
    pub must_install: Option<bool>,
    /// What a device waits for before it installs.
    pub install: InstallTermsEdit,
}

impl RolloutEdit {
    /// Only the share.
    pub fn percent(percent: Percent) -> Self {
        Self {
            percent: Some(percent),
            ..Self::default()
        }
    }

    pub(crate) fn apply(self, spec: &mut RolloutSpec) {
        fn set<T>(term: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *term = value;
            }
        }
        set(&mut spec.name, self.name);
        set(&mut spec.priority, self.priority);
        set(&mut spec.settings.audience, self.audience);
        set(&mut spec.settings.slice, self.slice);
        set(&mut spec.settings.percent, self.percent);
        set(&mut spec.settings.wifi_only, self.wifi_only);
        set(&mut spec.settings.must_install, self.must_install);
        self.install.apply(&mut spec.settings.install);
    }
}

/// How a verb names what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The rollouts of this build that serve.
    Build(BuildId),
    /// This rollout.
    Rollout(RolloutId),
}

impl From<BuildId> for Which {
    fn from(build: BuildId) -> Self {
        Self::Build(build)
    }
}

impl From<RolloutId> for Which {
    fn from(rollout: RolloutId) -> Self {
        Self::Rollout(rollout)
    }
}

impl Which {
    pub(crate) fn names(self, release: &Release) -> bool {
        match self {
            Self::Build(build) => release.build.id == build,
            Self::Rollout(rollout) => release.rollout.id == rollout,
        }
    }

    /// The refusal when nothing that serves is named.
    pub(crate) fn not_serving(self) -> Error {
        match self {
            Self::Build(build) => Error::NotServing { build },
            Self::Rollout(rollout) => Error::RolloutEnded { rollout },
        }
    }
}

/// What a transition decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The audit log's word for it, such as `ota.promote`.
    pub action: &'static str,
    /// Existing rollouts in their new shape.
    pub updates: Vec<Rollout>,
    /// The rollouts to add.
    pub insert: Vec<RolloutSpec>,
    /// Where the next automatic slice begins from now on, if that changes.
    pub next_slice_start: Option<Position>,
    /// How the package's offer stood before; `None` when nothing was offered.
    pub before: Option<OfferFacts>,
    /// How it stands afterwards.
    pub after: OfferFacts,
}

impl Change {
    /// Whether there is nothing to write, because all is already as asked.
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.insert.is_empty()
    }
}

/// An offer in the audit log's few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferFacts {
    /// The rollout; none while it has no number yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<RolloutId>,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its priority; 0 for a base.
    pub priority: u32,
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
    pub(crate) fn of(spec: &RolloutSpec, build: &Build) -> Self {
        Self {
            rollout_id: None,
            name: spec.name.clone(),
            priority: spec.priority,
            build_id: build.id,
            version_code: build.facts.version_code,
            version_name: build.facts.version_name.clone(),
            state: spec.state,
            settings: spec.settings.clone(),
            force_downgrade: spec.takes_back.is_some(),
        }
    }

    pub(crate) fn of_rollout(rollout: &Rollout, build: &Build) -> Self {
        Self {
            rollout_id: Some(rollout.id),
            ..Self::of(&rollout.spec, build)
        }
    }
}
