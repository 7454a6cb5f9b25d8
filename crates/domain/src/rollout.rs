//! A rollout: the offer of one build to a share of the fleet, and the states that it may pass through.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Audience, Bucket, Build, BuildId, Error, PackageName, Percent, RolloutId, VersionCode};

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
    /// Where it stands.
    pub state: RolloutState,
    /// Whether it is the package's current one. At most one is; others may serve beside it.
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
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// To whom a build is offered, and under which conditions a device may take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutSettings {
    /// The share of the audience.
    pub percent: Percent,
    /// Hashed into the cohort when present, so that this rollout begins with other devices.
    pub salt: Option<String>,
    /// The devices that the share is taken of.
    pub audience: Audience,
    /// Download over Wi-Fi only.
    pub wifi_only: bool,
    /// Shorten the waiting on the device. Overrides no safety rule.
    pub must_install: bool,
}

impl RolloutSettings {
    /// A plain rollout to a share of everybody.
    pub fn to(percent: Percent) -> Self {
        Self {
            percent,
            salt: None,
            audience: Audience::default(),
            wifi_only: false,
            must_install: false,
        }
    }

    /// The device's bucket under these settings.
    pub fn bucket(&self, device_id: &str) -> Bucket {
        Bucket::of(device_id, self.salt.as_deref())
    }
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
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
}

impl RolloutState {
    /// All states, in the order of a rollout's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Active,
        Self::Paused,
        Self::Completed,
        Self::Halted,
        Self::Superseded,
        Self::RolledBack,
    ];

    /// The state's name in the protocol, in SQL and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Halted => "halted",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether polls still consult a rollout in this state.
    pub fn serves(self) -> bool {
        !matches!(self, Self::Superseded | Self::RolledBack)
    }

    /// The state machine: whether a rollout in this state may go to that one.
    pub fn may_become(self, next: Self) -> bool {
        use RolloutState::{Active, Completed, Halted, Paused, RolledBack, Scheduled, Superseded};
        match next {
            Scheduled => false,
            Active => matches!(self, Scheduled | Paused | Halted),
            Paused => matches!(self, Active | Completed),
            Completed => matches!(self, Active | Paused),
            Halted => matches!(self, Active | Completed),
            Superseded | RolledBack => self.serves(),
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
