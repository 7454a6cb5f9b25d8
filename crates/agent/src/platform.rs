//! What the agent asks of the device that it runs on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_apk::Source;
use tidegate_domain::{Conditions, Network, PackageName, SignerFingerprint, VersionCode};

/// `PackageInstaller`'s status for an app that is installed.
///
/// Source: <https://developer.android.com/reference/android/content/pm/PackageInstaller#STATUS_SUCCESS>
pub const STATUS_SUCCESS: i32 = 0;

/// The device. Everything but [`Platform::install`] is asked often, up to once for each chunk of a download, and
/// must answer from memory.
pub trait Platform: Send + Sync {
    /// What the battery holds, in percent; 100 for a device without one.
    fn battery(&self) -> u8;

    /// Whether the device hangs on a charger.
    fn charging(&self) -> bool;

    /// What is free where apps are installed, in bytes.
    fn free_space(&self) -> u64;

    /// How the device is connected. What may cost money by the byte is [`Network::Mobile`], a metered Wi-Fi too.
    fn network(&self) -> Network;

    /// Whether somebody is on the phone, or it rings.
    fn in_call(&self) -> bool;

    /// The installed version of a package; `None` when it is not installed.
    fn installed_version(&self, package: &PackageName) -> Option<VersionCode>;

    /// The certificate that Android knows as the installed package's present signer.
    fn installed_signer(&self, package: &PackageName) -> Option<SignerFingerprint>;

    /// Whether this agent can install a lower version over a higher one and keep the app's data. Only a privileged
    /// (system or root) agent can; the device owner can't.
    fn can_downgrade(&self) -> bool {
        false
    }

    /// Installs, and waits until Android has said what became of it.
    ///
    /// When the agent itself is updated its process ends in here; the next one finds the new version and reports.
    /// An installation that outlives the process otherwise must be over before an agent is opened again, or it
    /// would be begun twice.
    fn install(&self, installation: Installation<'_>) -> impl Future<Output = InstallOutcome> + Send;

    /// The time. It may jump.
    fn clock(&self) -> DateTime<Utc>;
}

/// A platform may be shared with whoever changes it.
impl<P: Platform> Platform for Arc<P> {
    fn battery(&self) -> u8 {
        (**self).battery()
    }
    fn charging(&self) -> bool {
        (**self).charging()
    }
    fn free_space(&self) -> u64 {
        (**self).free_space()
    }
    fn network(&self) -> Network {
        (**self).network()
    }
    fn in_call(&self) -> bool {
        (**self).in_call()
    }
    fn installed_version(&self, package: &PackageName) -> Option<VersionCode> {
        (**self).installed_version(package)
    }
    fn installed_signer(&self, package: &PackageName) -> Option<SignerFingerprint> {
        (**self).installed_signer(package)
    }
    fn can_downgrade(&self) -> bool {
        (**self).can_downgrade()
    }
    fn install(&self, installation: Installation<'_>) -> impl Future<Output = InstallOutcome> + Send {
        (**self).install(installation)
    }
    fn clock(&self) -> DateTime<Utc> {
        (**self).clock()
    }
}

/// The device as the safety rules see it.
pub(crate) fn conditions(platform: &impl Platform) -> Conditions {
    Conditions {
        battery_percent: platform.battery(),
        charging: platform.charging(),
        free_bytes: platform.free_space(),
        network: platform.network(),
        in_call: platform.in_call(),
    }
}

/// What is to be installed. Size, hash, signature, signer, package and version are checked.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'a> {
    /// The package.
    pub package: &'a PackageName,
    /// The version that it will have.
    pub version: VersionCode,
    /// The file.
    pub file: &'a StoredFile,
    /// Whether the version is lower than the installed one, as the operator forces it to be.
    pub downgrade: bool,
}

/// A whole file, where the [`crate::StateStore`] keeps it.
#[derive(Clone, Debug)]
pub enum StoredFile {
    /// In a folder.
    Path(PathBuf),
    /// In memory.
    Memory(Arc<Vec<u8>>),
}

impl StoredFile {
    /// Where it lies; `None` when it lies in memory.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Memory(_) => None,
        }
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn open(&self) -> std::io::Result<Box<dyn Source + Send>> {
        Ok(match self {
            Self::Path(path) => Box::new(std::fs::File::open(path)?),
            Self::Memory(bytes) => Box::new(Arc::clone(bytes)),
        })
    }
}

/// What Android said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallOutcome {
    /// `PackageInstaller`'s `EXTRA_STATUS`, [`STATUS_SUCCESS`] when it is installed.
    pub status: i32,
    /// Its `EXTRA_STATUS_MESSAGE`, which often says more than the status.
    pub message: String,
}

impl InstallOutcome {
    /// It is installed.
    pub fn success() -> Self {
        Self {
            status: STATUS_SUCCESS,
            message: String::new(),
        }
    }

    /// It is not.
    pub fn failure(status: i32, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// The status in a word, for reports.
    pub(crate) fn reason(&self) -> &'static str {
        match self.status {
            2 => "blocked",
            3 => "aborted",
            4 => "invalid",
            5 => "conflict",
            6 => "storage",
            7 => "incompatible",
            8 => "timeout",
            _ => "failure",
        }
    }
}
