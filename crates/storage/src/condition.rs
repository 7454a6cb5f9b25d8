//! How a device stands with a package, in a word: the parts of the fleet's overview.
//!
//! Each device that a package counts is in exactly one [`Condition`], so that their counts add up to all of its devices.
//! What a poll was told ([`Told`]) is not enough for that: a device may have fallen silent since, or run what was taken
//! back. Where several things are true of a device, the one that asks most of an operator names it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, Error, Reason, RolloutId, VersionCode};

use crate::Told;

/// The most taken back versions of a package that [`crate::PackageCensus`] tells of; the conditions count all.
pub const MAX_TAKEN_BACK: usize = 5;

/// How a device stands with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// It runs the current build's version.
    Current,
    /// It runs the build of another rollout that serves: a canary's, an experiment's, or one beside the current build.
    OtherRollout,
    /// Its last poll offered it a build, and it has not installed it yet.
    Pending,
    /// It has not polled since what it runs stopped being the current build, or since answers are kept.
    NotAsked,
    /// It is not one of those that the rollouts take: outside the share or the audience.
    Outside,
    /// It is offered the build later: at a time, by a person, or once a window opens.
    Waiting,
    /// It can't or may not take the build: incompatible, given up, held or capped by a policy.
    Blocked,
    /// It failed with a build that is being released, has not succeeded since, and does not run it.
    Failing,
    /// It runs a higher version than the current build's, which no rollout releases and none took back.
    Ahead,
    /// It runs a version that was taken back, and the current build is lower.
    Stranded,
    /// It was not seen for a day, or never.
    Silent,
    /// The package releases nothing to it.
    NotReleased,
}

impl Condition {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Current,
        Self::OtherRollout,
        Self::Pending,
        Self::NotAsked,
        Self::Outside,
        Self::Waiting,
        Self::Blocked,
        Self::Failing,
        Self::Ahead,
        Self::Stranded,
        Self::Silent,
        Self::NotReleased,
    ];

    /// Its word in the API, metrics and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::OtherRollout => "other_rollout",
            Self::Pending => "pending",
            Self::NotAsked => "not_asked",
            Self::Outside => "outside",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Failing => "failing",
            Self::Ahead => "ahead",
            Self::Stranded => "stranded",
            Self::Silent => "silent",
            Self::NotReleased => "not_released",
        }
    }

    /// The condition of a device. What it runs on a bad build comes first, or whoever counts those would miss the
    /// silent ones, which it may have broken; then silence, which makes all else old news.
    pub(crate) fn of(device: &ConditionFacts, releases: &Releases) -> Self {
        let place = releases.place(device.version);
        match place {
            Place::TakenBack => Self::Stranded,
            _ if device.is_silent => Self::Silent,
            _ if device.is_failing => Self::Failing,
            Place::Current => Self::Current,
            Place::ServedAbove => Self::OtherRollout,
            Place::Above => Self::Ahead,
            // A version below is a rollout's own only while the device is told so: else it is on its way up.
            Place::ServedBelow if device.told == Told::NoUpdate(Reason::AlreadyCurrent) => Self::OtherRollout,
            Place::ServedBelow | Place::Below => match releases.serves {
                true => Self::of_told(device.told),
                false => Self::NotReleased,
            },
        }
    }

    /// The condition of a device that runs less than the current build, by what its last poll was told.
    pub(crate) fn of_told(told: Told) -> Self {
        match told {
            Told::Offered => Self::Pending,
            Told::NotPolled => Self::NotAsked,
            Told::NoUpdate(reason) => match reason {
                // It runs neither the current build nor a newer one: it was told so before this one was released.
                Reason::AlreadyCurrent | Reason::NewerInstalled => Self::NotAsked,
                Reason::NotInCohort | Reason::Ramping | Reason::HeldBack | Reason::NotInAudience => {
                    Self::Outside
                }
                Reason::Paused | Reason::Halted | Reason::Scheduled | Reason::OutsideWindow => Self::Waiting,
                Reason::IncompatibleSdk
                | Reason::IncompatibleAbi
                | Reason::RejectedByDevice
                | Reason::NeedsIntermediate
                | Reason::AboveCeiling
                | Reason::HeldByPolicy => Self::Blocked,
                Reason::NoCurrentBuild => Self::NotReleased,
            },
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|condition| condition.as_str() == text);
        known.ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|condition| condition.as_str()).collect();
            Error::invalid("condition", format!("must be one of {}", words.join(", ")))
        })
    }
}

/// A version that was taken back and that devices still run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// The version.
    pub version: VersionCode,
    /// Its build.
    pub build: BuildId,
    /// The build's name; may be empty.
    pub name: String,
    /// The rollout that released it, and was rolled back.
    pub rollout: RolloutId,
    /// When, and by whom; `None` for what was rolled back before that was written down.
    pub rolled_back: Option<(DateTime<Utc>, String)>,
    /// Whether the current rollout offers these devices the current build: the roll-back was forced.
    pub is_forced: bool,
    /// How many devices run it.
    pub devices: u64,
}

/// What a device's condition depends on besides what its package releases.
#[derive(Clone, Copy)]
pub(crate) struct ConditionFacts {
    /// What it runs; 0 where it does not run the package.
    pub(crate) version: i64,
    pub(crate) told: Told,
    pub(crate) is_silent: bool,
    pub(crate) is_failing: bool,
}

/// The versions that a package releases and took back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Releases {
    /// The current build's.
    pub(crate) current: Option<i64>,
    /// Those of rollouts that serve and have begun.
    pub(crate) serving: Vec<i64>,
    /// Those that were rolled back.
    pub(crate) taken_back: Vec<i64>,
    /// Whether any rollout serves, begun or not.
    pub(crate) serves: bool,
}

