//! Proofs that a device was offered a build.
//!
//! A manifest carries one, and reports send it back. So a report that comes after a crash, or to another server, still
//! counts for the rollout that made the offer; and what a device claims about builds that nobody offered it counts for
//! nothing. The tag covers a version byte, rollout, build and attempt, each big-endian in its place, and then the
//! device's id, so that no two offers sign alike. It has no end: a report may wait in a device's queue for weeks.

use tidegate_domain::{BuildId, RolloutId};

use crate::KeyRing;
use crate::mac::{tag_from_text, to_text};

const VERSION: u8 = 1;

/// What a device was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferClaim<'a> {
    /// The device.
    pub device: &'a str,
    /// The rollout that made the offer.
    pub rollout: RolloutId,
    /// The build.
    pub build: BuildId,
    /// The rollout's retry generation; `attempt` in the protocol.
    pub attempt: u32,
}

impl OfferClaim<'_> {
    fn head(&self) -> [u8; 21] {
        let mut head = [VERSION; 21];
        head[1..9].copy_from_slice(&self.rollout.0.to_be_bytes());
        head[9..17].copy_from_slice(&self.build.0.to_be_bytes());
        head[17..].copy_from_slice(&self.attempt.to_be_bytes());
        head
    }
}

impl KeyRing {
    /// The proof of an offer, in base64url.
    pub fn sign_offer(&self, offer: &OfferClaim<'_>) -> String {
        let tag = self.primary.offer.tag(&[&offer.head(), offer.device.as_bytes()]);
        to_text(&tag)
    }

    /// Whether this text proves that offer.
    pub fn proves_offer(&self, offer: &OfferClaim<'_>, text: &str) -> bool {
        let head = offer.head();
        let parts = [&head[..], offer.device.as_bytes()];
        tag_from_text(text).is_some_and(|tag| self.any(|keys| keys.offer.verify(&parts, &tag)))
    }
}
