//! What devices say they did with an offer, and what the server concludes from a failure.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{BuildId, Error};

/// How many failures that may pass (storage, time-outs, a bad download) a device may have with one build before
/// it is left alone for [`REJECTION_COOL_DOWN_HOURS`].
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

/// What a device says it did with a build.
///
/// Two reports of one device are the same report when all of build, status, attempt and request id agree; the
/// second is answered like the first and counts for nothing.
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
    /// The rollout's attempt number that the device acted on.
    pub attempt: u32,
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

    /// What the report means for further offers, given how many failures of this attempt came before it.
    pub fn consequence(&self, earlier_failures: u32, now: DateTime<Utc>) -> Consequence {
        let until = match self.status {
            ReportStatus::InstallSuccess => return Consequence::Forgiven,
            ReportStatus::Downloaded | ReportStatus::Deferred => return Consequence::None,
            ReportStatus::InstallFailed if is_terminal(self.android_status) => None,
            ReportStatus::InstallFailed | ReportStatus::VerifyFailed => {
                if earlier_failures.saturating_add(1) < RETRY_BUDGET {
                    return Consequence::Failed;
                }
                Some(now + TimeDelta::hours(REJECTION_COOL_DOWN_HOURS))
            }
        };
        Consequence::Rejected(Rejection {
            build: self.build,
            attempt: self.attempt,
            until,
        })
    }
}

/// What a report means for further offers of the build to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    None,
    /// A failure that may pass: the device is offered the build again.
    Failed,
    /// The device is not to be offered the build.
    Rejected(Rejection),
    /// The build runs on the device: earlier failures are forgotten.
    Forgiven,
}

/// A device's refusal of a build, remembered so that it is not offered the same build for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The build.
    pub build: BuildId,
    /// The attempt that failed; a rollout with a higher one is offered again.
    pub attempt: u32,
    /// When the device may try again; `None` when it may not.
    pub until: Option<DateTime<Utc>>,
}

impl Rejection {
    /// Whether it keeps a rollout of this build and attempt from the device now.
    pub fn applies_to(&self, build: BuildId, attempt: u32, now: DateTime<Utc>) -> bool {
        self.build == build && attempt <= self.attempt && self.until.is_none_or(|until| now < until)
    }
}

/// Whether `PackageInstaller`'s status is one that no retry can change on this device: invalid (4), conflicting
/// signature (5) or incompatible (7).
///
/// Source: <https://developer.android.com/reference/android/content/pm/PackageInstaller#STATUS_FAILURE_INVALID>
fn is_terminal(android_status: Option<i32>) -> bool {
    matches!(android_status, Some(4 | 5 | 7))
}
