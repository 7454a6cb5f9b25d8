//! What people are shown of patches.

use std::sync::Arc;

use tidegate_domain::{BuildId, PackageName, PatchState, VersionCode};
use tidegate_storage::{Patch, PatchStats, Store};

use crate::{Error, Fleet, Snapshots};

/// Shows patches.
pub struct Patches {
    store: Store,
    snapshots: Arc<Snapshots>,
    fleet: Arc<Fleet>,
}

/// The patches to a build, and what devices said of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildPatches {
    /// The patches, those that most devices could take first.
    pub patches: Vec<Patch>,
    /// By rollout; those of which nothing was said are left out.
    pub stats: Vec<PatchStats>,
}

/// How far the patches to a build reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchCoverage {
    /// How many are made and offered.
    pub made: usize,
    /// How many there are in any state.
    pub all: usize,
    /// How many devices run an older version of the package, as the fleet was last counted.
    pub reachable: u64,
    /// How many of them run one that a made patch leads from.
    pub covered: u64,
}

impl Patches {
    /// Over this database and these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, fleet: Arc<Fleet>) -> Self {
        Self {
            store,
            snapshots,
            fleet,
        }
    }

    /// The patches to a build.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn of_build(&self, build: BuildId) -> Result<BuildPatches, Error> {
        Ok(BuildPatches {
            patches: self.store.patches_of(build).await?,
            stats: self.store.patch_stats(build).await?,
        })
    }

    /// How far the patches to a build of this package and version reach. Asks nobody.
    pub fn coverage(&self, build: BuildId, package: &PackageName, version: VersionCode) -> PatchCoverage {
        let patches = self.snapshots.patches();
        let running = self.fleet.versions_of(package).unwrap_or_default();
        let older = running
            .iter()
            .filter(|(from, _)| from.get() > 0 && *from < version);
        let covered = older
            .clone()
            .filter(|(from, _)| patches.made_from(build, *from).is_some());
        let of_build = || patches.of_build(build);
        PatchCoverage {
            made: of_build().filter(|patch| patch.state == PatchState::Made).count(),
            all: of_build().count(),
            reachable: older.clone().map(|(_, devices)| devices).sum(),
            covered: covered.map(|(_, devices)| devices).sum(),
        }
    }
}
