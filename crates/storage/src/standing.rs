//! What a device's last poll for a package was told, in a word: what fleets are counted and devices are found by.

use std::fmt;
use std::str::FromStr;

use tidegate_domain::{Error, Reason};

use crate::Standing;

/// What a device's last poll for a package was told. Each device that ever named the package has exactly one of these,
/// so their counts add up to all of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// To take a build.
    Offered,
    /// Nothing, for this reason.
    NoUpdate(Reason),
    /// Nothing that is kept: it has not polled since answers are, or only before the package's first build was uploaded (a
    /// device may name any package, so those of no build are not recorded). A comparison of versions is no substitute: it knows
    /// neither shares and audiences nor what the device can install or gave up, so the same device would be told one
    /// thing and counted as another.
    NotPolled,
}

impl Told {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 19] = [
        Self::Offered,
        Self::NoUpdate(Reason::AlreadyCurrent),
        Self::NoUpdate(Reason::NewerInstalled),
        Self::NoUpdate(Reason::NotInCohort),
        Self::NoUpdate(Reason::Ramping),
        Self::NoUpdate(Reason::HeldBack),
        Self::NoUpdate(Reason::NotInAudience),
        Self::NoUpdate(Reason::Paused),
        Self::NoUpdate(Reason::Halted),
        Self::NoUpdate(Reason::Scheduled),
        Self::NoUpdate(Reason::IncompatibleSdk),
        Self::NoUpdate(Reason::IncompatibleAbi),
        Self::NoUpdate(Reason::RejectedByDevice),
        Self::NoUpdate(Reason::NeedsIntermediate),
        Self::NoUpdate(Reason::AboveCeiling),
        Self::NoUpdate(Reason::HeldByPolicy),
        Self::NoUpdate(Reason::OutsideWindow),
        Self::NoUpdate(Reason::NoCurrentBuild),
        Self::NotPolled,
    ];

    /// Its word in the API, metrics and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offered => Standing::OFFERED,
            Self::NoUpdate(reason) => reason.as_str(),
            Self::NotPolled => "not_polled",
        }
    }

    /// The word in SQL; `None`: NULL.
    pub(crate) fn stored(self) -> Option<&'static str> {
        (self != Self::NotPolled).then(|| self.as_str())
    }

    /// From the word in SQL. One that this version does not know was written by another and says nothing here.
    pub(crate) fn of_stored(word: Option<&str>) -> Self {
        word.and_then(|word| word.parse().ok()).unwrap_or(Self::NotPolled)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Told {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|told| told.as_str() == text);
        known.ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|told| told.as_str()).collect();
            Error::invalid("told", format!("must be one of {}", words.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_word_of_its_own_and_a_place() {
        for told in Told::ALL {
            assert_eq!(told.as_str().parse(), Ok(told));
            assert_eq!(Told::of_stored(told.stored()), told);
        }
        assert_eq!(Told::ALL.len(), Reason::ALL.len() + 2);
        for reason in Reason::ALL {
            assert!(Told::ALL.contains(&Told::NoUpdate(reason)), "{reason}");
        }
        assert!("behind".parse::<Told>().is_err());
        assert_eq!(Told::of_stored(Some("later_word")), Told::NotPolled);
    }
}
