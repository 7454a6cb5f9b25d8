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

/// The device. Everything but [`Platform::install`] is called often, up to once for each chunk of a download, and must
/// return without waiting for anything.
pub trait Platform: Send + Sync {
    /// The charge of the battery in percent; 100 for a device without one.
    fn battery(&self) -> u8;

    /// Whether the device is charging.
    fn charging(&self) -> bool;

    /// The free space where apps are installed, in bytes.
    fn free_space(&self) -> u64;

    /// How the device is connected. Everything metered is [`Network::Mobile`], a metered Wi-Fi too.
    fn network(&self) -> Network;

    /// Whether there is a call, or the phone rings.
    fn in_call(&self) -> bool;

    /// The installed version of a package; `None` when it is not installed.
    fn installed_version(&self, package: &PackageName) -> Option<VersionCode>;

    /// The certificate of the installed package's present signer, as Android knows it.
    fn installed_signer(&self, package: &PackageName) -> Option<SignerFingerprint>;

    /// The installed package's file, `ApplicationInfo.sourceDir`, if the agent may read it. With it the agent takes patches, which
    /// are made from whole APKs. `None` for a package that is installed as split APKs, or in any case: whole files are taken.
    fn installed_apk(&self, _package: &PackageName) -> Option<StoredFile> {
        None
    }

    /// Whether this agent can install a lower version over a higher one and keep the app's data. Only a privileged
    /// (system or root) agent can; the device owner can't.
    fn can_downgrade(&self) -> bool {
        false
    }

    /// How often the package crashed since it was installed, if the agent can know.
    fn crashes(&self, _package: &PackageName) -> Option<u64> {
        None
    }

    /// Whether nobody uses the device: its screen has been off for a while, or what the agent of a kiosk calls idle. `None`:
    /// that can't be known, and an update that asks for it waits until its deadline.
    fn idle(&self) -> Option<bool> {
        None
    }

    /// Whether the app says that it may be replaced now, such as a till between two customers. `None`: it has not said, and an
    /// update that asks for it waits until its deadline.
    fn consents(&self, _package: &PackageName) -> Option<bool> {
        None
    }

    /// The IANA name of the present time zone, such as `Europe/Berlin`. `None`: [`crate::Config::zone`].
    fn zone(&self) -> Option<String> {
        None
    }

    /// Installs, and waits for Android's result.
    ///
    /// If the agent itself is updated, its process ends during this call; the next process finds the new version and
    /// reports it. If an installation can go on for another reason after the process has ended, wait until it is over
    /// before you open an agent again. Otherwise it would be started twice.
    fn install(&self, installation: Installation<'_>) -> impl Future<Output = InstallOutcome> + Send;

    /// The present time. The clock may be set, forward or back.
    fn clock(&self) -> DateTime<Utc>;
}

/// An agent can share a platform with its embedder.
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
    fn installed_apk(&self, package: &PackageName) -> Option<StoredFile> {
        (**self).installed_apk(package)
    }
    fn can_downgrade(&self) -> bool {
        (**self).can_downgrade()
    }
    fn crashes(&self, package: &PackageName) -> Option<u64> {
        (**self).crashes(package)
    }
    fn idle(&self) -> Option<bool> {
        (**self).idle()
    }
    fn consents(&self, package: &PackageName) -> Option<bool> {
        (**self).consents(package)
    }
    fn zone(&self) -> Option<String> {
        (**self).zone()
    }
    fn install(&self, installation: Installation<'_>) -> impl Future<Output = InstallOutcome> + Send {
        (**self).install(installation)
    }
    fn clock(&self) -> DateTime<Utc> {
        (**self).clock()
    }
}

/// What the safety rules need to know about the device.
pub(crate) fn conditions(platform: &impl Platform) -> Conditions {
    Conditions {
        battery_percent: platform.battery(),
        charging: platform.charging(),
        free_bytes: platform.free_space(),
        network: platform.network(),
        in_call: platform.in_call(),
    }
}

/// A file to install. Its size, hash, signature, signer, package and version have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'a> {
    /// The package.
    pub package: &'a PackageName,
    /// The version that it will have.
    pub version: VersionCode,
    /// The file.
    pub file: &'a StoredFile,
    /// Whether the version is lower than the installed one. That happens only if an operator forces it.
    pub downgrade: bool,
}

/// A complete file: in a [`crate::StateStore`], or where Android keeps an app.
#[derive(Clone, Debug)]
pub enum StoredFile {
    /// In a folder.
    Path(PathBuf),
    /// In saved.
    AgentState(Arc<Vec<u8>>),
}

impl StoredFile {
    /// Its path; `None` when it is in memory.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::AgentState(_) => None,
        }
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn open(&self) -> std::io::Result<Box<dyn Source + Send>> {
        Ok(match self {
            Self::Path(path) => Box::new(std::fs::File::open(path)?),
            Self::AgentState(bytes) => Box::new(Arc::clone(bytes)),
        })
    }
}

/// Android's result of an installation.
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

    /// The status as the one word that reports use.
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
