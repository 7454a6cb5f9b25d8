//! What a manifest says about a patch.

use serde::{Deserialize, Deserializer, Serialize};
use tidegate_domain::{PATCH_FORMAT, Sha256, VersionCode};

use crate::address::may_be_called;
use crate::protocol::{MAX_URL_BYTES, Manifest};

/// A patch that leads from the installed file to the manifest's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchOffer {
    /// Its format, such as `tgp1`.
    pub format: String,
    /// Where it is: signed, expiring, for this device only.
    pub url: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// The version that it was made from.
    pub from_version_code: VersionCode,
    /// The hash of the file that it was made from.
    pub from_sha256: Sha256,
}

/// What a manifest has under `patch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ManifestPatch {
    /// Nothing.
    #[default]
    Absent,
    /// A patch of a known format.
    Offered(PatchOffer),
    /// Something that this agent can't read, such as a format of tomorrow. It takes the whole file.
    Unknown,
}

impl ManifestPatch {
    pub(crate) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

impl<'de> Deserialize<'de> for ManifestPatch {
    /// Never fails for what is under the name: the file beside it is good all the same.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(Self::Absent);
        }
        let offer = serde_json::from_value::<PatchOffer>(value).ok();
        let known = offer.filter(|offer| offer.format == PATCH_FORMAT);
        Ok(known.map_or(Self::Unknown, Self::Offered))
    }
}

impl Serialize for ManifestPatch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Offered(offer) => offer.serialize(serializer),
            Self::Unknown => serializer.collect_map(std::iter::empty::<(&str, &str)>()),
        }
    }
}

impl Manifest {
    /// The patch, if it can be used at all. One that can't is no fault of the file's.
    pub(crate) fn usable_patch(&self, allow_http: bool) -> Option<&PatchOffer> {
        let ManifestPatch::Offered(offer) = &self.patch else {
            return None;
        };
        let is_small = (1..=self.file_size).contains(&offer.size) && offer.url.len() <= MAX_URL_BYTES;
        let is_another = offer.sha256 != self.sha256 && offer.from_sha256 != self.sha256;
        (is_small && is_another && may_be_called(&offer.url, allow_http)).then_some(offer)
    }
}
