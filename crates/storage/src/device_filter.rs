//! Which devices are listed, and in which order.

use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, Error, PackageName, RolloutId, SdkLevel, Tag, VersionCode};

use crate::{Condition, Told};

/// The most devices that are looked at for one page or one count, when no single index answers the whole filter.
pub const MAX_CANDIDATES: usize = 50_000;

/// Up to where devices are counted exactly.
pub const MAX_COUNTED: u64 = 10_000;

/// Which devices; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Whose id or alias holds this, in whatever case.
    pub search: Option<String>,
    /// That run this package; with `told`, whose last poll for it was told that, whether they run it or not.
    pub package: Option<PackageName>,
    /// That run the package in one of these versions.
    pub versions: Option<RangeInclusive<VersionCode>>,
    /// Whose last poll for the package was told this. Without a package it is not asked.
    pub told: Option<Told>,
    /// That are in this condition with the package, where those count as silent that were not seen since the time.
    /// Without a package it is not asked.
    pub condition: Option<(Condition, DateTime<Utc>)>,
    /// That failed with this build and have not succeeded with it since.
    pub failing: Option<BuildId>,
    /// That had this trouble with a build.
    pub trouble: Option<Trouble>,
    /// Of this model. Facts are those that people are shown: of the last poll, filled in from the enrolment.
    pub model: Option<String>,
    /// Of this manufacturer.
    pub manufacturer: Option<String>,
    /// Of this region.
    pub region: Option<String>,
    /// At one of these API levels.
    pub sdk: Option<RangeInclusive<SdkLevel>>,
    /// To which operators gave this tag.
    pub tag: Option<Tag>,
    /// That were not seen since then, or never.
    pub silent_since: Option<DateTime<Utc>>,
    /// That were seen since then.
    pub seen_since: Option<DateTime<Utc>>,
    /// That can be nudged, or cannot.
    pub can_be_nudged: Option<bool>,
    /// That this rollout offered its build, and that are overdue with it at this time.
    pub overdue: Option<(RolloutId, DateTime<Utc>)>,
    /// That were retired, instead of those that were not.
    pub retired: bool,
    /// In which order; `None`: in that of the index which finds them.
    pub sort: Option<DeviceSort>,
    /// The other way round.
    pub descending: bool,
}

impl DeviceFilter {
    /// What devices say of themselves, by the names of the columns.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let facts = [
            ("model", &self.model),
            ("region", &self.region),
            ("manufacturer", &self.manufacturer),
        ];
        facts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// The trouble that devices had with a build; without a reason and a fate, those whose last report named any reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The build.
    pub build: BuildId,
    /// The reason that their last report about it named.
    pub reason: Option<String>,
    /// What became of them.
    pub fate: Option<FailureFate>,
}

/// What became of a device that failed with a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureFate {
    /// It has not succeeded yet, and will try again.
    Failing,
    /// It gave the build up.
    GivenUp,
    /// It succeeded afterwards.
    Recovered,
}

impl FailureFate {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Failing, Self::GivenUp, Self::Recovered];

    /// Its word in the API and in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::GivenUp => "given_up",
            Self::Recovered => "recovered",
        }
    }
}

impl FromStr for FailureFate {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|fate| fate.as_str() == word);
        known.ok_or_else(|| Error::invalid("fate", "must be one of failing, given_up, recovered"))
    }
}

/// What devices can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceSort {
    /// By id.
    Id,
    /// By their last poll; those that never came count as the longest silent.
    LastSeen,
    /// By their last enrolment.
    Enrolled,
}

impl DeviceSort {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Id, Self::LastSeen, Self::Enrolled];

    /// Its word in the API and in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::LastSeen => "last_seen",
            Self::Enrolled => "enrolled",
        }
    }
}

impl FromStr for DeviceSort {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|sort| sort.as_str() == word);
        known.ok_or_else(|| Error::invalid("sort", "must be one of id, last_seen, enrolled"))
    }
}

/// How many devices match a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceCount {
    /// As many at least.
    pub devices: u64,
    /// What is known beyond them.
    pub bound: CountBound,
}

/// What is known beyond the devices that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBound {
    /// There are no more.
    Exact,
    /// There are more: counting ended at [`MAX_COUNTED`].
    More,
    /// No index answers the filter, and looking at devices one by one ended after [`MAX_CANDIDATES`].
    Scanned,
}
