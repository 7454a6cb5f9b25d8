//! On which API levels devices install a build, as its file says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::SdkLevel;

/// What an examination of a build's file found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installability {
    /// The levels on which it installs, lowest first; empty when there are none.
    pub installs_on: Vec<Levels>,
    /// What keeps devices from installing it, and what is worth knowing besides; what blocks comes first.
    pub findings: Vec<Finding>,
}

/// API levels, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// The lowest level.
    pub from_sdk: SdkLevel,
    /// The highest level, `u32::MAX` for no end.
    pub to_sdk: SdkLevel,
}

/// One thing that was found in a build's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind, such as `resources-compressed`.
    pub code: String,
    /// Whether devices of these levels refuse the build. Otherwise it is something to know.
    pub blocks: bool,
    /// The levels that it is about.
    #[serde(flatten)]
    pub levels: Levels,
    /// The place in the file and the fault, in words.
    pub message: String,
}

impl Installability {
    /// Whether a device of this level installs the build.
    pub fn installs_at(&self, sdk: SdkLevel) -> bool {
        self.installs_on.iter().any(|levels| levels.contains(sdk))
    }

    /// Whether a device of some level from `sdk` on installs the build.
    pub fn installs_from(&self, sdk: SdkLevel) -> bool {
        self.installs_on.iter().any(|levels| levels.to_sdk >= sdk)
    }

    /// What keeps devices of this level from installing the build.
    pub fn blocking_at(&self, sdk: SdkLevel) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.blocks && finding.levels.contains(sdk))
    }

    /// The levels on which it installs, such as `24-29, 34+`, or `none`.
    pub fn levels(&self) -> String {
        if self.installs_on.is_empty() {
            return "none".to_owned();
        }
        let levels: Vec<String> = self.installs_on.iter().map(ToString::to_string).collect();
        levels.join(", ")
    }
}

impl Levels {
    /// Whether `sdk` is among them.
    pub fn contains(self, sdk: SdkLevel) -> bool {
        (self.from_sdk..=self.to_sdk).contains(&sdk)
    }
}

/// `24-29`, `30+` or `30`.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from_sdk, self.to_sdk) {
            (from, SdkLevel::MAX) => write!(f, "{from}+"),
            (from, to) if from == to => write!(f, "{from}"),
            (from, to) => write!(f, "{from}-{to}"),
        }
    }
}

/// The message with its code.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(ranges: &[(SdkLevel, SdkLevel)]) -> Installability {
        let levels = |&(from_sdk, to_sdk)| Levels { from_sdk, to_sdk };
        Installability {
            installs_on: ranges.iter().map(levels).collect(),
            findings: vec![],
        }
    }

    #[test]
    fn what_blocks_a_level_is_told_to_it_alone() {
        let finding = |code: &str, blocks, from_sdk, to_sdk| Finding {
            code: code.to_owned(),
            blocks,
            levels: Levels { from_sdk, to_sdk },
            message: String::new(),
        };
        let build = Installability {
            installs_on: vec![],
            findings: vec![
                finding("blocks-old", true, 24, 29),
                finding("to-know", false, 24, 29),
                finding("blocks-new", true, 30, SdkLevel::MAX),
            ],
        };
        for (sdk, expected) in [(23, None), (25, Some("blocks-old")), (30, Some("blocks-new"))] {
            let codes: Vec<&str> = build.blocking_at(sdk).map(|found| found.code.as_str()).collect();
            assert_eq!(codes, Vec::from_iter(expected), "{sdk}");
        }
    }

    #[test]
    fn both_ends_of_a_range_install() {
        let build = on(&[(24, 29), (34, SdkLevel::MAX)]);
        let installs: Vec<SdkLevel> = (20..40).filter(|sdk| build.installs_at(*sdk)).collect();
        assert_eq!(
            installs,
            (24..30).chain(34..40).collect::<Vec<_>>(),
            "only these levels install it"
        );
        assert_eq!(build.levels(), "24-29, 34+");
        assert!(on(&[(24, 29)]).installs_from(29) && !on(&[(24, 29)]).installs_from(30));
        assert!(!on(&[]).installs_from(0));
        assert_eq!(on(&[]).levels(), "none");
        assert_eq!(on(&[(30, 30)]).levels(), "30");
    }
}
