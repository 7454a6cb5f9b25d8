//! Which patches are wanted, and which go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tidegate_artifacts as artifacts;
use tidegate_domain::{
    Audience, BuildId, PackageName, PatchReach, Policy, PolicyId, RolloutId, Track, VersionCode, WantedPatch,
    wanted_patches,
};
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
    pub(super) reached: &'a mut HashMap<PackageName, Reached>,
}

/// The most devices of which each is asked; of a larger fleet every second, third, … one.
const MOST_COUNTED: u64 = 100_000;

/// So many times as long as counting took it is not counted again, unless what is released changes.
const REST: u32 = 100;

/// Nor longer than this.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// What was counted of a package.
pub(super) struct Reached {
    terms: Terms,
    at: Instant,
    took: Duration,
    reach: PatchReach,
}

/// What a count depends on beside the devices.
#[derive(PartialEq)]
struct Terms {
    rollouts: Vec<(RolloutId, BuildId, Audience)>,
    barriers: Vec<BuildId>,
    ceilings: Vec<(PolicyId, Option<VersionCode>)>,
}

impl Terms {
    fn of(track: &Track, ceilings: &[Policy]) -> Self {
        let rollouts = track.serving.iter().map(|release| {
            let audience = release.rollout.spec.settings.audience.clone();
            (release.rollout.id, release.build.id, audience)
        });
        let concerning = ceilings
            .iter()
            .filter(|policy| policy.concerns(track.package.as_str()));
        let mut ceilings: Vec<_> = concerning
            .map(|policy| (policy.id, policy.spec.terms.max_version))
            .collect();
        ceilings.sort_unstable();
        Self {
            rollouts: rollouts.collect(),
            barriers: track.barriers.iter().map(|build| build.id).collect(),
            ceilings,
        }
    }
}

impl Planner<'_> {
    /// Notes what is wanted, and removes what nobody has had a use for. Does nothing before the fleet was counted. Returns
    /// whether anything changed.
    pub(super) async fn plan(&mut self) -> Result<bool, Error> {
        let Some(wanted) = self.wanted().await? else {
            return Ok(false);
        };
        let mut changed = self.store.want_patches(wanted, self.settings.storage).await?;
        for stale in self.store.stale_patches(self.settings.grace).await? {
            changed |= self.remove(&stale).await?;
        }
        Ok(changed)
    }

    async fn wanted(&mut self) -> Result<Option<Vec<WantedPatch>>, Error> {
        let (tracks, ceilings) = self.serving();
        let served = |package: &PackageName| tracks.iter().any(|track| track.package == *package);
        self.reached.retain(|package, _| served(package));
        let mut wanted = Vec::new();
        for track in tracks {
            if self.fleet.versions_of(&track.package).is_none() {
                return Ok(None);
            }
            let reach = self.reach(&track, &ceilings).await?;
            // Devices may claim any version.
            let known = |version: &VersionCode| {
                let builds = &track.known_signers;
                builds.binary_search_by_key(version, |(known, _)| *known).is_ok()
            };
            let ours: BTreeSet<VersionCode> = reach.values().flat_map(BTreeMap::keys).copied().collect();
            let ours = ours.into_iter().filter(known);
            let kept = self.store.kept_versions(&track.package, ours.collect()).await?;
            let is_base = |version| kept.contains(&version);
            wanted.extend(wanted_patches(reach, is_base, self.settings.per_build));
        }
        Ok(Some(wanted))
    }

    /// The packages that release something, and the policies that name a ceiling.
    fn serving(&self) -> (Vec<Track>, Vec<Policy>) {
        let catalog = self.snapshots.catalog();
        let serving = catalog.tracks().filter(|track| !track.serving.is_empty());
        let ceilings = catalog.policies().all();
        let ceilings = ceilings.filter(|policy| policy.spec.terms.max_version.is_some());
        (serving.cloned().collect(), ceilings.cloned().collect())
    }

    /// What the fleet can be led to, as it was counted a moment ago: counting takes no more than a hundredth of the time.
    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    async fn reach(&mut self, track: &Track, ceilings: &[Policy]) -> Result<PatchReach, Error> {
        let terms = Terms::of(track, ceilings);
        if let Some(reached) = self.reached.get(&track.package)
            && reached.terms == terms
            && reached.at.elapsed() < (reached.took * REST).min(LONGEST_REST)
        {
            return Ok(reached.reach.clone());
        }
        let begun = Instant::now();
        let reach = self.store.patch_reach(&track.package, MOST_COUNTED).await?;
        let reached = Reached {
            terms,
            at: Instant::now(),
            took: begun.elapsed(),
            reach: reach.clone(),
        };
        self.reached.insert(track.package.clone(), reached);
        Ok(reach)
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
