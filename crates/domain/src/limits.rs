//! What a machine's credential may do beside its role: only some verbs, and only on some packages.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, PackageName};

/// How many packages a credential may be limited to. Beyond it, one that is limited to none is easier to read.
pub const MAX_LIMITED_PACKAGES: usize = 100;

/// Something that an operator does to a package, as limits name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Uploads a build.
    Upload,
    /// Makes a build the current one.
    Promote,
    /// Changes the share that a build is offered to.
    Adjust,
    /// Stops offering a build.
    Pause,
    /// Offers it again.
    Resume,
    /// Takes the current build back.
    RollBack,
    /// Wakes devices, and pauses, resumes and cancels that.
    Nudge,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 7] = [
        Self::Upload,
        Self::Promote,
        Self::Adjust,
        Self::Pause,
        Self::Resume,
        Self::RollBack,
        Self::Nudge,
    ];

    /// The verb's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Promote => "promote",
            Self::Adjust => "adjust",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RollBack => "roll_back",
            Self::Nudge => "nudge",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verb {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let verb = Self::ALL.into_iter().find(|verb| verb.as_str() == text);
        verb.ok_or_else(|| {
            let fault = "must be upload, promote, adjust, pause, resume, roll_back or nudge";
            Error::invalid("verbs", fault)
        })
    }
}

/// What a credential is limited to. It changes nothing else, and reads what its role reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The packages that it may change; empty: all.
    pub packages: BTreeSet<PackageName>,
    /// The verbs that it may use; empty: all of [`Verb::ALL`].
    pub verbs: BTreeSet<Verb>,
}

impl Limits {
    /// Limits to these packages and verbs; `None` when both are empty, which limits nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `packages` for more than [`MAX_LIMITED_PACKAGES`].
    pub fn new(
        packages: impl IntoIterator<Item = PackageName>,
        verbs: impl IntoIterator<Item = Verb>,
    ) -> Result<Option<Self>, Error> {
        let limits = Self {
            packages: packages.into_iter().collect(),
            verbs: verbs.into_iter().collect(),
        };
        if limits.packages.len() > MAX_LIMITED_PACKAGES {
            let fault = format!("must name at most {MAX_LIMITED_PACKAGES}");
            return Err(Error::invalid("packages", fault));
        }
        Ok(Some(limits).filter(|limits| *limits != Self::default()))
    }

    /// Whether the verb may be used on some package.
    pub fn allow_verb(&self, verb: Verb) -> bool {
        self.verbs.is_empty() || self.verbs.contains(&verb)
    }

    /// Whether the verb may be used on this package. `None` stands for all packages at once.
    pub fn allow(&self, verb: Verb, package: Option<&PackageName>) -> bool {
        let package_is_allowed =
            self.packages.is_empty() || package.is_some_and(|package| self.packages.contains(package));
        self.allow_verb(verb) && package_is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> PackageName {
        PackageName::parse(name).unwrap()
    }

    #[test]
    fn limits_name_packages_and_verbs_or_leave_them_open() {
        let app = package("com.example.app");
        let only_app = Limits::new([app.clone()], []).unwrap().unwrap();
        assert!(only_app.allow(Verb::Promote, Some(&app)));
        assert!(!only_app.allow(Verb::Promote, Some(&package("com.example.other"))));
        assert!(
            !only_app.allow(Verb::Nudge, None),
            "all packages are more than one"
        );
        let only_upload = Limits::new([], [Verb::Upload]).unwrap().unwrap();
        assert!(only_upload.allow(Verb::Upload, None) && !only_upload.allow(Verb::Promote, Some(&app)));
        assert_eq!(Limits::new([], []), Ok(None));
    }

    #[test]
    fn too_many_packages_are_refused() {
        let many = (0..=MAX_LIMITED_PACKAGES).map(|number| package(&format!("com.example.a{number}")));
        assert!(Limits::new(many, []).is_err());
    }

    #[test]
    fn a_verbs_name_reads_back() {
        for verb in Verb::ALL {
            assert_eq!(verb.as_str().parse(), Ok(verb));
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.as_str());
        }
        assert!("release".parse::<Verb>().is_err());
    }
}
