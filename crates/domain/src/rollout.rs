//! A rollout: the offer of one build to a share of the fleet, and the states that it may pass through.

use std::cell::OnceCell;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::gate::{RolloutGate, held_back};
use crate::{
    Audience, Build, BuildId, CalendarName, Consent, Error, ExperimentId, InstallTerms, PackageName, Percent,
    Phase, PlanRun, Position, RolloutId, Share, Slice, Stage, VersionCode,
};

/// The longest name of a rollout, in bytes.
pub const MAX_ROLLOUT_NAME_BYTES: usize = 200;

/// The highest priority of a rollout.
pub const MAX_PRIORITY: u32 = 1_000_000;

/// The offer of one build to a share of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number.
    pub id: RolloutId,
    /// Everything else about it.
    #[serde(flatten)]
    pub spec: RolloutSpec,
}

/// A rollout without its number, which storage gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutSpec {
    /// The package that it releases.
    pub package: PackageName,
    /// The build that it offers.
    pub build: BuildId,
    /// What people call it; may be empty.
    pub name: String,
    /// Polls ask rollouts of a higher priority first. A rollout of priority 0 is a base: it is made by promoting a build,
    /// and the next promotion ends it. One above goes on until it is ended itself.
    pub priority: u32,
    /// How often its terms were changed, from 1. Who changes it names the revision that they saw.
    pub revision: u32,
    /// Where it stands.
    pub state: RolloutState,
    /// Whether it is the package's current base. At most one is; others may serve beside it.
    pub is_current: bool,
    /// To whom and how.
    pub settings: RolloutSettings,
    /// How often this build was released anew: devices that gave it up for good try again when it rises.
    pub retry_generation: u32,
    /// The rollout to go back to when this one is rolled back.
    pub previous: Option<RolloutId>,
    /// The build that was rolled back to make this rollout.
    pub rolled_back_from: Option<BuildId>,
    /// The version that this rollout takes devices back from, when a roll-back was forced. It concerns exactly the
    /// devices that run it, whatever the settings say of share and audience.
    pub takes_back: Option<VersionCode>,
    /// The experiment that it is an arm of.
    pub experiment: Option<ExperimentId>,
    /// The steps by which its share grows by itself, and where it stands among them.
    pub plan: Option<PlanRun>,
    /// Whether what devices show halts it, and lets its plan advance.
    pub gate: Option<RolloutGate>,
    /// Who edited and who approved its terms.
    pub consent: Consent,
    /// Whether the bases that serve when it begins go on beside it.
    pub keep_previous: bool,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl RolloutSpec {
    /// The share of its slice that it takes at this time. With a plan it grows up to that of the settings, which is the
    /// present step's.
    pub fn share(&self, now: DateTime<Utc>) -> Share {
        match &self.plan {
            None => self.settings.percent.share(),
            Some(run) => run.share(now).min(self.stays_below().unwrap_or(Share::WHOLE)),
        }
    }

    /// The share that it does not go beyond until the bake of the step at hand has ended, where its gate asks for
    /// devices that stay back. A step that begins beyond it already has none.
    pub fn stays_below(&self) -> Option<Share> {
        let run = self.plan.as_ref()?;
        let asks = self.gate.is_some_and(|gate| gate.terms.settings.holdback);
        if !asks || !matches!(run.progress.stage, Stage::Ramping | Stage::Baking) {
            return None;
        }
        let target = run.step().percent.share();
        let most = held_back(target);
        (most < target && run.share_before() <= most).then_some(most)
    }

    /// Whether the device at this position stays back.
    pub(crate) fn keeps_back(&self, position: Position) -> bool {
        let slice = self.settings.slice;
        self.stays_below().is_some_and(|most| {
            !slice.takes(position, most) && slice.takes(position, self.settings.percent.share())
        })
    }

    /// The same as people are told it: nobody before it has begun.
    pub fn percent(&self, now: DateTime<Utc>) -> Percent {
        match self.state.has_begun() {
            true => Percent::of_share(self.share(now)),
            false => Percent::NOBODY,
        }
    }

    /// Whether it takes the device at this position at this time.
    pub fn takes(&self, position: Position, now: DateTime<Utc>) -> bool {
        self.settings.slice.takes(position, self.share(now))
    }

    /// Whether the time has come at which its first step may begin; one without a plan may at any time.
    pub(crate) fn may_begin(&self, now: DateTime<Utc>) -> bool {
        let first = self.plan.as_ref().map(|run| run.plan.first());
        first
            .and_then(|step| step.not_before)
            .is_none_or(|begin| begin <= now)
    }

    /// Since when something of it waits for somebody's approval.
    pub fn waits_since(&self) -> Option<DateTime<Utc>> {
        if let Some(request) = &self.consent.request {
            return Some(request.at);
        }
        if self.state == RolloutState::Proposed {
            return Some(self.created_at);
        }
        let run = self.plan.as_ref()?;
        (self.phase() == Some(Phase::WaitingApproval)).then_some(run.progress.since)
    }

    /// What it waits for, while it is active and has a plan.
    pub fn phase(&self) -> Option<Phase> {
        let run = self.plan.as_ref()?;
        let waits = self.gate.and_then(|gate| gate.waits);
        let phase = match (run.phase(), waits) {
            (Phase::Ramping | Phase::Baking, Some(wait)) => wait.what.into(),
            (phase, _) => phase,
        };
        (self.state == RolloutState::Active).then_some(phase)
    }
}