/// Where a version stands among a package's releases.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Current,
    ServedAbove,
    ServedBelow,
    TakenBack,
    Above,
    Below,
}

impl Releases {
    fn place(&self, version: i64) -> Place {
        let is_above = self.current.is_none_or(|current| version > current);
        if self.current == Some(version) {
            Place::Current
        } else if self.serving.contains(&version) {
            match is_above {
                true => Place::ServedAbove,
                false => Place::ServedBelow,
            }
        } else if is_above && self.taken_back.contains(&version) {
            Place::TakenBack
        } else if self.current.is_some() && is_above {
            Place::Above
        } else {
            Place::Below
        }
    }

    /// The versions that are told apart, each once. All others are alike above the current build, and alike below it.
    pub(crate) fn named(&self) -> Vec<i64> {
        let taken_back = self.stranded_on();
        let mut named: Vec<i64> = self.current.into_iter().chain(taken_back).collect();
        named.extend(&self.serving);
        named.sort_unstable();
        named.dedup();
        named
    }

    /// The versions whose devices are stranded.
    pub(crate) fn stranded_on(&self) -> impl Iterator<Item = i64> {
        let versions = self.taken_back.iter().copied();
        versions.filter(|version| self.place(*version) == Place::TakenBack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(current: Option<i64>, serving: &[i64], taken_back: &[i64]) -> Releases {
        Releases {
            current,
            serving: serving.to_vec(),
            taken_back: taken_back.to_vec(),
            serves: !serving.is_empty(),
        }
    }

    fn runs(version: i64, told: &str) -> ConditionFacts {
        ConditionFacts {
            version,
            told: told.parse().unwrap(),
            is_silent: false,
            is_failing: false,
        }
    }

    #[test]
    fn every_condition_has_a_word_of_its_own() {
        for condition in Condition::ALL {
            assert_eq!(condition.as_str().parse(), Ok(condition));
        }
        let mut words = Condition::ALL.map(Condition::as_str).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Condition::ALL.len());
        assert!("behind".parse::<Condition>().is_err());
        // A word that both have would be two counts by one name.
        for told in Told::ALL {
            assert!(told.as_str().parse::<Condition>().is_err(), "{told}");
        }
    }

    #[test]
    fn every_answer_leads_to_one_condition() {
        let expected = [
            ("offered", "pending"),
            ("already_current", "not_asked"),
            ("newer_installed", "not_asked"),
            ("not_in_cohort", "outside"),
            ("ramping", "outside"),
            ("held_back", "outside"),
            ("not_in_audience", "outside"),
            ("paused", "waiting"),
            ("halted", "waiting"),
            ("scheduled", "waiting"),
            ("incompatible_sdk", "blocked"),
            ("incompatible_abi", "blocked"),
            ("rejected_by_device", "blocked"),
            ("needs_intermediate", "blocked"),
            ("above_ceiling", "blocked"),
            ("held_by_policy", "blocked"),
            ("outside_window", "waiting"),
            ("no_current_build", "not_released"),
            ("not_polled", "not_asked"),
        ];
        let told = Told::ALL.map(|told| (told.as_str(), Condition::of_told(told).as_str()));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_version_is_judged_by_what_the_package_releases() {
        // Version 3 is current, 5 a canary, 2 serves beside, 4 and 1 were taken back.
        let of = releases(Some(3), &[2, 3, 5], &[1, 4]);
        let cases = [
            (3, "already_current", Condition::Current),
            (3, "paused", Condition::Current),
            (5, "already_current", Condition::OtherRollout),
            (5, "newer_installed", Condition::OtherRollout),
            (2, "already_current", Condition::OtherRollout),
            (2, "offered", Condition::Pending),
            (4, "newer_installed", Condition::Stranded),
            (4, "offered", Condition::Stranded),
            (1, "offered", Condition::Pending),
            (6, "newer_installed", Condition::Ahead),
            (0, "not_in_cohort", Condition::Outside),
            (1, "already_current", Condition::NotAsked),
        ];
        for (version, told, expected) in cases {
            assert_eq!(
                Condition::of(&runs(version, told), &of),
                expected,
                "{version} {told}"
            );
        }
        assert_eq!(of.named(), [2, 3, 4, 5]);
    }

    #[test]
    fn without_a_current_build_nothing_is_ahead() {
        let canary = releases(None, &[5], &[4]);
        let cases = [
            (5, "already_current", Condition::OtherRollout),
            (4, "no_current_build", Condition::Stranded),
            (9, "no_current_build", Condition::NotReleased),
            (1, "offered", Condition::Pending),
        ];
        for (version, told, expected) in cases {
            assert_eq!(
                Condition::of(&runs(version, told), &canary),
                expected,
                "{version} {told}"
            );
        }
        let nothing = releases(None, &[], &[4]);
        assert_eq!(
            Condition::of(&runs(1, "offered"), &nothing),
            Condition::NotReleased
        );
        assert_eq!(Condition::of(&runs(4, "offered"), &nothing), Condition::Stranded);
    }

    #[test]
    fn what_asks_most_of_an_operator_names_a_device() {
        let of = releases(Some(3), &[3], &[4]);
        let both = |version| ConditionFacts {
            is_silent: true,
            is_failing: true,
            ..runs(version, "offered")
        };
        assert_eq!(Condition::of(&both(4), &of), Condition::Stranded);
        assert_eq!(Condition::of(&both(3), &of), Condition::Silent);
        let failing = ConditionFacts {
            is_silent: false,
            ..both(1)
        };
        assert_eq!(Condition::of(&failing, &of), Condition::Failing);
    }
}
