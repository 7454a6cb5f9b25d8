//! Counting the whole fleet: what runs where, and whom a share of it would take.
//!
//! A census reads indexes from one end to the other and takes a good part of a second with a million devices. It is
//! for whoever keeps its result in memory, and not for a request.

use chrono::{DateTime, Utc};
use tidegate_domain::{PackageName, VersionCode};

use crate::store::run;
use crate::{Condition, Error, Store, TakenBack, Told};

/// The most groups of version and cohort that a census holds: a hundred cohorts of two thousand versions. Devices may
/// claim any version; what is beyond is not counted.
pub const MAX_CENSUS_ROWS: i64 = 200_000;

/// The most versions of a package that are kept apart in an hour's record.
pub const MAX_VERSIONS_KEPT: usize = 12;

/// The number of cohorts.
const COHORTS: usize = 100;

/// The fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The devices that count: neither retired nor inactive.
    pub devices: u64,
    /// Devices that had not polled for so long that they are not counted.
    pub inactive: u64,
    /// Devices that were retired.
    pub retired: u64,
    /// Those seen since the time that was asked for.
    pub seen: u64,
    /// What runs, by package.
    pub packages: Vec<PackageCensus>,
}

/// Who runs which version of a package, and what they were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageCensus {
    /// The package.
    pub package: PackageName,
    /// What the last polls of its devices were told, in the order of [`Told::ALL`]; what nobody was told is left out.
    pub told: Vec<(Told, u64)>,
    /// Its devices by condition, in the order of [`Condition::ALL`], as of the same moment: both add up to the same
    /// number. What nobody is in is left out.
    pub conditions: Vec<(Condition, u64)>,
    /// The versions that were taken back and that devices still run, most devices first, at most
    /// [`crate::MAX_TAKEN_BACK`].
    pub taken_back: Vec<TakenBack>,
    /// By ascending version. Version 0 is the devices that ask for the package and do not run it yet.
    pub versions: Vec<VersionCensus>,
}

/// Who runs one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionCensus {
    /// The version.
    pub version: VersionCode,
    /// How many devices of each unsalted cohort, 0 to 99.
    pub cohorts: Box<[u32; COHORTS]>,
    /// Devices whose cohort is yet to be filled in.
    pub unplaced: u32,
}

impl VersionCensus {
    /// Nobody yet.
    pub(crate) fn empty(version: VersionCode) -> Self {
        Self {
            version,
            cohorts: Box::new([0; COHORTS]),
            unplaced: 0,
        }
    }

    /// All devices that run it.
    pub fn devices(&self) -> u64 {
        self.cohorts.iter().copied().map(u64::from).sum::<u64>() + u64::from(self.unplaced)
    }
}

/// How many devices ran a version in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionHour {
    /// When the hour began.
    pub hour: DateTime<Utc>,
    /// The version; `None` for all that were too rare to be kept apart.
    pub version: Option<VersionCode>,
    /// How many devices.
    pub devices: i64,
}

impl Store {
    /// Counts the fleet. Devices that were not seen since this time are silent.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn census(&self, seen_since: DateTime<Utc>) -> Result<Census, Error> {
        run!(self, snapshot, census::take(seen_since))
    }

    /// Notes for the charts which versions run in this hour and this minute and how the counts of builds that serve stand,
    /// in place of what was noted for them before, and forgets hours older than [`crate::MAX_STAT_HOURS`] and minutes older
    /// than [`crate::MINUTES_KEPT`]. Of a package the [`MAX_VERSIONS_KEPT`] most frequent versions are
    /// kept apart.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn record_census(&self, census: Census, at: DateTime<Utc>) -> Result<(), Error> {
        run!(self, write, census::record(&census, at))
    }

    /// Which versions ran in each hour that began in `from..to`, oldest first.
    ///
    /// # Errors
    /// [`Error::Rule`] when the range is longer than [`crate::MAX_STAT_HOURS`].
    pub async fn version_hours(
        &self,
        package: &PackageName,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<VersionHour>, Error> {
        let package = package.clone();
        run!(self, read, census::hours(&package, from, to))
    }

    /// The names of those of these versions that are builds.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn version_names(
        &self,
        package: &PackageName,
        versions: Vec<VersionCode>,
    ) -> Result<Vec<(VersionCode, String)>, Error> {
        let package = package.clone();
        run!(self, read, builds::version_names(&package, &versions))
    }

    /// Fills in the cohorts of at most `limit` devices that were written by a server which knew no such column, and
    /// returns how many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn fill_cohorts(&self, limit: u32) -> Result<u64, Error> {
        run!(self, write, census::fill_cohorts(limit))
    }
}
