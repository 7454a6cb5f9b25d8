//! The fleet as a whole, for whoever looks at it: how many devices, on which version, and whom a share would take.
//!
//! Counting a million devices takes longer than a page may, so it happens beside the requests
//! ([`crate::background::count`]) and everybody reads the last result.

mod versions;

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{BuildId, PackageName, Position, Share, Slice, VersionCode};
use tidegate_storage::{
    Census, Condition, OverdueCounts, PackageCensus, Store, TakenBack, Told, VersionCensus,
};
use tokio::sync::Mutex;

use crate::{Clock, Error, SILENT_AFTER};

pub use versions::{VersionHistory, VersionPoint};

/// The most versions that [`Coverage::leaves`] names.
pub const MAX_LEAVING: usize = 5;

/// The most versions that [`VersionHistory`] keeps apart.
pub const MAX_VERSIONS_SHOWN: usize = 8;

/// The most packages whose devices are counted by what they were told. Metrics have a label for each.
pub const MAX_COUNTED_PACKAGES: usize = 100;

/// The most rollouts whose overdue devices are counted. Metrics have a label for each.
pub const MAX_COUNTED_OVERDUE: u32 = 100;

/// How old the charts' last point may be.
const RECORD_EVERY: TimeDelta = TimeDelta::minutes(1);

/// How many devices are placed in their cohorts at once, after an update from a version that did not do so.
const PLACED_AT_ONCE: u32 = 2_000;

/// How often that is done between two counts.
const MAX_PLACINGS: u32 = 20;

/// Counters the fleet.
pub struct Fleet {
    store: Store,
    clock: Arc<dyn Clock>,
    counted: ArcSwap<Counted>,
    /// When the count was last noted for the charts. Held while counting.
    recorded_at: Mutex<Option<DateTime<Utc>>>,
}

#[derive(Default)]
struct Counted {
    census: Census,
    overdue: OverdueCounts,
    at: Option<DateTime<Utc>>,
}

/// The fleet in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetOverview {
    /// The devices that count: neither retired nor inactive.
    pub devices: u64,
    /// Devices that had not polled for so long that they are not counted.
    pub inactive: u64,
    /// Devices that were retired.
    pub retired: u64,
    /// Those seen within [`SILENT_AFTER`].
    pub seen_last_day: u64,
    /// When this was counted; `None` in the first moments of a server.
    pub measured_at: Option<DateTime<Utc>>,
}

/// The devices of a package by what their last poll for it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageStandings {
    /// The package.
    pub package: PackageName,
    /// All of its devices: those that ever named it, whether they run it or not.
    pub devices: u64,
    /// The same apart, each of [`Told::ALL`]. They add up to `devices`.
    pub told: Vec<(Told, u64)>,
}

impl PackageStandings {
    fn of(package: PackageName, counted: &[(Told, u64)]) -> Self {
        let count = |told: Told| {
            counted
                .iter()
                .find(|(counted, _)| *counted == told)
                .map_or(0, |(_, n)| *n)
        };
        Self {
            package,
            devices: counted.iter().map(|(_, count)| count).sum(),
            told: Told::ALL.map(|told| (told, count(told))).to_vec(),
        }
    }

    /// How many were told this.
    pub fn count(&self, told: Told) -> u64 {
        let found = self.told.iter().find(|(counted, _)| *counted == told);
        found.map_or(0, |(_, count)| *count)
    }
}

/// The devices of a package by condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageConditions {
    /// The package.
    pub package: PackageName,
    /// All of its devices: those that ever named it, whether they run it or not.
    pub devices: u64,
    /// The same apart, each of [`Condition::ALL`]. They add up to `devices`.
    pub conditions: Vec<(Condition, u64)>,
    /// The versions that were taken back and that devices still run, most devices first.
    pub taken_back: Vec<TakenBack>,
}

impl PackageConditions {
    fn of(package: PackageName, counted: Option<&PackageCensus>) -> Self {
        let counts = counted.map_or(&[][..], |counted| &counted.conditions);
        let count = |condition: Condition| {
            let found = counts.iter().find(|(counted, _)| *counted == condition);
            found.map_or(0, |(_, devices)| *devices)
        };
        Self {
            package,
            devices: counts.iter().map(|(_, devices)| devices).sum(),
            conditions: Condition::ALL
                .map(|condition| (condition, count(condition)))
                .to_vec(),
            taken_back: counted.map_or_else(Vec::new, |counted| counted.taken_back.clone()),
        }
    }

    /// How many are in this condition.
    pub fn count(&self, condition: Condition) -> u64 {
        let found = self.conditions.iter().find(|(counted, _)| *counted == condition);
        found.map_or(0, |(_, devices)| *devices)
    }
}

/// The packages that devices ask about, by condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConditions {
    /// Those with the most devices first, at most [`MAX_COUNTED_PACKAGES`].
    pub packages: Vec<PackageConditions>,
    /// How many packages were left out.
    pub left_out: usize,
}

