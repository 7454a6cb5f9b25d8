//! Devices that come from another server, written in bulk.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use tidegate_domain::{DeviceFacts, DeviceId, PackageName, VersionCode};

use crate::store::run;
use crate::{AuditNote, Error, Store};

/// A device as another server knew it.
#[derive(Clone)]
pub struct ImportedDevice {
    /// Its id.
    pub id: DeviceId,
    /// The name that people gave it.
    pub alias: Option<String>,
    /// What is known of it.
    pub facts: DeviceFacts<'static>,
    /// Its FCM registration token.
    pub fcm_token: Option<String>,
    /// What it runs.
    pub installed: Vec<(PackageName, VersionCode)>,
    /// The hash of its token of the previous server, in the form that is stored.
    pub previous_token: Option<String>,
}

/// What a device's tokens are stays unprinted.
impl fmt::Debug for ImportedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedDevice")
            .field("id", &self.id)
            .field("alias", &self.alias)
            .field("facts", &self.facts)
            .field("installed", &self.installed)
            .field("has_previous_token", &self.previous_token.is_some())
            .finish_non_exhaustive()
    }
}

/// Devices that are imported in one transaction, each id once.
#[derive(Clone, Debug)]
pub struct DeviceImport {
    /// The devices.
    pub devices: Vec<ImportedDevice>,
    /// Whether only to tell what would be done.
    pub dry_run: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// How many devices were not known.
    pub added: u64,
    /// How many were imported before and have not enrolled since: they are now as they were told this time.
    pub updated: u64,
    /// Those that have enrolled here: nothing of them was changed.
    pub enrolled: Vec<DeviceId>,
    /// Those whose FCM token is another device's: they were taken without it.
    pub fcm_token_taken: Vec<DeviceId>,
    /// Packages that this server does not know, and of how many devices: what those run of it was left out.
    pub unknown_packages: BTreeMap<PackageName, u64>,
}

impl Store {
    /// Imports devices: adds them, and brings those up to date that were imported before and have not enrolled since. The
    /// outcome becomes the audit entry's state afterwards. To import the same again changes nothing but the time.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then.
    pub async fn import_devices(
        &self,
        import: DeviceImport,
        audit: AuditNote,
    ) -> Result<ImportOutcome, Error> {
        run!(self, write, imports::devices(&import, &audit))
    }
}
