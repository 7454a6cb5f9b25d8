//! Identifiers and small values, each parsed once at the edge and trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest device id, in bytes. Android ids, serials, IMEIs and UUIDs all fit well below.
pub const MAX_DEVICE_ID_BYTES: usize = 128;

/// The longest package name that Android's package manager takes, in bytes.
pub const MAX_PACKAGE_NAME_BYTES: usize = 223;

/// A device's own, stable name: 1 to [`MAX_DEVICE_ID_BYTES`] bytes of UTF-8.
///
/// `|` separates the fields that a command's HMAC covers, so an id that contains it could make two
/// different commands sign alike; it is refused, as are control characters and surrounding spaces.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(Box<str>);

impl DeviceId {
    /// Checks and takes a device id.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `device_id`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        check_device_id(text)?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_device_id(text: &str) -> Result<(), Error> {
    let fault = if text.is_empty() {
        "must not be empty"
    } else if text.len() > MAX_DEVICE_ID_BYTES {
        "is longer than 128 bytes"
    } else if text.contains('|') {
        "must not contain '|', which separates the fields of a signed command"
    } else if text.chars().any(char::is_control) {
        "must not contain control characters"
    } else if text.trim() != text {
        "must not begin or end with a space"
    } else if text == "." || text == ".." {
        "must not be a step of a path, which clients take out of an address before they ask"
    } else {
        return Ok(());
    };
    Err(Error::invalid("device_id", fault))
}

/// An Android application id such as `com.example.app`, checked by Android's own rules: at least two
/// segments, each beginning with a letter, of letters, digits and underscores.
///
/// Source: <https://developer.android.com/build/configure-app-module#set-application-id>
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(Box<str>);

impl PackageName {
    /// Checks and takes a package name.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `package_name`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Checks a package name without making a copy, as the poll does.
    ///
    /// # Errors
    /// As [`PackageName::parse`].
    pub fn check(text: &str) -> Result<(), Error> {
        let segment = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphabetic())
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if text.len() > MAX_PACKAGE_NAME_BYTES {
            return Err(Error::invalid("package_name", "is longer than 223 bytes"));
        }
        if !text.contains('.') || !text.split('.').all(segment) {
            return Err(Error::invalid(
                "package_name",
                "must be two or more segments joined by dots, each a letter followed by letters, digits or underscores",
            ));
        }
        Ok(())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a map that is keyed by names be asked with a plain `&str`, without an allocation.
impl std::borrow::Borrow<str> for PackageName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

macro_rules! text_value {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> { Self::parse(&text) }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String { value.0.into() }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> { Self::parse(text) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(&self.0, f) }
        }
    )*};
}
text_value!(DeviceId, PackageName);

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(
            /// The number, as it stands in paths and tables.
            pub i64,
        );
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    )*};
}
number_id! {
    /// A build's number, as in `/v1/apk/42`.
    BuildId,
    /// A rollout's number.
    RolloutId,
    /// An experiment's number, as in `/v1/experiments/3`.
    ExperimentId,
    /// A nudge campaign's number, as in `/v1/nudges/7`.
    CampaignId
}

/// Android's long version code: `versionCodeMajor << 32 | versionCode`, never negative.
///
/// Source: <https://developer.android.com/reference/android/content/pm/PackageInfo#getLongVersionCode()>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct VersionCode(i64);

impl VersionCode {
    /// What a device runs that does not have the package. No build that is taken in has this version code.
    pub const NONE: Self = Self(0);

    /// Checks and takes a version code.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `version_code` when it is negative.
    pub fn new(code: i64) -> Result<Self, Error> {
        if code < 0 {
            return Err(Error::invalid("version_code", "must not be negative"));
        }
        Ok(Self(code))
    }

    /// The code as a number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for VersionCode {
    type Error = Error;
    fn try_from(code: i64) -> Result<Self, Error> {
        Self::new(code)
    }
}

impl From<VersionCode> for i64 {
    fn from(code: VersionCode) -> i64 {
        code.0
    }
}

impl fmt::Display for VersionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Android API level, such as 34 for Android 14.
pub type SdkLevel = u32;