/// Whom a build would reach, by cohort. Cohorts are those of a rollout without a salt, and of everybody: a salt makes
/// the numbers an estimate, an audience makes them too high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Devices that run a lower version than the build's or none at all, by cohort 0 to 99: a share of `p` percent
    /// takes the first `p` of them.
    pub by_cohort: Vec<u64>,
    /// The versions that they would leave, most devices first, at most [`MAX_LEAVING`].
    pub leaves: Vec<Leaving>,
    /// Devices that run exactly the build's version.
    pub running: u64,
    /// Devices that run a higher version: they take the build only when forced back.
    pub above: u64,
    /// When this was counted; `None` in the first moments of a server.
    pub measured_at: Option<DateTime<Utc>>,
}

/// The devices of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceCensus {
    /// Devices that ask for the package.
    pub devices: u64,
    /// What they run, most devices first, at most [`MAX_VERSIONS_SHOWN`]; version 0 is those that don't run it yet.
    pub versions: Vec<(VersionCode, u64)>,
    /// Devices on any other version.
    pub others: u64,
    /// When this was counted.
    pub measured_at: DateTime<Utc>,
}

/// A version that devices would leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The version; 0 for devices that do not run the package yet.
    pub version: VersionCode,
    /// Its name, when it is a build.
    pub name: Option<String>,
    /// How many devices, by cohort.
    pub by_cohort: Vec<u64>,
}

