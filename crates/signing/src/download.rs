//! Download URLs that hold for one build, one device and a while.
//!
//! A device fetches a file with a plain HTTP client, perhaps another process than the agent, which carries no
//! token; so the URL itself is the permission. The tag covers a version byte, the build, the token generation, the end
//! and the rollout, each big-endian in its place, and then the device's id, so no two permissions sign alike. URLs of
//! version 1 name no rollout; they are accepted as long as they hold, and no longer made. URLs of version 3 are for the
//! patch from one build to another, and cover the other one too, behind the rollout: none of them opens the build's file.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::{BuildId, MAX_DEVICE_ID_BYTES, RolloutId};

use crate::KeyRing;
use crate::mac::{tag_from_text, to_text};

const WITHOUT_ROLLOUT: u8 = 1;
const WITH_ROLLOUT: u8 = 2;
const OF_PATCH: u8 = 3;

/// The query of a download URL. It displays as `device_id=…&rollout_id=…&expires=…&signature=…`,
/// percent-encoded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadQuery {
    /// The device that may download.
    pub device_id: String,
    /// The rollout that offered the build.
    #[serde(default)]
    pub rollout_id: Option<i64>,
    /// The first second, since 1970, at which it may no more.
    pub expires: i64,
    /// The tag, base64url.
    pub signature: String,
}

/// Why a download is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// The URL is for another build, device, generation or time than was signed, or was not signed by us.
    #[error("the download URL was altered or is not ours")]
    Tampered,
    /// The URL was ours, and its time has passed: poll again for a new one.
    #[error("the download URL has expired; poll again for a new one")]
    Expired,
    /// The query cannot be one that we wrote.
    #[error("the download URL is malformed")]
    Malformed,
}

impl KeyRing {
    /// Permits a device to download a build until a time, which is cut to whole seconds, or until its tokens of
    /// this generation are revoked. The generation is signed and not shown.
    pub fn sign_download(
        &self,
        build: BuildId,
        rollout: RolloutId,
        device: &str,
        generation: u32,
        expires: DateTime<Utc>,
    ) -> DownloadQuery {
        self.sign(build, None, rollout, device, (generation, expires))
    }

    /// The same for the patch to a build from `base`.
    pub fn sign_patch(
        &self,
        (build, base): (BuildId, BuildId),
        rollout: RolloutId,
        device: &str,
        generation: u32,
        expires: DateTime<Utc>,
    ) -> DownloadQuery {
        self.sign(build, Some(base), rollout, device, (generation, expires))
    }

    fn sign(
        &self,
        build: BuildId,
        base: Option<BuildId>,
        rollout: RolloutId,
        device: &str,
        (generation, expires): (u32, DateTime<Utc>),
    ) -> DownloadQuery {
        let mut query = DownloadQuery {
            device_id: device.to_owned(),
            rollout_id: Some(rollout.0),
            expires: expires.timestamp(),
            signature: String::new(),
        };
        let head = query.head(build, base, generation);
        let tag = self.primary.download_url.tag(&[&head, device.as_bytes()]);
        query.signature = to_text(&tag);
        query
    }

    /// Checks a permission to download this build now, for a device whose tokens of `generation` are accepted.
    ///
    /// The signature is judged before the time, so that [`DownloadError::Expired`] is only ever said of a URL that
    /// was ours.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub fn verify_download(
        &self,
        build: BuildId,
        query: &DownloadQuery,
        generation: u32,
        now: DateTime<Utc>,
    ) -> Result<(), DownloadError> {
        self.verify(build, None, query, generation, now)
    }

    /// The same for the patch to this build from `base`.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub fn verify_patch(
        &self,
        (build, base): (BuildId, BuildId),
        query: &DownloadQuery,
        generation: u32,
        now: DateTime<Utc>,
    ) -> Result<(), DownloadError> {
        if query.rollout_id.is_none() {
            return Err(DownloadError::Malformed);
        }
        self.verify(build, Some(base), query, generation, now)
    }

    fn verify(
        &self,
        build: BuildId,
        base: Option<BuildId>,
        query: &DownloadQuery,
        generation: u32,
        now: DateTime<Utc>,
    ) -> Result<(), DownloadError> {
        if query.device_id.is_empty() || query.device_id.len() > MAX_DEVICE_ID_BYTES {
            return Err(DownloadError::Malformed);
        }
        let tag = tag_from_text(&query.signature).ok_or(DownloadError::Malformed)?;
        let head = query.head(build, base, generation);
        let parts = [&head[..], query.device_id.as_bytes()];
        if !self.any(|keys| keys.download_url.verify(&parts, &tag)) {
            return Err(DownloadError::Tampered);
        }
        if now.timestamp() >= query.expires {
            return Err(DownloadError::Expired);
        }
        Ok(())
    }
}

impl DownloadQuery {
    /// What is signed before the device's id.
    fn head(&self, build: BuildId, base: Option<BuildId>, generation: u32) -> Vec<u8> {
        let version = match (self.rollout_id, base) {
            (_, Some(_)) => OF_PATCH,
            (Some(_), None) => WITH_ROLLOUT,
            (None, None) => WITHOUT_ROLLOUT,
        };
        let mut head = Vec::with_capacity(37);
        head.push(version);
        head.extend(build.0.to_be_bytes());
        head.extend(generation.to_be_bytes());
        head.extend(self.expires.to_be_bytes());
        head.extend(self.rollout_id.into_iter().flat_map(i64::to_be_bytes));
        head.extend(base.into_iter().flat_map(|base| base.0.to_be_bytes()));
        head
    }
}

impl fmt::Display for DownloadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("device_id=")?;
        for byte in self.device_id.bytes() {
            // RFC 3986, section 2.3: what needs no encoding anywhere.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        if let Some(rollout) = self.rollout_id {
            write!(f, "&rollout_id={rollout}")?;
        }
        write!(f, "&expires={}&signature={}", self.expires, self.signature)
    }
}

/// Says all but the signature, which is the permission.
impl fmt::Debug for DownloadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadQuery")
            .field("device_id", &self.device_id)
            .field("rollout_id", &self.rollout_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
