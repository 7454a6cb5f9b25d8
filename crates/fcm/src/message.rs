//! One message to one device.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::Error;

/// The most bytes of keys and values together.
pub const MAX_DATA_BYTES: usize = 4096;

/// The longest that FCM keeps a message for a device that sleeps: four weeks.
pub const MAX_TTL: Duration = Duration::from_secs(2_419_200);

/// The longest token. FCM promises no length; those of today have some 160 bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// Keys that begin with these are FCM's own.
const RESERVED_PREFIXES: [&str; 2] = ["gcm", "google"];

/// Keys that are FCM's own.
const RESERVED_KEYS: [&str; 3] = ["from", "message_type", "collapse_key"];

/// A data message. Its `Debug` does not show the token nor the values, which may hold a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The device's registration token.
    pub token: String,
    /// What the app is handed.
    pub data: BTreeMap<String, String>,
    /// Whether a sleeping device is woken.
    pub priority: Priority,
    /// How long FCM keeps the message for a device that cannot be reached; whole seconds, up to [`MAX_TTL`].
    pub ttl: Duration,
    /// Of messages with the same key, only the last one is kept for a device that sleeps.
    pub collapse_key: Option<String>,
}

/// How urgent a message is to Android.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Priority {
    /// Delivered when the device next wakes by itself.
    #[default]
    Normal,
    /// Wakes the device. FCM delivers later messages as normal when an app keeps waking its device without showing a
    /// notification.
    High,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("keys", &self.data.keys())
            .field("priority", &self.priority)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    message: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    token: &'a str,
    data: &'a BTreeMap<String, String>,
    android: Android<'a>,
}

#[derive(Serialize)]
struct Android<'a> {
    priority: Priority,
    ttl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<&'a str>,
}

impl Message {
    /// The request's body, if the message keeps within FCM's limits.
    ///
    /// # Errors
    /// [`Error::Message`] that names the limit.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        let envelope = Envelope {
            message: Body {
                token: &self.token,
                data: &self.data,
                android: Android {
                    priority: self.priority,
                    ttl: format!("{}s", self.ttl.as_secs()),
                    collapse_key: self.collapse_key.as_deref(),
                },
            },
        };
        serde_json::to_vec(&envelope).map_err(|fault| Error::Message(fault.to_string()))
    }

    fn check(&self) -> Result<(), Error> {
        let fault = |text: String| Err(Error::Message(text));
        if self.token.is_empty() || self.token.len() > MAX_TOKEN_BYTES {
            return fault(format!("token must have 1 to {MAX_TOKEN_BYTES} bytes"));
        }
        if self.ttl > MAX_TTL {
            return fault(format!("ttl must be at most {} s", MAX_TTL.as_secs()));
        }
        if let Some(key) = self.data.keys().find(|key| is_reserved(key)) {
            return fault(format!("data: the key {key:?} is empty or FCM's own"));
        }
        let bytes: usize = self.data.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > MAX_DATA_BYTES {
            return fault(format!("data has {bytes} bytes; FCM takes {MAX_DATA_BYTES}"));
        }
        Ok(())
    }
}

pub(crate) fn is_reserved(key: &str) -> bool {
    key.is_empty()
        || RESERVED_KEYS.contains(&key)
        || RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: &[(&str, &str)]) -> Message {
        let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        Message {
            token: "a-token".to_owned(),
            data: data.iter().map(own).collect(),
            priority: Priority::Normal,
            ttl: Duration::from_secs(300),
            collapse_key: None,
        }
    }

    #[test]
    fn a_message_looks_as_fcm_expects() {
        let mut message = message(&[("action", "update")]);
        message.collapse_key = Some("ota".to_owned());
        let json = String::from_utf8(message.to_json().expect("within limits")).expect("UTF-8");
        assert_eq!(
            json,
            r#"{"message":{"token":"a-token","data":{"action":"update"},"android":{"priority":"NORMAL","ttl":"300s","collapse_key":"ota"}}}"#
        );
    }

    #[test]
    fn limits_are_found_before_sending() {
        let refused = |message: Message, word: &str| {
            let Err(Error::Message(text)) = message.to_json() else {
                panic!("{word} was taken")
            };
            assert!(text.contains(word), "{text}");
        };
        for key in ["from", "gcm.x", "google", "google.c.a", "message_type", ""] {
            refused(message(&[(key, "x")]), "key");
        }
        refused(message(&[("k", &"x".repeat(MAX_DATA_BYTES))]), "4097");
        assert!(
            message(&[("k", &"x".repeat(MAX_DATA_BYTES - 1))])
                .to_json()
                .is_ok()
        );
        refused(
            Message {
                ttl: MAX_TTL + Duration::from_secs(1),
                ..message(&[])
            },
            "ttl",
        );
        assert!(
            Message {
                ttl: MAX_TTL,
                ..message(&[])
            }
            .to_json()
            .is_ok()
        );
        refused(
            Message {
                token: String::new(),
                ..message(&[])
            },
            "token",
        );
    }

    #[test]
    fn a_message_does_not_print_its_token_or_signature() {
        let text = format!("{:?}", message(&[("hmac", "deadbeef")]));
        assert!(!text.contains("a-token") && !text.contains("deadbeef"), "{text}");
    }
}
