//! Installability: on which levels of Android a file installs, and why not on the others.
//!
//! A second verdict beside the signature's. A file can be signed without fault and still be refused by the
//! devices that download it: because it is packed in a way that newer releases don't take, because it asks for
//! a release that is not out, or because no scheme that it is signed with is known to them. Each reason is a
//! [`Finding`] with the levels it is about. All of it is computed from one file; what depends on the build that
//! is installed is told by [`update_findings`].

mod findings;
mod update;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

pub(crate) use findings::{Facts, examine};
pub use update::update_findings;

use crate::SdkRange;
use crate::text::visible;

/// On which levels a file installs, and what stands against it on the others.
///
/// Both lists are empty in a stored record of a build that was not examined; whoever stores records keeps that
/// apart from a build that installs nowhere, which has findings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Installability {
    /// The levels on which it installs, lowest first, without overlaps. Empty when there are none.
    pub installs_on: Vec<Levels>,
    /// What was found, what keeps devices from installing it first.
    pub findings: Vec<Finding>,
}

/// SDK levels, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Levels {
    /// The lowest level.
    pub from_sdk: u32,
    /// The highest level; none for all that will ever come.
    pub to_sdk: Option<u32>,
}

/// One reason for which devices refuse a file, or could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub code: FindingCode,
    /// Whether devices of these levels refuse the file. Otherwise it is something to know.
    pub blocks: bool,
    /// The levels it is about.
    #[serde(flatten)]
    pub levels: Levels,
    /// The entry of the archive.
    pub file: String,
    /// In words, for an operator.
    pub detail: String,
}

/// Kinds of finding. The serialised names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingCode {
    /// Levels below the minimum that the app asks for (−12).
    BelowMinSdk,
    /// The app asks for a release in development; no released device is one (−12).
    CodenameSdk,
    /// Marked `testOnly`: refused unless a developer insists (−15).
    TestOnly,
    /// An entry's name that devices don't read, so that they don't read the archive.
    UnreadableName,
    /// No `classes.dex`, and the manifest does not say that the app has no code (−2).
    NoCode,
    /// Something in the manifest that Android's parser refuses (−108).
    ManifestMalformed,
    /// No signature of a scheme that these levels know.
    NoKnownSignature,
    /// Signed with v1 alone, and written for a level from which on v2 is asked for.
    SchemeTooOld,
    /// Written for a level so old that newer devices refuse it (−29).
    TargetTooLow,
    /// `resources.arsc` is compressed (−124).
    ResourcesCompressed,
    /// `resources.arsc` does not start at a multiple of four bytes (−124).
    ResourcesUnaligned,
    /// A native library that is to be run out of the file is compressed (−2).
    LibraryCompressed,
    /// A native library that is to be run out of the file does not start at a page (−2).
    LibraryUnaligned,
    /// It does not start at a page of 16 KiB, as devices with such pages ask for.
    #[serde(rename = "library-unaligned-16k")]
    LibraryUnaligned16k,
    /// Native libraries for no ABI of Android (−113).
    NoKnownAbi,
    /// Native libraries for 32 bits only: newer devices run 64 bits only (−113).
    #[serde(rename = "only-32-bit")]
    Only32Bit,
    /// A component with an intent filter that does not say whether it is exported (−108).
    ExportedMissing,
    /// Neither `<application>` nor `<instrumentation>` (−108).
    NoApplication,
    /// Levels above the maximum that the app names. Devices don't enforce it.
    AboveMaxSdk,
    /// Another shared user than the current build's (−8 or −24).
    SharedUserChanged,
    /// From a level with runtime permissions back to one without (−26).
    PermissionModelLowered,
    /// Written for an older level than the current build.
    TargetLowered,
    /// Native libraries for fewer ABIs than the current build has.
    AbiRemoved,
    /// Declares a permission that the current build does not: refused where another app owns it (−112).
    PermissionAdded,
    /// No longer declares a permission: other apps lose it, and yet another may take it over.
    PermissionRemoved,
    /// A kind that this version does not know, from a newer one's records.
    #[serde(other)]
    Other,
}

impl Installability {
    /// What installs on `from` and above but where a finding blocks.
    pub(crate) fn new(from: u32, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| (!finding.blocks, finding.code, finding.levels));
        let mut open = vec![from.max(1)..=SdkRange::OPEN];
        for finding in findings.iter().filter(|finding| finding.blocks) {
            open = open
                .into_iter()
                .flat_map(|range| without(&range, finding.levels))
                .collect();
        }
        let installs_on = open
            .into_iter()
            .map(|range| Levels::between(*range.start(), *range.end()));
        Self {
            installs_on: installs_on.collect(),
            findings,
        }
    }

    /// Whether a device of this level installs it.
    #[must_use]
    pub fn installs_at(&self, sdk: u32) -> bool {
        self.installs_on.iter().any(|levels| levels.contains(sdk))
    }

    /// Whether a device of some level from `sdk` on installs it.
    #[must_use]
    pub fn installs_from(&self, sdk: u32) -> bool {
        self.installs_on.iter().any(|levels| levels.end() >= sdk)
    }

    /// What keeps a device of this level from installing it.
    pub fn blocking_at(&self, sdk: u32) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.blocks && finding.levels.contains(sdk))
    }
}

