//! What polls leave behind, buffered by the caller and written in bulk.

use chrono::{DateTime, Utc};
use tidegate_domain::gate::Watch;
use tidegate_domain::{BuildId, DeviceFacts, DeviceId, PackageName, Reason, RolloutId, VersionCode};

use crate::store::run;
use crate::{Error, Store};

/// What was buffered since the last time.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// The polls.
    pub seen: Vec<Seen>,
    /// The polls once more, as numbers.
    pub checks: Vec<Checks>,
}

/// One poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The device.
    pub device: DeviceId,
    /// When.
    pub at: DateTime<Utc>,
    /// What it said of itself.
    pub facts: DeviceFacts<'static>,
    /// The package it asked about.
    pub package: PackageName,
    /// The version it runs; 0 when the package is not installed.
    pub installed: VersionCode,
    /// How often the package had crashed, if it said so.
    pub crashes: Option<u32>,
    /// What it was told.
    pub told: Standing,
    /// The health gate that watches the device from this poll on; none where no gate does.
    pub watch: Option<Watch>,
    /// Whether the gate is known to watch it already, so that it enters no arm.
    pub is_member: bool,
    /// Whether it has the whole file of the build that it is offered.
    pub has_file: bool,
}

/// What a device's last poll for a package was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// To take a build.
    Offered {
        /// The rollout that offered it.
        rollout: RolloutId,
        /// The build.
        build: BuildId,
    },
    /// Nothing, for this reason.
    Refused(Reason),
}

impl Standing {
    /// The word for an offer; a refusal's is its reason.
    pub const OFFERED: &'static str = "offered";

    /// Its word in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offered { .. } => Self::OFFERED,
            Self::Refused(reason) => reason.as_str(),
        }
    }
}

/// How many polls met a rollout: as the current base, or as one above that offered something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The rollout.
    pub rollout: RolloutId,
    /// Its build.
    pub build: BuildId,
    /// Any moment of the hour in which they came.
    pub at: DateTime<Utc>,
    /// How many.
    pub count: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivityOutcome {
    /// How many of the devices are known.
    pub devices: u64,
    /// How many offers were the device's first of that build.
    pub new_offers: u64,
}

impl Store {
    /// Writes a batch in one transaction: when each device was last seen, what it said of itself,
    /// what it runs and what it was told, first offers (which
    /// raise `total_eligible`) and checks. Devices, packages and builds that do not exist are passed over: a device may name
    /// any package.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then, and the batch may be handed in again.
    pub async fn record_activity(&self, batch: Activity) -> Result<ActivityOutcome, Error> {
        run!(self, write, activity::record(&batch))
    }
}