/// To whom a build is offered, and under which conditions a device may take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutSettings {
    /// The share of the slice and the audience; with a plan, that of the step at hand.
    pub percent: Percent,
    /// The part of all positions that the share is taken of.
    pub slice: Slice,
    /// Hashed into the cohort when present, so that this rollout begins with other devices.
    pub salt: Option<String>,
    /// The devices that the share is taken of.
    pub audience: Audience,
    /// Download over Wi-Fi only.
    pub wifi_only: bool,
    /// Shorten the waiting on the device. Overrides no safety rule.
    pub must_install: bool,
    /// When devices may download and install.
    #[serde(default)]
    pub calendars: RolloutCalendars,
    /// Pass over the calendars' freezes; their windows still hold.
    #[serde(default)]
    pub ignore_freeze: bool,
    /// What a device waits for before it installs.
    #[serde(flatten)]
    pub install: InstallTerms,
}

/// The calendars of a rollout; without one, any time will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutCalendars {
    /// When devices may download.
    pub download: Option<CalendarName>,
    /// When devices may install.
    pub install: Option<CalendarName>,
}

impl RolloutCalendars {
    /// The names, each once.
    pub fn names(&self) -> impl Iterator<Item = &CalendarName> {
        let install = self
            .install
            .as_ref()
            .filter(|name| self.download.as_ref() != Some(name));
        self.download.iter().chain(install)
    }
}

impl RolloutSettings {
    /// A plain rollout to a share of everybody.
    pub fn to(percent: Percent) -> Self {
        Self {
            percent,
            slice: Slice::WHOLE,
            salt: None,
            audience: Audience::default(),
            wifi_only: false,
            must_install: false,
            calendars: RolloutCalendars::default(),
            ignore_freeze: false,
            install: InstallTerms::default(),
        }
    }

    /// The device's position under these settings.
    pub fn position(&self, device_id: &str) -> Position {
        Position::of(device_id, self.salt.as_deref())
    }

    /// The same, where the position without a salt may be known already: it is the same for all rollouts that have none,
    /// so it is hashed once.
    pub(crate) fn position_once(&self, device_id: &str, unsalted: &OnceCell<Position>) -> Position {
        match self.salt {
            None => *unsalted.get_or_init(|| self.position(device_id)),
            Some(_) => self.position(device_id),
        }
    }

    /// Whether the device at this position is in the share. Of a rollout with a plan it is in the present step's: whether
    /// the ramp has reached it, [`RolloutSpec::takes`] tells.
    pub fn takes(&self, position: Position) -> bool {
        self.slice.takes(position, self.percent.share())
    }

    /// The share as agents are told it, who may judge their cohort by it themselves: rounded up, and 100 where they
    /// can't know which part of the fleet it is taken of.
    pub fn staged_percent(&self) -> u8 {
        match self.salt.is_some() || self.slice != Slice::WHOLE {
            true => 100,
            false => self.percent.rounded_up(),
        }
    }
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Waits for another person's approval.
    Proposed,
    /// Decided, not begun.
    Scheduled,
    /// Offered.
    Active,
    /// Stopped by an operator: nobody is offered it until it is resumed.
    Paused,
    /// Declared done: everybody is offered it, and latecomers still are.
    Completed,
    /// Stopped by a health gate.
    Halted,
    /// Replaced by a later promotion.
    Superseded,
    /// Taken back.
    RolledBack,
    /// Ended by an operator before it was done.
    Canceled,
}

impl RolloutState {
    /// All states, in the order of a rollout's life.
    pub const ALL: [Self; 9] = [
        Self::Proposed,
        Self::Scheduled,
        Self::Active,
        Self::Paused,
        Self::Completed,
        Self::Halted,
        Self::Superseded,
        Self::RolledBack,
        Self::Canceled,
    ];

    /// The state's name in the protocol, in SQL and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Halted => "halted",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled_back",
            Self::Canceled => "canceled",
        }
    }

    /// Whether polls still consult a rollout in this state.
    pub fn serves(self) -> bool {
        !matches!(self, Self::Superseded | Self::RolledBack | Self::Canceled)
    }

    /// Whether devices are, or were, taken by a rollout in this state.
    pub fn has_begun(self) -> bool {
        !matches!(self, Self::Proposed | Self::Scheduled)
    }

    /// The state machine: whether a rollout in this state may go to that one.
    pub fn may_become(self, next: Self) -> bool {
        use RolloutState::{
            Active, Canceled, Completed, Halted, Paused, Proposed, RolledBack, Scheduled, Superseded,
        };
        match next {
            Proposed => false,
            Scheduled => self == Proposed,
            Active => matches!(self, Proposed | Scheduled | Paused | Halted),
            Paused => matches!(self, Active | Completed),
            Completed => matches!(self, Active | Paused),
            Halted => matches!(self, Active | Completed),
            Superseded | RolledBack | Canceled => self.serves(),
        }
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RolloutState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Error::invalid("state", format!("is not a rollout's state: {text}")))
    }
}

/// A rollout together with the build that it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The rollout.
    pub rollout: Rollout,
    /// Its build.
    pub build: Arc<Build>,
}
