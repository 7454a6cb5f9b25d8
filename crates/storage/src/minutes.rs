//! The last day by the minute, for charts: which versions ran, and how the counts of builds that serve stood.
//!
//! Hours are kept for two months and say too little about a release's first morning; minutes are kept for little more
//! than a day. Both are written with the same census.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{BuildId, PackageName, VersionCode};

use crate::store::run;
use crate::{Error, Store};

/// How long minutes are kept: a day, and an hour in which a page that shows a day may be late.
pub const MINUTES_KEPT: TimeDelta = TimeDelta::hours(25);

/// How many devices ran a version in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionMinute {
    /// When the minute began.
    pub minute: DateTime<Utc>,
    /// The version; `None` for all that were too rare to be kept apart.
    pub version: Option<VersionCode>,
    /// How many devices.
    pub devices: i64,
}

/// How a build's counts stood in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildMinute {
    /// When the minute began.
    pub minute: DateTime<Utc>,
    /// Devices that were offered it so far.
    pub eligible: i64,
    /// Devices that had its whole file so far.
    pub downloads: i64,
    /// Devices that installed it so far.
    pub installed: i64,
}

impl Store {
    /// Which versions of a package ran in each minute since then, oldest first: those of the last [`MINUTES_KEPT`].
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn version_minutes(
        &self,
        package: &PackageName,
        from: DateTime<Utc>,
    ) -> Result<Vec<VersionMinute>, Error> {
        let package = package.clone();
        run!(self, read, minutes::versions(&package, from))
    }

    /// How a build's counts stood in each minute since then, oldest first: those of the last [`MINUTES_KEPT`] in which it
    /// served.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn build_minutes(
        &self,
        build: BuildId,
        from: DateTime<Utc>,
    ) -> Result<Vec<BuildMinute>, Error> {
        run!(self, read, minutes::of_build(build, from))
    }
}
