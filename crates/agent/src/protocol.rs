//! The protocol's JSON, as a device reads and writes it (`docs/agent.md`). What an answer has beyond this is
//! ignored, so that the server may learn to say more.

use serde::{Deserialize, Serialize};
use tidegate_domain::{BuildId, PackageName, ReportStatus, Sha256, SignerFingerprint, VersionCode};

/// The header that says why a 304 offers nothing.
pub(crate) const REASON: &str = "tidegate-reason";

/// The header with the seconds until the next poll.
pub(crate) const POLL_AFTER: &str = "tidegate-poll-after";

/// The longest JSON answer, in bytes. A manifest's release notes are the longest thing in any.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The largest file that is fetched, in bytes. No device reads an APK of 4 GiB or more.
pub const MAX_FILE_BYTES: u64 = u32::MAX as u64;

/// The longest download URL, in bytes.
pub(crate) const MAX_URL_BYTES: usize = 4096;

/// What a device is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The build.
    pub build_id: BuildId,
    /// The version that it is.
    pub version_code: VersionCode,
    /// The same, for people.
    #[serde(default)]
    pub version_name: String,
    /// The package that it updates.
    pub package_name: PackageName,
    /// Where the file is: signed, expiring, for this device only.
    pub download_url: String,
    /// The file's hash.
    pub sha256: Sha256,
    /// The certificate that this device is to see as the signer.
    pub signer_fingerprint: SignerFingerprint,
    /// The file's size in bytes.
    pub file_size: u64,
    /// The file may come over Wi-Fi only.
    #[serde(default)]
    pub wifi_only: bool,
    /// Waiting is to be short.
    #[serde(default)]
    pub must_install: bool,
    /// The version may be lower than the installed one.
    #[serde(default)]
    pub force_downgrade: bool,
    /// Rises when devices that gave the build up are to try it again.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
}

fn first_attempt() -> u32 {
    1
}

/// What became of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportBody {
    /// The build.
    pub build_id: BuildId,
    /// What happened.
    pub status: ReportStatus,
    /// Why, in a word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// `PackageInstaller`'s status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub android_status: Option<i32>,
    /// More words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// The manifest's attempt.
    pub attempt: u32,
    /// Names this report, the same each time that it is sent.
    pub request_id: String,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResultBody {
    /// The command's.
    pub request_id: String,
    /// The agent.
    pub device_id: String,
    /// What it asked for.
    pub action: String,
    /// What came of it, in a word.
    pub outcome: String,
    /// More words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// When it was done with: RFC 3339, UTC.
    pub finished_at: String,
}

#[derive(Serialize)]
pub(crate) struct FcmTokenBody<'a> {
    pub fcm_token: &'a str,
}

#[derive(Serialize)]
pub(crate) struct EnrollBody<'a> {
    pub enrollment_token: &'a str,
    pub device_id: &'a str,
    #[serde(flatten)]
    pub enrollment: &'a crate::Enrollment,
}

#[derive(Deserialize)]
pub(crate) struct EnrollAnswer {
    pub device_token: String,
    pub command_keys: CommandKeysAnswer,
}

#[derive(Deserialize)]
pub(crate) struct CommandKeysAnswer {
    pub primary: String,
    #[serde(default)]
    pub rotation: Option<String>,
}

/// The part of RFC 9457 that is acted on.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub code: String,
    pub detail: String,
}
