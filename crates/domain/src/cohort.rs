//! The arithmetic that assigns a device to a share of the fleet.
//!
//! `cohort = u32_be(SHA-256(device_id)[0..4]) % 100` is what agents in the field compute for themselves, so it
//! is fixed for ever. A [`Position`] refines it without moving a device at a whole percent.
//!
//! Without a salt every rollout begins with the same devices. A rollout may therefore carry a salt, which is hashed
//! in with its length in front: `SHA-256(u32_be(len) ‖ salt ‖ device_id)`. The length makes sure that no two pairs of
//! salt and id are hashed alike. The canaries of two salted rollouts are independent of each other.

use sha2::{Digest, Sha256};

use crate::{Percent, Share};

/// The longest salt, in bytes.
pub const MAX_SALT_BYTES: usize = 64;

/// A device's place in a rollout, in hundred-millionths of the fleet: 0 to 99,999,999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u32);

impl Position {
    /// How many positions there are.
    pub(crate) const END: u32 = 100_000_000;
    /// The first one.
    pub const FIRST: Self = Self(0);

    /// The device's position, under a rollout's salt if it has one.
    pub fn of(device_id: &str, salt: Option<&str>) -> Self {
        Self::from_hash(first_word(device_id, salt))
    }

    /// A position by its number; none from 10⁸ on.
    pub fn new(position: u32) -> Option<Self> {
        (position < Self::END).then_some(Self(position))
    }

    /// The digits of the hash in an order that makes the cohort the first two.
    fn from_hash(hash: u32) -> Self {
        Self(hash % 100 * 1_000_000 + hash / 100 % 100 * 10_000 + hash / 10_000 % 10_000)
    }

    /// The whole-percent cohort, 0 to 99.
    pub fn cohort(self) -> u8 {
        u8::try_from(self.0 / 1_000_000).unwrap_or(u8::MAX)
    }

    /// The bucket: the position in hundredths of a percent, 0 to 9,999.
    pub fn bucket(self) -> u16 {
        u16::try_from(self.0 / 10_000).unwrap_or(u16::MAX)
    }

    /// The position as a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// In percent, below 100.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// Whether a rollout to this share of the whole fleet takes the device.
    pub fn is_within(self, percent: Percent) -> bool {
        self.0 < percent.share().get()
    }

    /// How many positions lie from `start` to this one, going on with the first beyond the last.
    pub(crate) fn distance_from(self, start: Self) -> u32 {
        if self.0 >= start.0 {
            self.0 - start.0
        } else {
            Self::END - start.0 + self.0
        }
    }

    pub(crate) fn advanced_by(self, share: Share) -> Self {
        Self((self.0 + share.get()) % Self::END)
    }
}

/// The device's cohort, 0 to 99, as agents in the field compute it.
pub fn cohort(device_id: &str) -> u8 {
    Position::of(device_id, None).cohort()
}

fn first_word(device_id: &str, salt: Option<&str>) -> u32 {
    let mut hasher = Sha256::new();
    if let Some(salt) = salt {
        let length = u32::try_from(salt.len()).unwrap_or(u32::MAX);
        hasher.update(length.to_be_bytes());
        hasher.update(salt);
    }
    hasher.update(device_id);
    let digest = hasher.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}
