//! What a list of devices shows beside them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, DeviceId, PackageName, VersionCode};

use crate::store::run;
use crate::{Error, Store};

/// The last thing that a device reported of any build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastOutcome {
    /// The build.
    pub build: BuildId,
    /// Its package.
    pub package: PackageName,
    /// Its name for people.
    pub version_name: String,
    /// What was reported, such as `install_failed`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Builds' names for people, by package and version code.
pub type VersionNames = HashMap<(PackageName, VersionCode), String>;

impl Store {
    /// The last thing that each of these devices reported; those that reported nothing are left out. At most
    /// [`crate::MAX_PAGE_SIZE`] are meant to be asked about at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn last_outcomes(&self, ids: Vec<DeviceId>) -> Result<HashMap<DeviceId, LastOutcome>, Error> {
        run!(self, read, device_columns::last_outcomes(&ids))
    }

    /// What people call these versions; those that were never uploaded are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn names_of_versions(
        &self,
        versions: Vec<(PackageName, VersionCode)>,
    ) -> Result<VersionNames, Error> {
        run!(self, read, device_columns::version_names(&versions))
    }
}
