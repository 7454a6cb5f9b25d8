//! The message that wakes a device.

use chrono::{DateTime, Utc};
use tidegate_domain as domain;
use tidegate_fcm::{Message, Priority};
use tidegate_signing::{Error, KeyRing, sign_command};
use tidegate_storage::{Campaign, Claim};

/// What agents are told to do.
const ACTION: &str = "update";

/// FCM keeps only the last message of this key for a device that sleeps, and one nudge is enough.
const COLLAPSE_KEY: &str = "ota";

/// The command to one device, signed at this moment with the device's own key.
pub(super) fn message(
    keys: &KeyRing,
    campaign: &Campaign,
    claim: &Claim,
    now: DateTime<Utc>,
) -> Result<Message, Error> {
    let keys = keys.command_keys(&claim.device, claim.command_generation);
    let mut command = sign_command(&keys.primary, ACTION, &campaign.request_id, &claim.device, now)?;
    if let Some(rotation) = &keys.rotation {
        command = command.also_signed(rotation);
    }
    let also = command.hmac_rotation.map(|hmac| ("hmac_rotation", hmac));
    let fields = [
        ("action", command.action),
        ("request_id", command.request_id),
        ("device_id", command.device_id),
        ("ts", command.ts),
        ("hmac", command.hmac),
    ];
    Ok(Message {
        token: claim.fcm_token.clone(),
        data: fields
            .into_iter()
            .chain(also)
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        priority: match campaign.priority {
            domain::Priority::Normal => Priority::Normal,
            domain::Priority::High => Priority::High,
        },
        ttl: campaign.ttl,
        collapse_key: Some(COLLAPSE_KEY.to_owned()),
    })
}
