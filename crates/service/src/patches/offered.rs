//! The patches as polls look them up.

use std::collections::HashMap;

use tidegate_domain::{BuildId, PatchState, Sha256, VersionCode};
use tidegate_storage::Patch;

/// A patch whose file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferedPatch {
    /// The build that it is made from.
    pub base: BuildId,
    /// That build's file.
    pub base_sha256: Sha256,
    /// In bytes.
    pub size: u64,
    /// The patch's own.
    pub sha256: Sha256,
}

/// All patches, as they stood when one of them last changed.
#[derive(Clone, Debug, Default)]
pub struct PatchSet {
    made: HashMap<(BuildId, VersionCode), OfferedPatch>,
    all: Vec<Patch>,
}

impl PatchSet {
    /// Of these patches.
    pub fn of(all: Vec<Patch>) -> Self {
        let made = all.iter().filter_map(|patch| {
            let offered = OfferedPatch {
                base: patch.base,
                base_sha256: patch.base_sha256,
                size: patch.size?,
                sha256: patch.sha256?,
            };
            Some(((patch.build, patch.from_version), offered))
        });
        Self {
            made: made.collect(),
            all,
        }
    }

    /// The patch to a build from what a device runs. A package has one build of a version, so it can't be another's.
    pub fn made_from(&self, build: BuildId, from: VersionCode) -> Option<&OfferedPatch> {
        self.made.get(&(build, from))
    }

    /// The patch between these builds, if its file is there.
    pub(crate) fn made_between(&self, build: BuildId, base: BuildId) -> Option<&OfferedPatch> {
        let mut of_build = self.made.iter().filter(|((to, _), _)| *to == build);
        of_build
            .find(|(_, patch)| patch.base == base)
            .map(|(_, patch)| patch)
    }

    /// Those that lead to this build, those that most devices could take first.
    pub fn of_build(&self, build: BuildId) -> impl Iterator<Item = &Patch> {
        self.all.iter().filter(move |patch| patch.build == build)
    }

    /// How many there are in each state.
    pub fn by_state(&self) -> [(PatchState, u64); PatchState::ALL.len()] {
        PatchState::ALL.map(|state| {
            let count = self.all.iter().filter(|patch| patch.state == state).count();
            (state, count as u64)
        })
    }

    /// How many bytes the files of all have.
    pub fn bytes(&self) -> u64 {
        self.made.values().map(|patch| patch.size).sum()
    }
}
