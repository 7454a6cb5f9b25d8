//! Patches: what devices say of them, and which a fleet is worth.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Build, BuildId, Error, Subject, Track, VersionCode};

/// The one format of patches that there is, as polls and manifests name it.
pub const PATCH_FORMAT: &str = "tgp1";

/// The longest list of formats that a poll may name, in bytes.
pub const MAX_PATCH_FORMATS_BYTES: usize = 128;

/// A patch is not worth its trouble when it is larger than this share of the file, in percent.
pub const MAX_PATCH_PERCENT: u64 = 60;

/// The share of the devices that a build can be patched on for which patches are made, in percent. The rest run versions
/// that are too rare.
pub const COVERED_PERCENT: u64 = 95;

/// What became of a patch on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchOutcome {
    /// It gave the build's file.
    Applied,
    /// The installed file is not the one that the patch was made from.
    BaseDiffers,
    /// It could not be fetched.
    DownloadFailed,
    /// Its bytes are not those that the manifest said, or make no sense.
    Damaged,
    /// There was no room to apply it.
    NoSpace,
    /// It could not be applied for another reason.
    ApplyFailed,
}

impl PatchOutcome {
    /// All outcomes.
    pub const ALL: [Self; 6] = [
        Self::Applied,
        Self::BaseDiffers,
        Self::DownloadFailed,
        Self::Damaged,
        Self::NoSpace,
        Self::ApplyFailed,
    ];

    /// The outcome's name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::BaseDiffers => "base_differs",
            Self::DownloadFailed => "download_failed",
            Self::Damaged => "damaged",
            Self::NoSpace => "no_space",
            Self::ApplyFailed => "apply_failed",
        }
    }
}

impl fmt::Display for PatchOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PatchOutcome {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|outcome| outcome.as_str()).collect();
                Error::invalid("patch", format!("must be one of {}", known.join(", ")))
            })
    }
}

/// How far the server is with a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchState {
    /// To be made.
    Wanted,
    /// Being made.
    Making,
    /// Made, and offered.
    Made,
    /// Made, larger than [`MAX_PATCH_PERCENT`] of the file, and so thrown away.
    TooLarge,
    /// Not made; tried again later unless it failed too often.
    Failed,
}

impl PatchState {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Wanted,
        Self::Making,
        Self::Made,
        Self::TooLarge,
        Self::Failed,
    ];

    /// The state's name in the protocol and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Making => "making",
            Self::Made => "made",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for PatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PatchState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| Error::invalid("state", "is no state of a patch"))
    }
}

/// A patch that a fleet is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedPatch {
    /// The build that it leads to.
    pub build: BuildId,
    /// The version that it is made from.
    pub from: VersionCode,
    /// How many devices run that version.
    pub devices: u64,
}

/// How many devices run each older version from which they can be led to a build.
pub type PatchReach = BTreeMap<BuildId, BTreeMap<VersionCode, u64>>;

/// The builds that the rollouts of a package lead a device to, each once: where their audience includes it, its API level
/// suffices and the build is not above `ceiling`. Rollouts that are yet to begin count as well, and whatever their share,
/// so that their patches are there when the first device asks. A device below a barrier is led to the barrier's build.
pub fn patch_targets(track: &Track, subject: &Subject<'_>, ceiling: Option<VersionCode>) -> Vec<BuildId> {
    let mut found = Vec::new();
    for release in &track.serving {
        if !release.rollout.spec.settings.audience.includes(subject) {
            continue;
        }
        let Some(build) = next_build(track, subject.installed, &release.build) else {
            continue;
        };
        let allowed = ceiling.is_none_or(|most| build.facts.version_code <= most);
        if allowed && fits(build, subject) && !found.contains(&build.id) {
            found.push(build.id);
        }
    }
    found
}

fn fits(build: &Build, subject: &Subject<'_>) -> bool {
    let known = build.facts.installability.as_ref();
    subject
        .facts
        .sdk
        .is_none_or(|sdk| sdk >= build.facts.min_sdk && known.is_none_or(|known| known.installs_at(sdk)))
}