impl Levels {
    /// All levels.
    pub const ALL: Self = Self {
        from_sdk: 1,
        to_sdk: None,
    };

    /// From `from_sdk` on.
    #[must_use]
    pub fn from(from_sdk: u32) -> Self {
        Self {
            from_sdk,
            to_sdk: None,
        }
    }

    /// From `first` to `last`, [`SdkRange::OPEN`] for no end.
    pub(crate) fn between(first: u32, last: u32) -> Self {
        Self {
            from_sdk: first,
            to_sdk: (last < SdkRange::OPEN).then_some(last),
        }
    }

    /// Whether `level` is among them.
    #[must_use]
    pub fn contains(self, level: u32) -> bool {
        (self.from_sdk..=self.end()).contains(&level)
    }

    fn end(self) -> u32 {
        self.to_sdk.unwrap_or(SdkRange::OPEN)
    }
}

impl std::fmt::Display for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        SdkRange {
            min: self.from_sdk,
            max: self.end(),
        }
        .fmt(f)
    }
}

impl Finding {
    /// One that keeps devices of these levels from installing the file.
    pub(crate) fn blocking(code: FindingCode, levels: Levels, file: &str, detail: impl Into<String>) -> Self {
        Self {
            code,
            blocks: true,
            levels,
            file: visible(file),
            detail: visible(&detail.into()),
        }
    }

    /// One to know about.
    pub(crate) fn note(code: FindingCode, levels: Levels, file: &str, detail: impl Into<String>) -> Self {
        Self {
            blocks: false,
            ..Self::blocking(code, levels, file, detail)
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.blocks { "does not install" } else { "note" };
        write!(
            f,
            "API level {}, {what}: {}: {} [{}]",
            self.levels, self.file, self.detail, self.code
        )
    }
}

impl std::fmt::Display for FindingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// What is left of `range` without `levels`.
fn without(range: &RangeInclusive<u32>, levels: Levels) -> impl Iterator<Item = RangeInclusive<u32>> + use<> {
    let (first, last) = (*range.start(), *range.end());
    let below = levels.from_sdk.checked_sub(1).map(|end| first..=end.min(last));
    let above = levels.end().checked_add(1).map(|start| start.max(first)..=last);
    [below, above]
        .into_iter()
        .flatten()
        .filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(levels: Levels) -> Finding {
        Finding::blocking(FindingCode::TestOnly, levels, "x", "y")
    }

    #[test]
    fn blocked_levels_are_cut_out_and_notes_are_not() {
        let on = |from: u32, blocked_levels: &[Levels]| {
            let findings = blocked_levels.iter().copied().map(blocked).collect();
            Installability::new(from, findings).installs_on
        };
        assert_eq!(on(24, &[]), [Levels::from(24)]);
        assert_eq!(on(0, &[]), [Levels::ALL]);
        assert_eq!(on(24, &[Levels::from(30)]), [Levels::between(24, 29)]);
        assert_eq!(
            on(24, &[Levels::between(1, 27), Levels::from(34)]),
            [Levels::between(28, 33)]
        );
        assert_eq!(
            on(21, &[Levels::between(24, 27)]),
            [Levels::between(21, 23), Levels::from(28)]
        );
        assert_eq!(on(24, &[Levels::ALL]), []);
        assert_eq!(on(24, &[Levels::from(20)]), []);
        let note = Finding {
            blocks: false,
            ..blocked(Levels::ALL)
        };
        assert!(Installability::new(24, vec![note]).installs_at(24));
    }

    #[test]
    fn findings_survive_being_stored_and_unknown_kinds_too() {
        let found = Installability::new(24, vec![blocked(Levels::between(30, 33))]);
        let text = serde_json::to_string(&found).unwrap();
        assert!(
            text.contains(r#""installs_on":[{"from_sdk":24,"to_sdk":29},{"from_sdk":34,"to_sdk":null}]"#),
            "{text}"
        );
        assert!(
            text.contains(r#""code":"test-only","blocks":true,"from_sdk":30,"to_sdk":33,"file":"x""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Installability>(&text).unwrap(), found);
        let newer = text.replace("test-only", "from-the-future");
        let read: Installability = serde_json::from_str(&newer).unwrap();
        assert_eq!(read.findings[0].code, FindingCode::Other);
        assert!(!read.installs_at(31) && read.installs_at(34) && read.installs_from(40));
    }
}
