//! A device as the server knows it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DeviceId, Error, PackageName, SdkLevel, VersionCode};

/// The longest free-text attribute of a device, in bytes.
pub const MAX_ATTRIBUTE_BYTES: usize = 256;
/// The most tags a device may carry.
pub const MAX_TAGS: usize = 32;
/// The longest FCM registration token, in bytes. Google gives no bound; those seen are below 300.
pub const MAX_FCM_TOKEN_BYTES: usize = 4096;

/// What a device says of itself when it enrols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAttributes {
    /// The name that people gave it.
    pub alias: Option<String>,
    /// `Build.MODEL`.
    pub model: Option<String>,
    /// `Build.MANUFACTURER`.
    pub manufacturer: Option<String>,
    /// `Build.VERSION.SDK_INT`.
    pub sdk: Option<SdkLevel>,
    /// `Build.VERSION.RELEASE`.
    pub android_version: Option<String>,
    /// Where it works, in the fleet's own words.
    pub region: Option<String>,
    /// The fleet's own labels.
    pub tags: Vec<String>,
}

impl DeviceAttributes {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<(), Error> {
        let texts = [
            ("alias", &self.alias),
            ("model", &self.model),
            ("manufacturer", &self.manufacturer),
            ("android_version", &self.android_version),
            ("region", &self.region),
        ];
        for (field, text) in texts {
            if text.as_ref().is_some_and(|text| text.len() > MAX_ATTRIBUTE_BYTES) {
                return Err(Error::invalid(field, "is longer than 256 bytes"));
            }
        }
        if self.tags.len() > MAX_TAGS || self.tags.iter().any(|tag| tag.len() > MAX_ATTRIBUTE_BYTES) {
            return Err(Error::invalid(
                "tags",
                "may be at most 32, of at most 256 bytes each",
            ));
        }
        Ok(())
    }
}

/// A device as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What it said of itself.
    pub attributes: DeviceAttributes,
    /// Whether it can be nudged.
    pub has_fcm_token: bool,
    /// The generation of device tokens that is accepted; revoking raises it.
    pub token_generation: u32,
    /// What it runs, by package.
    pub installed: Vec<(PackageName, VersionCode)>,
    /// When it enrolled, the last time.
    pub enrolled_at: DateTime<Utc>,
    /// When it last polled; buffered by a second.
    pub last_seen_at: Option<DateTime<Utc>>,
}