impl Fleet {
    /// Over this database. Nothing is counted yet.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            counted: ArcSwap::default(),
            recorded_at: Mutex::default(),
        }
    }

    /// Counters, and every now and then notes the result for the charts.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer; the last count stays.
    pub async fn count(&self) -> Result<(), Error> {
        let mut recorded_at = self.recorded_at.lock().await;
        for _ in 0..MAX_PLACINGS {
            if self.store.fill_cohorts(PLACED_AT_ONCE).await? == 0 {
                break;
            }
        }
        let now = self.clock.now();
        let census = self.store.census(now - SILENT_AFTER).await?;
        let overdue = self.store.overdue(now, MAX_COUNTED_OVERDUE).await?;
        self.counted.store(Arc::new(Counted {
            census: census.clone(),
            overdue,
            at: Some(now),
        }));
        // The clock may be set back, and the charts are not to wait until it has caught up.
        if recorded_at.is_none_or(|last| (now - last).abs() >= RECORD_EVERY) {
            self.store.record_census(census, now).await?;
            *recorded_at = Some(now);
        }
        Ok(())
    }

    /// The part of a package's devices that runs a version, 0 to 1, as it was last counted.
    pub fn share(&self, package: &PackageName, version: VersionCode) -> f64 {
        let counted = self.counted.load();
        let versions = of(&counted.census, package).map_or(&[][..], |package| &package.versions);
        let devices = |running: &VersionCensus| {
            let placed: u64 = running.cohorts.iter().map(|devices| u64::from(*devices)).sum();
            placed + u64::from(running.unplaced)
        };
        let all: u64 = versions.iter().map(devices).sum();
        let of_version = versions.iter().filter(|running| running.version == version);
        let part: u64 = of_version.map(devices).sum();
        #[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
        let share = if all == 0 { 0.0 } else { part as f64 / all as f64 };
        share
    }

    /// The fleet as it was last counted.
    pub fn overview(&self) -> FleetOverview {
        let counted = self.counted.load();
        let census = &counted.census;
        FleetOverview {
            devices: census.devices,
            inactive: census.inactive,
            retired: census.retired,
            seen_last_day: census.seen,
            measured_at: counted.at,
        }
    }

    /// The devices of a package by condition, as they were last counted.
    pub fn conditions_of(&self, package: &PackageName) -> PackageConditions {
        let counted = self.counted.load();
        PackageConditions::of(package.clone(), of(&counted.census, package))
    }

    /// The same for each package that devices ask about.
    pub fn conditions(&self) -> FleetConditions {
        let counted = self.counted.load();
        let known = counted.census.packages.iter();
        let mut packages: Vec<PackageConditions> = known
            .map(|known| PackageConditions::of(known.package.clone(), Some(known)))
            .collect();
        packages.sort_by(|a, b| b.devices.cmp(&a.devices).then_with(|| a.package.cmp(&b.package)));
        let left_out = packages.len().saturating_sub(MAX_COUNTED_PACKAGES);
        packages.truncate(MAX_COUNTED_PACKAGES);
        FleetConditions { packages, left_out }
    }

    /// The overdue devices of each rollout whose deadline has passed, as they were last counted: of the newest
    /// [`MAX_COUNTED_OVERDUE`].
    pub fn overdue(&self) -> OverdueCounts {
        self.counted.load().overdue.clone()
    }

    /// The devices of a package, as they were last counted; none in the first moments of a server.
    pub fn devices_of(&self, package: &PackageName) -> Option<u64> {
        let counted = self.counted.load();
        counted.at?;
        Some(of(&counted.census, package).map_or(0, |package| {
            package.versions.iter().map(VersionCensus::devices).sum()
        }))
    }

    /// How many devices run each version of a package, as they were last counted; none in the first moments of a server.
    pub(crate) fn versions_of(&self, package: &PackageName) -> Option<Vec<(VersionCode, u64)>> {
        let counted = self.counted.load();
        counted.at?;
        let versions = of(&counted.census, package).map_or(&[][..], |package| &package.versions);
        Some(
            versions
                .iter()
                .map(|running| (running.version, running.devices()))
                .collect(),
        )
    }

    /// The devices of a package by what they were told, as they were last counted.
    pub fn standings_of(&self, package: &PackageName) -> PackageStandings {
        let counted = self.counted.load();
        let told = of(&counted.census, package).map_or(&[][..], |package| &package.told);
        PackageStandings::of(package.clone(), told)
    }

    /// The same for each package that devices ask about, at most [`MAX_COUNTED_PACKAGES`]: the oldest.
    pub fn standings(&self) -> Vec<PackageStandings> {
        let counted = self.counted.load();
        let packages = counted.census.packages.iter().take(MAX_COUNTED_PACKAGES);
        packages
            .map(|known| PackageStandings::of(known.package.clone(), &known.told))
            .collect()
    }

    /// The devices of a slice of everybody without a salt, as they were last counted. None in the first moments of a
    /// server, and for a slice that does not begin and end at a whole percent: cohorts are what is counted.
    pub fn slice(&self, package: &PackageName, slice: Slice) -> Option<SliceCensus> {
        let counted = self.counted.load();
        let measured_at = counted.at?;
        let cohorts = whole_cohorts(slice)?;
        let versions = of(&counted.census, package).map_or(&[][..], |package| &package.versions);
        let mut running: Vec<(VersionCode, u64)> = versions
            .iter()
            .map(|count| {
                let within = count.cohorts.iter().zip(&cohorts).filter(|(_, taken)| **taken);
                (
                    count.version,
                    within.map(|(devices, _)| u64::from(*devices)).sum(),
                )
            })
            .filter(|(_, devices)| *devices > 0)
            .collect();
        running.sort_by_key(|(version, devices)| (std::cmp::Reverse(*devices), *version));
        let others = running.iter().skip(MAX_VERSIONS_SHOWN);
        let others = others.map(|(_, devices)| devices).sum();
        let devices = running.iter().map(|(_, devices)| devices).sum();
        running.truncate(MAX_VERSIONS_SHOWN);
        Some(SliceCensus {
            devices,
            versions: running,
            others,
            measured_at,
        })
    }

    /// Whom a build would reach.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn coverage(&self, id: BuildId) -> Result<Coverage, Error> {
        let build = self.store.build(id).await?;
        let target = build.facts.version_code;
        let counted = self.counted.load_full();
        let mut coverage = Coverage {
            by_cohort: vec![0; 100],
            leaves: vec![],
            running: 0,
            above: 0,
            measured_at: counted.at,
        };
        let package = of(&counted.census, &build.facts.package);
        for count in package.map_or(&[][..], |package| &package.versions) {
            if count.version > target {
                coverage.above += count.devices();
                continue;
            }
            if count.version == target {
                coverage.running += count.devices();
                continue;
            }
            let by_cohort: Vec<u64> = count.cohorts.iter().copied().map(u64::from).collect();
            for (sum, devices) in coverage.by_cohort.iter_mut().zip(&by_cohort) {
                *sum += devices;
            }
            coverage.leaves.push(Leaving {
                version: count.version,
                name: None,
                by_cohort,
            });
        }
        coverage
            .leaves
            .sort_by_key(|leaving| std::cmp::Reverse(leaving.by_cohort.iter().sum::<u64>()));
        coverage.leaves.truncate(MAX_LEAVING);
        let versions = coverage.leaves.iter().map(|leaving| leaving.version).collect();
        let names = self.store.version_names(&build.facts.package, versions).await?;
        for leaving in &mut coverage.leaves {
            leaving.name = name_of(&names, leaving.version);
        }
        Ok(coverage)
    }
}

/// Which of the hundred cohorts a slice has, if it has each of them whole or not at all.
fn whole_cohorts(slice: Slice) -> Option<[bool; 100]> {
    /// The positions of a cohort.
    const COHORT: u32 = 1_000_000;
    let is_whole = slice.start.get().is_multiple_of(COHORT) && slice.width.get().is_multiple_of(COHORT);
    is_whole.then(|| {
        std::array::from_fn(|cohort| {
            let first = u32::try_from(cohort).unwrap_or(0) * COHORT;
            Position::new(first).is_some_and(|position| slice.takes(position, Share::WHOLE))
        })
    })
}

fn of<'a>(census: &'a Census, package: &PackageName) -> Option<&'a PackageCensus> {
    census.packages.iter().find(|known| known.package == *package)
}

fn name_of(names: &[(VersionCode, String)], version: VersionCode) -> Option<String> {
    names
        .iter()
        .find(|(known, _)| *known == version)
        .map(|(_, name)| name.clone())
}
