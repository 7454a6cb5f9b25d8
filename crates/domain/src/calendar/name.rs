//! What calendars and time zones are called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest name of a calendar, in bytes.
pub const MAX_CALENDAR_NAME_BYTES: usize = 64;

/// The longest name of a time zone, in bytes; IANA's longest has 32.
const MAX_ZONE_NAME_BYTES: usize = 64;

/// A calendar's name: 1 to [`MAX_CALENDAR_NAME_BYTES`] ASCII letters, digits and `.`, `_`, `-`, beginning with a letter or
/// a digit. It may stand in a path without being quoted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CalendarName(Arc<str>);

impl CalendarName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `name`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_as("name", text)
    }

    /// The same, where it stands in another field.
    ///
    /// # Errors
    /// [`Error::Invalid`] with this field.
    pub fn parse_as(field: &'static str, text: &str) -> Result<Self, Error> {
        let fault = if text.is_empty() {
            "must not be empty"
        } else if text.len() > MAX_CALENDAR_NAME_BYTES {
            "is longer than 64 bytes"
        } else if !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            "may be made of ASCII letters, digits, '.', '_' and '-'"
        } else if !text.as_bytes()[0].is_ascii_alphanumeric() {
            "must begin with a letter or a digit"
        } else {
            return Ok(Self(text.into()));
        };
        Err(Error::invalid(field, fault))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A time zone's IANA name, such as `Europe/Berlin`. That somebody knows the zone is another question.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(Arc<str>);

impl ZoneName {
    /// Checks the form of a zone's name, and takes it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `zone`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        let fault = if text.is_empty() {
            "must be \"device\" or an IANA time zone such as Europe/Berlin, not empty".to_owned()
        } else if text.len() > MAX_ZONE_NAME_BYTES || !text.bytes().all(plain) {
            "must be \"device\" or an IANA time zone such as Europe/Berlin".to_owned()
        } else {
            return Ok(Self(text.into()));
        };
        Err(Error::invalid("zone", fault))
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self("UTC".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a checked text needs besides.
macro_rules! text {
    ($name:ident) => {
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text!(CalendarName);
text!(ZoneName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_text_that_a_path_can_hold() {
        for good in ["nights", "Nights-2", "0", "a.b_c", &"x".repeat(64)] {
            assert_eq!(CalendarName::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "-a", ".", "ä", "a/b", "a|b", &"x".repeat(65)] {
            assert_eq!(
                CalendarName::parse(bad).unwrap_err().field(),
                Some("name"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_zone_has_the_form_of_a_zone() {
        for good in [
            "UTC",
            "Etc/GMT+5",
            "America/Port-au-Prince",
            "Australia/Lord_Howe",
        ] {
            assert!(ZoneName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "../etc/passwd", "Europe/Berlin\n", "a b", &"x".repeat(65)] {
            assert_eq!(ZoneName::parse(bad).unwrap_err().field(), Some("zone"), "{bad}");
        }
    }
}
