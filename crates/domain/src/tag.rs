//! The labels that operators give to devices.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest tag, in bytes.
pub const MAX_TAG_BYTES: usize = 64;

/// How many different tags there may be.
pub const MAX_TAG_NAMES: usize = 10_000;

/// How many devices one call may give a tag to, or take it from.
pub const MAX_TAGGED_AT_ONCE: usize = 100_000;

/// How many tags operators may give to one device.
pub const MAX_TAGS_PER_DEVICE: usize = 64;

/// A label that an operator gives to a device, such as `canary`: 1 to [`MAX_TAG_BYTES`] lower-case letters, digits and
/// `.`, `_`, `-`, beginning with a letter or a digit.
///
/// It may stand in a path and in an expression without being quoted, and no two tags look alike.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks and takes a tag.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `tag`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fault = if text.is_empty() {
            "must not be empty"
        } else if text.len() > MAX_TAG_BYTES {
            "is longer than 64 bytes"
        } else if !text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte)) {
            "may be made of lower-case letters, digits, '.', '_' and '-'"
        } else if !text.bytes().next().is_some_and(plain) {
            "must begin with a lower-case letter or a digit"
        } else {
            return Ok(Self(text.into()));
        };
        Err(Error::invalid("tag", fault))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets what is keyed by tags be asked with a plain `&str`.
impl std::borrow::Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0.as_ref().to_owned()
    }
}

impl FromStr for Tag {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_plain_lower_case_text() {
        for good in ["canary", "0-ring", "a.b_c-d", &"x".repeat(64)] {
            assert_eq!(Tag::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "Canary", "a b", "-a", ".", "ä", "a/b", &"x".repeat(65)] {
            assert_eq!(Tag::parse(bad).unwrap_err().code(), "invalid_argument", "{bad}");
        }
    }
}
