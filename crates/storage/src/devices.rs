//! Devices: what they are, what they run, and what became of each build on them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    BuildId, Device, DeviceBuild, DeviceId, LastReport, Milestones, PackageName, RolloutId, VersionCode,
};

use crate::store::run;
use crate::{AuditNote, DeviceCount, DeviceFilter, Error, Page, Paged, Store, Told};

/// The most builds that a device's history shows.
pub const MAX_DEVICE_BUILDS: i64 = 500;

/// What became of one build on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildOnDevice {
    /// The build.
    pub build: BuildId,
    /// Its package.
    pub package: PackageName,
    /// Its version.
    pub version_code: VersionCode,
    /// What became of it.
    pub history: DeviceBuild,
}

/// What a device did with a build that one rollout offered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutOnDevice {
    /// The rollout.
    pub rollout: RolloutId,
    /// The build.
    pub build: BuildId,
    /// The first time of each thing.
    pub milestones: Milestones,
    /// The device's last word.
    pub last: Option<LastReport>,
}

impl Store {
    /// The devices that match, inactive ones among them unless a package is named: a package's are those that count. The
    /// order is the one that is asked for, or else that of the index which narrows the filter most, so that any page of
    /// a million devices costs the same: by id; with a search, failures, an overdue installation, a tag, a model or a
    /// region, and with what they were told, by version and age, and so with a
    /// condition; with a package by version and age; of silent ones those that never came first, then the longest silent; of those that were seen the last ones first.
    ///
    /// A page may hold fewer devices than asked for and still have a next one: at most [`crate::MAX_CANDIDATES`] are
    /// looked at for it.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave, and for a rollout that is none.
    pub async fn devices(&self, filter: DeviceFilter, page: Page) -> Result<Paged<Device>, Error> {
        run!(self, snapshot, device_list::list(&filter, &page))
    }

    /// How many devices match: exactly up to [`crate::MAX_COUNTED`], where no more than [`crate::MAX_CANDIDATES`] had to
    /// be looked at one by one.
    ///
    /// # Errors
    /// [`Error::Rule`] for a rollout that is none.
    pub async fn count_devices(&self, filter: DeviceFilter) -> Result<DeviceCount, Error> {
        run!(self, snapshot, device_list::count(&filter))
    }

    /// One device, with what it runs.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn device(&self, id: &DeviceId) -> Result<Device, Error> {
        let id = id.clone();
        run!(self, snapshot, devices::get(&id))
    }

    /// Remembers how a device is woken; `None` forgets it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_fcm_token(
        &self,
        id: &DeviceId,
        token: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let id = id.clone();
        run!(self, write, devices::set_fcm_token(&id, token.as_deref(), now))
    }

    /// Refuses the device tokens that were issued so far, forgets how the device is woken, and returns the
    /// generation that is accepted from now on. The tokens' epoch rises.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke(&self, id: &DeviceId, audit: AuditNote) -> Result<u32, Error> {
        let id = id.clone();
        run!(self, urgent, devices::revoke(&id, &audit))
    }

    /// The devices that were ever revoked, with the generation that is accepted: from all others it is 1.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn revoked_generations(&self) -> Result<Vec<(DeviceId, u32)>, Error> {
        run!(self, read, devices::revoked())
    }

    /// The devices whose generation was raised after this value of the tokens' epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn revoked_since(&self, epoch: i64) -> Result<Vec<(DeviceId, u32)>, Error> {
        run!(self, read, devices::revoked_since(epoch))
    }

    /// What became of each build on a device, newest build first, at most [`MAX_DEVICE_BUILDS`].
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn device_builds(&self, id: &DeviceId) -> Result<Vec<BuildOnDevice>, Error> {
        let id = id.clone();
        run!(self, snapshot, devices::builds(&id))
    }

    /// What a device did with the builds that rollouts offered it, newest rollout first, at most
    /// [`MAX_DEVICE_BUILDS`].
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn device_rollouts(&self, id: &DeviceId) -> Result<Vec<RolloutOnDevice>, Error> {
        let id = id.clone();
        run!(self, snapshot, devices::rollouts(&id))
    }

    /// What a device's last poll for each package was told: [`crate::Standing::OFFERED`], or a reason's name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn standings(&self, id: &DeviceId) -> Result<Vec<(PackageName, String)>, Error> {
        let id = id.clone();
        run!(self, snapshot, devices::standings(&id))
    }

    /// What the last polls of several devices were told, by package; devices that do not exist are left out. At most
    /// [`crate::MAX_PAGE_SIZE`] are meant to be asked about at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn standings_of(
        &self,
        ids: Vec<DeviceId>,
    ) -> Result<HashMap<DeviceId, Vec<(PackageName, Told)>>, Error> {
        run!(self, read, devices::standings_of(&ids))
    }
}
