//! What a push service brings to the fleet.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tidegate_agent::signing::Command;

/// A message to one device, from whoever plays the push service.
#[derive(Clone, Debug)]
pub struct Push {
    /// The registration token that it was sent to.
    pub token: String,
    /// What the app is handed.
    pub data: BTreeMap<String, String>,
    /// When it arrives. A device judges a command's age by this, give or take what its own clock is wrong by.
    pub at: DateTime<Utc>,
}

impl Push {
    /// The command that it carries, not yet believed; `None` when it is something else.
    pub(crate) fn command(&self) -> Option<Command> {
        let field = |name: &str| self.data.get(name).cloned();
        Some(Command {
            action: field("action")?,
            request_id: field("request_id")?,
            device_id: field("device_id")?,
            ts: field("ts")?,
            hmac: field("hmac")?,
            hmac_rotation: field("hmac_rotation"),
        })
    }
}

/// Where the push service reaches a device.
pub(crate) fn token_of(device: &str) -> String {
    format!("virtual-{device}")
}
