//! Which patches are wanted, and which go.

use std::time::Duration;

use tidegate_artifacts as artifacts;
use tidegate_domain::{Track, VersionCode, WantedPatch, wanted_patches};
use tidegate_storage::{StalePatch, Store};

use crate::{Error, Fleet, Snapshots};

/// What patches may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchSettings {
    /// How many are made for each build at most; 0: none.
    pub per_build: usize,
    /// No more are made while all together have so many bytes.
    pub storage: u64,
    /// How much memory making one may take, in bytes.
    pub memory: u64,
    /// How long one is kept after nobody has a use for it: as long as its URLs hold.
    pub grace: Duration,
}

impl Default for PatchSettings {
    fn default() -> Self {
        Self {
            per_build: 8,
            storage: 10 << 30,
            memory: tidegate_delta::DEFAULT_MEMORY,
            grace: Duration::from_secs(3600),
        }
    }
}

/// Compares the fleet with the patches.
pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) artifacts: &'a artifacts::Store,
    pub(super) snapshots: &'a Snapshots,
    pub(super) fleet: &'a Fleet,
    pub(super) settings: &'a PatchSettings,
}

impl Planner<'_> {
    /// Notes what is wanted, and removes what nobody has had a use for. Does nothing before the fleet was counted. Returns
    /// whether anything changed.
    pub(super) async fn plan(&self) -> Result<bool, Error> {
        let Some(wanted) = self.wanted().await? else {
            return Ok(false);
        };
        let mut changed = self.store.want_patches(wanted, self.settings.storage).await?;
        for stale in self.store.stale_patches(self.settings.grace).await? {
            changed |= self.remove(&stale).await?;
        }
        Ok(changed)
    }

    async fn wanted(&self) -> Result<Option<Vec<WantedPatch>>, Error> {
        let tracks: Vec<Track> = {
            let catalog = self.snapshots.catalog();
            let serving = catalog.tracks().filter(|track| !track.serving.is_empty());
            serving.cloned().collect()
        };
        let mut wanted = Vec::new();
        for track in tracks {
            let Some(running) = self.fleet.versions_of(&track.package) else {
                return Ok(None);
            };
            // Devices may claim any version.
            let known = |version: &VersionCode| {
                let builds = &track.known_signers;
                builds.binary_search_by_key(version, |(known, _)| *known).is_ok()
            };
            let ours = running.iter().map(|(version, _)| *version).filter(known);
            let kept = self.store.kept_versions(&track.package, ours.collect()).await?;
            let is_base = |version| kept.contains(&version);
            wanted.extend(wanted_patches(&track, &running, is_base, self.settings.per_build));
        }
        Ok(Some(wanted))
    }

    /// The file goes first: should this end in between, the row says that there is something to remove.
    async fn remove(&self, stale: &StalePatch) -> Result<bool, Error> {
        if let Some(sha256) = &stale.sha256 {
            self.artifacts.remove(&sha256.0).await?;
        }
        let gone = self.store.forget_patch(stale.build, stale.base).await?;
        if gone {
            tracing::info!(
                event = "ota.patch.dropped",
                build_id = stale.build.0,
                base_build_id = stale.base.0,
            );
        }
        Ok(gone)
    }
}