/// What a device that runs `from` is offered on its way to a build: the lowest barrier above it, or the build.
fn next_build<'a>(track: &'a Track, from: VersionCode, build: &'a Build) -> Option<&'a Build> {
    let version = build.facts.version_code;
    let between = |barrier: VersionCode| from < barrier && barrier < version;
    let mut barriers = track.barriers.iter().map(|barrier| &**barrier);
    let barrier = barriers.find(|barrier| between(barrier.facts.version_code));
    (from.get() > 0 && from < version).then(|| barrier.unwrap_or(build))
}

/// The patches that the devices of a package are worth, of each build the most worthwhile first: from the versions that
/// most of those devices run which can be led to it, until [`COVERED_PERCENT`] of them are covered, or there are `most`.
/// `is_base`: whether the file of this version is kept.
pub fn wanted_patches(
    reach: PatchReach,
    is_base: impl Fn(VersionCode) -> bool,
    most: usize,
) -> Vec<WantedPatch> {
    let chosen = reach
        .into_iter()
        .map(|(build, versions)| choose(build, versions, &is_base, most));
    chosen.flatten().collect()
}

fn choose(
    build: BuildId,
    versions: BTreeMap<VersionCode, u64>,
    is_base: impl Fn(VersionCode) -> bool,
    most: usize,
) -> Vec<WantedPatch> {
    let reachable: u64 = versions.values().sum();
    let mut bases: Vec<(VersionCode, u64)> = versions
        .into_iter()
        .filter(|(from, devices)| *devices > 0 && is_base(*from))
        .collect();
    bases.sort_by_key(|(from, devices)| (std::cmp::Reverse(*devices), std::cmp::Reverse(*from)));
    let (mut covered, mut wanted) = (0_u64, Vec::new());
    for (from, devices) in bases.into_iter().take(most) {
        if covered.saturating_mul(100) >= reachable.saturating_mul(COVERED_PERCENT) {
            break;
        }
        covered += devices;
        wanted.push(WantedPatch { build, from, devices });
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(code: i64) -> VersionCode {
        VersionCode::new(code).unwrap()
    }

    /// What it is about, how many run what, what is kept, how many there may be, and which are chosen.
    type Case = (
        &'static str,
        &'static [(i64, u64)],
        &'static [i64],
        usize,
        &'static [i64],
    );

    fn chosen(running: &[(i64, u64)], kept: &[i64], most: usize) -> Vec<i64> {
        let versions = running
            .iter()
            .map(|(code, devices)| (version(*code), *devices))
            .collect();
        choose(BuildId(9), versions, |code| kept.contains(&code.get()), most)
            .iter()
            .map(|wanted| wanted.from.get())
            .collect()
    }

    #[test]
    fn the_versions_that_most_devices_run_come_first_until_enough_are_covered() {
        let table: [Case; 7] = [
            (
                "all of them",
                &[(1, 10), (2, 20), (3, 30)],
                &[1, 2, 3],
                8,
                &[3, 2, 1],
            ),
            (
                "95 of 100 are enough",
                &[(1, 5), (2, 15), (3, 80)],
                &[1, 2, 3],
                8,
                &[3, 2],
            ),
            (
                "94 are not",
                &[(1, 6), (2, 14), (3, 80)],
                &[1, 2, 3],
                8,
                &[3, 2, 1],
            ),
            (
                "strangers' versions can't be covered",
                &[(1, 10), (2, 90)],
                &[1],
                8,
                &[1],
            ),
            (
                "no more than there may be",
                &[(1, 10), (2, 20), (3, 30)],
                &[1, 2, 3],
                1,
                &[3],
            ),
            ("the newer of two", &[(1, 10), (2, 10)], &[1, 2], 1, &[2]),
            ("none that nobody runs", &[(1, 10), (2, 0)], &[2], 8, &[]),
        ];
        for (what, running, kept, most, expected) in table {
            assert_eq!(chosen(running, kept, most), expected, "{what}");
        }
    }

    #[test]
    fn names_read_back() {
        for outcome in PatchOutcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        for state in PatchState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("Applied".parse::<PatchOutcome>().is_err());
    }
}
