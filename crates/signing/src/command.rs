//! Commands that reach agents through a push service, which may delay, repeat or read them but not write them.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::DeviceId;

use crate::{CommandKey, Error};

/// The longest request id of a command, in bytes. A UUID has 36.
pub const MAX_COMMAND_REQUEST_ID_BYTES: usize = 64;

/// The longest action, in bytes.
pub const MAX_ACTION_BYTES: usize = 32;

/// A signed command, in the fields in which it travels; all of them are text, as FCM's data messages demand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to do, such as `update`.
    pub action: String,
    /// The command's own name; an agent takes each only once.
    pub request_id: String,
    /// The agent that is meant.
    pub device_id: String,
    /// When it was signed: RFC 3339, UTC, whole seconds.
    pub ts: String,
    /// HMAC-SHA256 over `request_id|device_id|action|ts`, in lower-case hex.
    pub hmac: String,
    /// The same with the server's other key, while a rotation lasts: an agent that enrolled before the rotation knows
    /// only that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_rotation: Option<String>,
}

/// Signs a command at a moment.
///
/// # Errors
/// [`Error::Invalid`] for a request id or an action that is empty, too long, or contains `|` or control
/// characters: the separator would let two different commands sign alike.
pub fn sign_command(
    key: &CommandKey,
    action: &str,
    request_id: &str,
    device: &DeviceId,
    now: DateTime<Utc>,
) -> Result<Command, Error> {
    check("action", action, MAX_ACTION_BYTES)?;
    check("request_id", request_id, MAX_COMMAND_REQUEST_ID_BYTES)?;
    let mut command = Command {
        action: action.to_owned(),
        request_id: request_id.to_owned(),
        device_id: device.as_str().to_owned(),
        ts: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        hmac: String::new(),
        hmac_rotation: None,
    };
    command.hmac = command.hex(key);
    Ok(command)
}

impl Command {
    /// Signs it with a second key as well.
    #[must_use]
    pub fn also_signed(mut self, key: &CommandKey) -> Self {
        self.hmac_rotation = Some(self.hex(key));
        self
    }

    fn hex(&self, key: &CommandKey) -> String {
        self.tag(key).iter().copied().map(char::from).collect()
    }

    /// The tag that this command has to bear, in hex.
    pub(crate) fn tag(&self, key: &CommandKey) -> zeroize::Zeroizing<[u8; 64]> {
        let fields = [&self.request_id, &self.device_id, &self.action, &self.ts];
        let [request_id, device_id, action, ts] = fields.map(|field| field.as_bytes());
        key.hex_tag(&[request_id, b"|", device_id, b"|", action, b"|", ts])
    }
}

/// Says all but the signature: a command that was read in a log must not be one that can be sent.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("action", &self.action)
            .field("request_id", &self.request_id)
            .field("device_id", &self.device_id)
            .field("ts", &self.ts)
            .finish_non_exhaustive()
    }
}

/// The form of a field that a command's signature covers.
pub(crate) fn check(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    let fault = if text.is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > limit {
        format!("is longer than {limit} bytes")
    } else if text.contains('|') {
        "must not contain '|', which separates the fields of a signed command".to_owned()
    } else if text.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(what, fault))
}
