//! A device as the server knows it, and what it says of itself.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DeviceId, Error, PackageName, SdkLevel, VersionCode};

/// The longest free-text attribute of a device, in bytes.
pub const MAX_ATTRIBUTE_BYTES: usize = 256;
/// The most tags a device may carry.
pub const MAX_TAGS: usize = 32;
/// The longest FCM registration token, in bytes. Google gives no bound; those seen are below 300.
pub const MAX_FCM_TOKEN_BYTES: usize = 4096;

/// What a device says of itself, in its enrolment and in each poll. What it leaves out is unknown, and a rule that
/// asks for it is not met.
///
/// The texts are borrowed while a poll is answered, and owned where they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceFacts<'a> {
    /// `Build.VERSION.SDK_INT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<SdkLevel>,
    /// `Build.MODEL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Cow<'a, str>>,
    /// `Build.MANUFACTURER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Cow<'a, str>>,
    /// Where it works, in the fleet's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Cow<'a, str>>,
    /// `Build.VERSION.RELEASE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android: Option<Cow<'a, str>>,
    /// `Build.SUPPORTED_ABIS`, comma-separated, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abis: Option<Cow<'a, str>>,
    /// Its own labels, comma-separated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Cow<'a, str>>,
    /// Its time zone, by its IANA name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Cow<'a, str>>,
    /// The newest version of the protocol that its agent knows; 0 for one that says none.
    #[serde(skip_serializing_if = "is_zero")]
    pub protocol: u32,
    /// Whether it can poll every 30 minutes for some hours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dense: bool,
}

/// The first version of the agents' protocol that knows more than an offer and the reasons of the first one: openings,
/// terms for the installation, and reasons that pass by themselves. An agent of before is told what it knows.
pub const TERMS_SINCE_PROTOCOL: u32 = 2;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl DeviceFacts<'_> {
    /// The free texts by their names in the protocol.
    fn texts(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("model", self.model.as_deref()),
            ("manufacturer", self.manufacturer.as_deref()),
            ("region", self.region.as_deref()),
            ("android", self.android.as_deref()),
            ("abi", self.abis.as_deref()),
            ("zone", self.zone.as_deref()),
            ("tags", self.tags.as_deref()),
        ]
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<(), Error> {
        for (field, text) in self.texts() {
            let limit = if field == "tags" {
                MAX_TAGS * (MAX_ATTRIBUTE_BYTES + 1)
            } else {
                MAX_ATTRIBUTE_BYTES
            };
            if text.is_some_and(|text| text.len() > limit) {
                return Err(Error::invalid(field, format!("is longer than {limit} bytes")));
            }
        }
        let tags = self.tags();
        if tags.clone().count() > MAX_TAGS || tags.into_iter().any(|tag| tag.len() > MAX_ATTRIBUTE_BYTES) {
            let fault = format!("may be at most {MAX_TAGS}, of at most {MAX_ATTRIBUTE_BYTES} bytes each");
            return Err(Error::invalid("tags", fault));
        }
        Ok(())
    }

    /// Its own labels, one by one.
    pub fn tags(&self) -> impl Iterator<Item = &str> + Clone {
        let tags = self.tags.as_deref().unwrap_or_default();
        tags.split(',').map(str::trim).filter(|tag| !tag.is_empty())
    }

    /// The same, to be stored.
    pub fn into_owned(self) -> DeviceFacts<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        DeviceFacts {
            sdk: self.sdk,
            model: owned(self.model),
            manufacturer: owned(self.manufacturer),
            region: owned(self.region),
            android: owned(self.android),
            abis: owned(self.abis),
            tags: owned(self.tags),
            zone: owned(self.zone),
            protocol: self.protocol,
            dense: self.dense,
        }
    }
}

/// A device as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The name that people gave it.
    pub alias: Option<String>,
    /// What it said of itself when it enrolled.
    pub enrolled: DeviceFacts<'static>,
    /// What it said of itself in its last poll; `None` before the first.
    pub polled: Option<DeviceFacts<'static>>,
    /// Whether it can be nudged.
    pub has_fcm_token: bool,
    /// The generation of device tokens that is accepted; revoking raises it.
    pub token_generation: u32,
    /// Whether it has enrolled; only a device that was imported may not have.
    pub has_enrolled: bool,
    /// Until when an operator lets its id enrol again.
    pub enrolment_allowed_until: Option<DateTime<Utc>>,
    /// When a credential of an earlier enrolment was last shown since it enrolled: two phones may share the id.
    pub duplicate_seen_at: Option<DateTime<Utc>>,
    /// What it runs, by package.
    pub installed: Vec<(PackageName, VersionCode)>,
    /// When it enrolled, the last time.
    pub enrolled_at: DateTime<Utc>,
    /// When it last polled; buffered by a second.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When it was taken out of the fleet; `None` while it is in it.
    pub retired_at: Option<DateTime<Utc>>,
    /// Since when it is not counted because it had not polled for long; `None` while it is counted.
    pub inactive_at: Option<DateTime<Utc>>,
}

impl Device {
    /// What the device is judged by: its last poll, or its enrolment as long as it has not polled. What the last poll
    /// left out is unknown. So an explanation says what the device itself would be told.
    pub fn facts(&self) -> &DeviceFacts<'static> {
        self.polled.as_ref().unwrap_or(&self.enrolled)
    }

    /// What people are shown: the last poll, with what it left out filled in from the enrolment.
    pub fn shown(&self) -> DeviceFacts<'static> {
        let (now, then) = (self.facts().clone(), &self.enrolled);
        DeviceFacts {
            sdk: now.sdk.or(then.sdk),
            model: now.model.or_else(|| then.model.clone()),
            manufacturer: now.manufacturer.or_else(|| then.manufacturer.clone()),
            region: now.region.or_else(|| then.region.clone()),
            android: now.android.or_else(|| then.android.clone()),
            abis: now.abis.or_else(|| then.abis.clone()),
            tags: now.tags.or_else(|| then.tags.clone()),
            zone: now.zone.or_else(|| then.zone.clone()),
            protocol: now.protocol,
            dense: now.dense,
        }
    }
}
