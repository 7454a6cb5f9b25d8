//! Patches from one build to another: which are wanted, who makes them, and what devices said of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Build, BuildId, PackageName, PatchOutcome, PatchState, RolloutId, Sha256, VersionCode, WantedPatch,
};

use crate::store::run;
use crate::{Error, Store};

/// How often making a patch is begun before it is given up: one that takes its server down must not do so for ever.
pub const MAX_PATCH_ATTEMPTS: u32 = 5;

/// A patch as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The package of both builds.
    pub package: PackageName,
    /// The build that it leads to.
    pub build: BuildId,
    /// That build's size, in bytes.
    pub full_size: u64,
    /// The build that it is made from.
    pub base: BuildId,
    /// That build's version.
    pub from_version: VersionCode,
    /// That build's file.
    pub base_sha256: Sha256,
    /// How far it is.
    pub state: PatchState,
    /// Why it could not be made.
    pub reason: Option<String>,
    /// How many devices ran the base when it was wanted or looked at last.
    pub devices: u64,
    /// Its size in bytes, once it was made; also of one that is too large.
    pub size: Option<u64>,
    /// Its file, while it is made.
    pub sha256: Option<Sha256>,
    /// Since when it was wanted.
    pub wanted_at: DateTime<Utc>,
    /// When it was made.
    pub made_at: Option<DateTime<Utc>>,
    /// How long that took.
    pub took: Option<Duration>,
    /// How often it was begun.
    pub attempts: u32,
}

/// A patch to be made, and nobody else's to make while the lease lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchJob {
    /// The build that it leads to.
    pub build: Build,
    /// The build that it is made from.
    pub base: Build,
    /// How often it was begun, with this time.
    pub attempts: u32,
}

/// How the making of a patch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchEnd {
    /// Its file is in the artifact store.
    Made {
        /// In bytes.
        size: u64,
        /// The file's.
        sha256: Sha256,
        /// How long it took.
        took: Duration,
    },
    /// It is not worth its trouble.
    TooLarge {
        /// In bytes.
        size: u64,
        /// How long it took.
        took: Duration,
    },
    /// It could not be made.
    Failed {
        /// Why.
        reason: String,
        /// When it is to be tried again; `None`: never.
        retry_after: Option<Duration>,
    },
    /// The maker stops before the end: another one is to make it.
    GivenBack,
}

/// A patch that nobody has had a use for, for so long that it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StalePatch {
    /// The build that it leads to.
    pub build: BuildId,
    /// The build that it is made from.
    pub base: BuildId,
    /// Its file, to be removed first.
    pub sha256: Option<Sha256>,
}

/// What a device's word about a patch counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchCounted {
    /// The word.
    pub outcome: PatchOutcome,
    /// How many bytes the device did not have to fetch.
    pub saved_bytes: u64,
}

/// What devices said of the patches to a build, by the rollout that offered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchStats {
    /// The rollout.
    pub rollout: RolloutId,
    /// How often each was said, in the order of [`PatchOutcome::ALL`]: once for each attempt of a device.
    pub outcomes: [u64; PatchOutcome::ALL.len()],
    /// How many devices have the whole file without a patch.
    pub full: u64,
    /// How many bytes devices did not have to fetch.
    pub saved_bytes: u64,
}

impl PatchStats {
    /// How often this was said.
    pub fn count(&self, outcome: PatchOutcome) -> u64 {
        let at = PatchOutcome::ALL.iter().position(|known| *known == outcome);
        at.map_or(0, |at| self.outcomes[at])
    }
}

impl Store {
    /// All patches, by the build that they lead to from the newest, those that most devices can take first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn patches(&self) -> Result<Vec<Patch>, Error> {
        run!(self, read, patches::list(None))
    }

    /// Those that lead to this build.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown build.
    pub async fn patches_of(&self, build: BuildId) -> Result<Vec<Patch>, Error> {
        run!(self, read, patches::of_build(build))
    }

    /// What devices said of the patches to this build, by ascending rollout. Rollouts of which nothing was said are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn patch_stats(&self, build: BuildId) -> Result<Vec<PatchStats>, Error> {
        run!(self, read, patch_outcomes::stats(build))
    }

    /// Which of these versions of a package are builds whose file is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn kept_versions(
        &self,
        package: &PackageName,
        versions: Vec<VersionCode>,
    ) -> Result<Vec<VersionCode>, Error> {
        let package = package.clone();
        run!(self, read, patches::kept_versions(&package, &versions))
    }

    /// Notes which patches are wanted: of all packages at once. Those that are new are added while the made ones together
    /// have less than `budget` bytes and their base's file is kept; those that are not among them are unwanted from now on.
    /// Returns whether any was added. The patches' epoch rises then.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn want_patches(&self, wanted: Vec<WantedPatch>, budget: u64) -> Result<bool, Error> {
        run!(self, write, patches::want(&wanted, budget))
    }

    /// Patches that have been unwanted for so long, and that nobody makes.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn stale_patches(&self, grace: Duration) -> Result<Vec<StalePatch>, Error> {
        run!(self, read, patches::stale(grace))
    }

    /// Forgets a patch, unless somebody makes it. The patches' epoch rises.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn forget_patch(&self, build: BuildId, base: BuildId) -> Result<bool, Error> {
        run!(self, write, patches::forget(build, base))
    }

    /// Notes that a made patch's file is gone, so that it is made anew. False when it is another file's by now. The patches'
    /// epoch rises.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn lose_patch(&self, build: BuildId, base: BuildId, sha256: Sha256) -> Result<bool, Error> {
        run!(self, write, patches::lose(build, base, sha256))
    }

    /// Whether a made patch is this file.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn patch_file_in_use(&self, sha256: Sha256) -> Result<bool, Error> {
        run!(self, read, patches::has_file(sha256))
    }

    /// Whether a patch waits to be made.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn patches_wait(&self) -> Result<bool, Error> {
        run!(self, read, patches::wait())
    }

    /// Takes the patch that is to be made next, if there is one: the one that most devices can take, and those that failed
    /// before only after the others. It is the holder's alone for so long, by the database's clock. One whose holder was lost
    /// is taken over, [`MAX_PATCH_ATTEMPTS`] times at most. The patches' epoch rises.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn claim_patch(&self, holder: &str, lasts: Duration) -> Result<Option<PatchJob>, Error> {
        let holder = holder.to_owned();
        run!(self, write, patches::claim(&holder, lasts))
    }

    /// Prolongs the holder's lease. False when it is another's meanwhile, or the patch is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn renew_patch(
        &self,
        build: BuildId,
        base: BuildId,
        holder: &str,
        lasts: Duration,
    ) -> Result<bool, Error> {
        let holder = holder.to_owned();
        run!(self, write, patches::renew(build, base, &holder, lasts))
    }

    /// Notes how making a patch ended. False, and nothing is noted, when it is another's meanwhile. The patches' epoch rises.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn end_patch(
        &self,
        build: BuildId,
        base: BuildId,
        holder: &str,
        end: PatchEnd,
    ) -> Result<bool, Error> {
        let holder = holder.to_owned();
        run!(self, write, patches::end(build, base, &holder, &end))
    }
}
