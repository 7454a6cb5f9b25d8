//! The protocol's JSON, as a device reads and writes it (`docs/agent.md`). Unknown fields of an answer are ignored, so
//! that the server can add some.
//!
//! Servers of protocol 1 refuse unknown fields of a report with 400. So the fields of protocol 2 are only sent to a
//! server that named protocol 2 before, in a manifest or in the answer to the enrolment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::{
    BuildId, PackageName, PatchOutcome, ReportStatus, RolloutId, Sha256, SignerFingerprint, VersionCode,
};

use crate::install_terms::InstallOpening;
use crate::patch_offer::ManifestPatch;

/// The newest version of the protocol that this agent knows.
pub const PROTOCOL: u32 = 2;

/// The first version in which reports name their rollout and carry the offer.
const PROTOCOL_WITH_OFFERS: u32 = 2;

/// The version of a server that names none.
const FIRST_PROTOCOL: u32 = 1;

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

/// How many openings and conditions a manifest may name. They are kept in the agent's state.
pub(crate) const MAX_INSTALL_TERMS: usize = 64;

/// The longest name of a condition, in bytes.
pub(crate) const MAX_CONDITION_BYTES: usize = 64;

/// The longest offer, in bytes. It is kept with each report until that is delivered.
pub(crate) const MAX_OFFER_BYTES: usize = 512;

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
    /// The certificate that this device has to find as the file's signer.
    pub signer_fingerprint: SignerFingerprint,
    /// The file's size in bytes.
    pub file_size: u64,
    /// The file may come over Wi-Fi only.
    #[serde(default)]
    pub wifi_only: bool,
    /// The device asks its safety rules more often. It overrides none of them.
    #[serde(default)]
    pub must_install: bool,
    /// The version may be lower than the installed one.
    #[serde(default)]
    pub force_downgrade: bool,
    /// Rises when devices that gave the build up are to try it again.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// The rollout that offers the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<RolloutId>,
    /// Proves to the server that it made this offer. Its content means nothing to the device; empty before protocol 2.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub offer: String,
    /// The newest version of the protocol that the server knows.
    #[serde(default = "first_protocol")]
    pub protocol: u32,
    /// When an operator let this device try the build again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_granted_at: Option<DateTime<Utc>>,
    /// When the file may be installed. `None`: at any time. An empty list: no opening is known yet, and a later poll tells
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_openings: Option<Vec<InstallOpening>>,
    /// What has to hold on the device, all of it, before the file is installed: the names of
    /// [`InstallCondition`](tidegate_domain::InstallCondition). One that this agent doesn't know does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install_when: Vec<String>,
    /// From when on `install_when` is not asked any more. Windows and safety rules go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_deadline: Option<DateTime<Utc>>,
    /// A patch that leads to the file from the one that is installed.
    #[serde(default, skip_serializing_if = "ManifestPatch::is_absent")]
    pub patch: ManifestPatch,
}

fn first_attempt() -> u32 {
    1
}

fn first_protocol() -> u32 {
    FIRST_PROTOCOL
}

/// Whether a server that named this protocol takes reports with the fields of protocol 2.
pub(crate) fn takes_offers(server_protocol: u32) -> bool {
    server_protocol >= PROTOCOL_WITH_OFFERS
}

/// Where an offer came from, as its reports tell it.
#[derive(Debug, Default)]
pub(crate) struct OfferOrigin {
    pub rollout_id: Option<RolloutId>,
    pub offer: Option<String>,
}

impl Manifest {
    /// What the reports about this offer echo: nothing before protocol 2.
    pub(crate) fn origin(&self) -> OfferOrigin {
        if !takes_offers(self.protocol) {
            return OfferOrigin::default();
        }
        OfferOrigin {
            rollout_id: self.rollout_id,
            offer: Some(self.offer.clone()).filter(|offer| !offer.is_empty()),
        }
    }
}

/// What became of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportBody {
    /// The build.
    pub build_id: BuildId,
    /// What happened.
    pub status: ReportStatus,
    /// Why, as one word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// `PackageInstaller`'s status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub android_status: Option<i32>,
    /// The details.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// The manifest's attempt.
    pub attempt: u32,
    /// Identifies this report: the same each time it is sent.
    pub request_id: String,
    /// The manifest's, since protocol 2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout_id: Option<RolloutId>,
    /// The manifest's, since protocol 2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offer: Option<String>,
    /// What became of the manifest's patch. Only told to a server that offered one: others refuse the field.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub patch: Option<PatchOutcome>,
}

impl ReportBody {
    /// Whether it has fields that servers of protocol 1 refuse.
    pub(crate) fn has_origin(&self) -> bool {
        self.rollout_id.is_some() || self.offer.is_some()
    }

    /// The same report for a server of protocol 1.
    pub(crate) fn without_origin(&self) -> Self {
        Self {
            rollout_id: None,
            offer: None,
            patch: None,
            ..self.clone()
        }
    }

    /// The same report for a server that knows no patches.
    pub(crate) fn without_patch(&self) -> Self {
        Self {
            patch: None,
            ..self.clone()
        }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResultBody {
    /// The command's.
    pub request_id: String,
    /// The device.
    pub device_id: String,
    /// The command's.
    pub action: String,
    /// What it led to, as one word.
    pub outcome: String,
    /// The details.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// When that was, by the device's clock: RFC 3339, UTC.
    pub finished_at: String,
}

#[derive(Serialize)]
pub(crate) struct FcmTokenBody<'a> {
    pub fcm_token: &'a str,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct EnrollBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrollment_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_token: Option<&'a str>,
    pub device_id: &'a str,
    #[serde(flatten)]
    pub enrollment: &'a crate::Enrollment,
}

#[derive(Deserialize)]
pub(crate) struct EnrollAnswer {
    pub device_token: String,
    pub command_keys: CommandKeysAnswer,
    #[serde(default = "first_protocol")]
    pub protocol: u32,
}

#[derive(Deserialize)]
pub(crate) struct CommandKeysAnswer {
    pub primary: String,
    #[serde(default)]
    pub rotation: Option<String>,
}

/// The fields of an RFC 9457 problem that the agent uses.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub code: String,
    pub detail: String,
}

/// What tests are about.
#[cfg(test)]
impl Manifest {
    /// An update whose file is told apart from others by this byte.
    pub(crate) fn of_file(file: u8, attempt: u32) -> Self {
        let hex = format!("{file:02x}").repeat(32);
        serde_json::from_value(serde_json::json!({
            "build_id": file, "version_code": 2, "package_name": "com.example.app", "download_url": "http://updates",
            "sha256": hex, "signer_fingerprint": vec![format!("{file:02X}"); 32].join(":"), "file_size": 1,
            "attempt": attempt,
        }))
        .unwrap()
    }
}
