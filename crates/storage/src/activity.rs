//! What polls leave behind, buffered by the caller and written in bulk.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, DeviceId, PackageName, VersionCode};

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
    /// The package it asked about.
    pub package: PackageName,
    /// The version it runs; 0 when the package is not installed.
    pub installed: VersionCode,
    /// The build that it was offered.
    pub offered: Option<BuildId>,
}

/// How many polls met a build as the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The build.
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
    /// Writes a batch in one transaction: when each device was last seen and what it runs, first offers (which
    /// raise `total_eligible`) and checks. Devices, packages and builds that do not exist are passed over.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then, and the batch may be handed in again.
    pub async fn record_activity(&self, batch: Activity) -> Result<ActivityOutcome, Error> {
        run!(self, write, activity::record(&batch))
    }
}
