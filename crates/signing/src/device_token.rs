//! Device tokens: what a device shows with every poll.
//!
//! `tgd1.<base64url(generation ‖ device id)>.<base64url(tag)>`, generation as four bytes, big-endian, and the tag
//! an HMAC-SHA256 over exactly those decoded bytes under the key for device tokens. A token does not expire by
//! itself; it is revoked by raising the generation that the server accepts from the device.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use tidegate_domain::{DeviceId, MAX_DEVICE_ID_BYTES};

use crate::mac::{TAG_CHARS, tag_from_text, to_text};
use crate::{KeyRing, TokenError};

const PREFIX: &str = "tgd1.";
const GENERATION_BYTES: usize = 4;
const MAX_PAYLOAD_BYTES: usize = GENERATION_BYTES + MAX_DEVICE_ID_BYTES;

/// The longest device token, in bytes. A longer text is refused before it is looked at.
pub const MAX_DEVICE_TOKEN_BYTES: usize = PREFIX.len() + MAX_PAYLOAD_BYTES * 4 / 3 + 1 + TAG_CHARS;

/// What a device token says, once it was found to be ours. It lies on the stack: the check allocates nothing.
#[derive(Clone, Copy)]
pub struct DeviceTokenClaims {
    payload: [u8; MAX_PAYLOAD_BYTES],
    length: usize,
}

impl DeviceTokenClaims {
    /// The device, by the id that it enrolled with.
    pub fn device(&self) -> &str {
        // The check read these bytes as UTF-8 before it gave them out.
        std::str::from_utf8(&self.payload[GENERATION_BYTES..self.length]).unwrap_or_default()
    }

    /// The token's generation: it is revoked when the server's number for the device is higher.
    pub fn generation(&self) -> u32 {
        u32::from_be_bytes([self.payload[0], self.payload[1], self.payload[2], self.payload[3]])
    }

    /// The device's id as an owned value.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] when the id does not follow today's rules, though they held when it was signed.
    pub fn to_device_id(&self) -> Result<DeviceId, TokenError> {
        DeviceId::parse(self.device()).map_err(|_| TokenError::Malformed)
    }
}

impl std::fmt::Debug for DeviceTokenClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceTokenClaims")
            .field("device", &self.device())
            .field("generation", &self.generation())
            .finish()
    }
}

impl KeyRing {
    /// The token of a device in a generation. The same inputs make the same token.
    pub fn device_token(&self, device: &DeviceId, generation: u32) -> SecretString {
        let mut payload = Vec::with_capacity(MAX_PAYLOAD_BYTES);
        payload.extend_from_slice(&generation.to_be_bytes());
        payload.extend_from_slice(device.as_str().as_bytes());
        let tag = self.primary.device_token.tag(&[&payload]);
        SecretString::from(format!("{PREFIX}{}.{}", to_text(&payload), to_text(&tag)))
    }

    /// Checks a device token. Whether its generation still counts is the caller's to know.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] or [`TokenError::Forged`].
    pub fn verify_device_token(&self, token: &str) -> Result<DeviceTokenClaims, TokenError> {
        if token.len() > MAX_DEVICE_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (payload, tag) = token
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('.'))
            .ok_or(TokenError::Malformed)?;
        let tag = tag_from_text(tag).ok_or(TokenError::Malformed)?;
        let claims = read(payload).ok_or(TokenError::Malformed)?;
        let signed = &claims.payload[..claims.length];
        if !self.any(|keys| keys.device_token.verify(&[signed], &tag)) {
            return Err(TokenError::Forged);
        }
        Ok(claims)
    }
}

fn read(text: &str) -> Option<DeviceTokenClaims> {
    let mut payload = [0; MAX_PAYLOAD_BYTES];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut payload).ok()?;
    if length <= GENERATION_BYTES || std::str::from_utf8(&payload[GENERATION_BYTES..length]).is_err() {
        return None;
    }
    Some(DeviceTokenClaims { payload, length })
}
