//! What devices say they did with an offer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{BuildId, Error};

/// How many failures that may pass (storage, time-outs, a bad download) a device may have with one build before
/// it is not offered the build for [`REJECTION_COOL_DOWN_HOURS`].
pub const RETRY_BUDGET: u32 = 3;

/// How long a device that used up its [`RETRY_BUDGET`] is not offered the build, in hours.
pub const REJECTION_COOL_DOWN_HOURS: i64 = 24;

/// The longest `reason` in a report, in bytes.
pub const MAX_REASON_BYTES: usize = 64;
/// The longest `message` in a report, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;
/// The longest `request_id` in a report, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 64;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// The whole file is on the device.
    Downloaded,
    /// The file is not what the manifest said: hash, size, signature or signer.
    VerifyFailed,
    /// Android installed it.
    InstallSuccess,
    /// Android refused it.
    InstallFailed,
    /// A safety rule made the device wait.
    Deferred,
}

impl ReportStatus {
    /// All statuses, in the order of an update's life.
    pub const ALL: [Self; 5] = [
        Self::Downloaded,
        Self::VerifyFailed,
        Self::InstallSuccess,
        Self::InstallFailed,
        Self::Deferred,
    ];

    /// The status's name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Downloaded => "downloaded",
            Self::VerifyFailed => "verify_failed",
            Self::InstallSuccess => "install_success",
            Self::InstallFailed => "install_failed",
            Self::Deferred => "deferred",
        }
    }
}

impl fmt::Display for ReportStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReportStatus {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|status| status.as_str()).collect();
                Error::invalid("status", format!("must be one of {}", known.join(", ")))
            })
    }
}

/// Reasons of `verify_failed` and `install_failed` that no retry can change: the device would refuse the same file
/// again. A failure without one of these reasons counts towards the [`RETRY_BUDGET`].
pub const TERMINAL_REASONS: [&str; 6] = [
    "signature_refused",
    "package_mismatch",
    "version_mismatch",
    "signer_mismatch",
    "installed_signer_mismatch",
    "downgrade_refused",
];

/// What a device says it did with a build.
///
/// Two reports of one device are the same report when all of build, status, retry generation and request id agree;
/// the second is answered like the first and counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The build.
    pub build: BuildId,
    /// What happened.
    pub status: ReportStatus,
    /// Why, in a word, such as `battery_low`.
    pub reason: Option<String>,
    /// `PackageInstaller`'s status code.
    pub android_status: Option<i32>,
    /// `PackageInstaller`'s message.
    pub message: Option<String>,
    /// The rollout's retry generation that the device acted on; `attempt` in the protocol.
    pub retry_generation: u32,
    /// The id that the device gives each try, so that a repeated try is not taken for a repeated report.
    pub request_id: Option<String>,
}

impl Report {
    /// Checks the bounds of the free texts.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("reason", &self.reason, MAX_REASON_BYTES),
            ("message", &self.message, MAX_MESSAGE_BYTES),
            ("request_id", &self.request_id, MAX_REQUEST_ID_BYTES),
        ];
        for (field, text, limit) in bounds {
            if text.as_ref().is_some_and(|text| text.len() > limit) {
                return Err(Error::invalid(field, format!("is longer than {limit} bytes")));
            }
        }
        Ok(())
    }

    /// Whether a later try of the same file on this device can't succeed either: Android called it invalid (4), in
    /// conflict with the installed app (5) or incompatible (7), or the agent gave one of [`TERMINAL_REASONS`].
    ///
    /// Source: <https://developer.android.com/reference/android/content/pm/PackageInstaller#STATUS_FAILURE_INVALID>
    pub fn is_terminal(&self) -> bool {
        let refused =
            self.status == ReportStatus::InstallFailed && matches!(self.android_status, Some(4 | 5 | 7));
        let failed = matches!(
            self.status,
            ReportStatus::InstallFailed | ReportStatus::VerifyFailed
        );
        let named = self
            .reason
            .as_deref()
            .is_some_and(|reason| TERMINAL_REASONS.contains(&reason));
        refused || (failed && named)
    }
}
