//! What is signed is taken back, and one test for each way in which somebody may try to be taken for us.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin_tokens;
mod command_replay;
mod commands;
mod device_tokens;
mod downloads;
mod enroll_tokens;
mod keys;
mod offers;
mod passwords;
mod record;
mod secrecy;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::hmac;
use tidegate_domain::DeviceId;
use tidegate_signing::{KeyRing, MasterKey};

/// The master key of the fixed examples: the bytes 0 to 31. What they expect was computed outside of this crate,
/// from the documented formats; were one to change, tokens in the field would die.
const KNOWN_MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// 2025-11-24T16:00:00Z.
const KNOWN_TIME: i64 = 1_764_000_000;

fn known_ring() -> KeyRing {
    KeyRing::new(&MasterKey::from_text(KNOWN_MASTER).unwrap(), None)
}

fn fresh_ring() -> KeyRing {
    KeyRing::new(&MasterKey::generate().unwrap(), None)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// Ids that a device can have, as a property test draws them: none is a step of a path.
const DEVICE_IDS: &str = "[^|.\\p{C}\\s][^|\\p{C}\\s]{0,31}";

fn device(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
        .as_ref()
        .to_vec()
}

/// A sub-key of the known ring, derived by hand: HKDF is two HMACs when one hash of output is enough.
fn known_sub_key(label: &str) -> Vec<u8> {
    let master: Vec<u8> = (0..32).collect();
    let root = hmac_sha256(b"tidegate key ring 1", &master);
    hmac_sha256(&root, &[label.as_bytes(), &[1]].concat())
}

/// All texts that differ from this one in a single bit of a single character and are still UTF-8.
fn bit_flips(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(|bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        String::from_utf8(bytes).ok()
    })
}
