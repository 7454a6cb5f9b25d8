//! The arithmetic that assigns a device to a share of the fleet.
//!
//! `cohort = u32_be(SHA-256(device_id)[0..4]) % 100` is what agents in the field compute for themselves, so it
//! is fixed for ever. A [`Bucket`] refines it to basis points without moving a device at a whole percent.
//!
//! Without a salt every rollout begins with the same devices. A rollout may therefore carry a salt, which is hashed
//! in with its length in front: `SHA-256(u32_be(len) ‖ salt ‖ device_id)`. The length makes sure that no two pairs of
//! salt and id are hashed alike. The canaries of two salted rollouts are independent of each other.

use sha2::{Digest, Sha256};

use crate::Percent;

/// The longest salt, in bytes.
pub const MAX_SALT_BYTES: usize = 64;

/// A device's place in a rollout, in basis points: 0 to 9,999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// The device's bucket, under a rollout's salt if it has one.
    pub fn of(device_id: &str, salt: Option<&str>) -> Self {
        Self::from_hash(first_word(device_id, salt))
    }

    fn from_hash(hash: u32) -> Self {
        let basis_points = hash % 100 * 100 + hash / 100 % 100;
        Self(u16::try_from(basis_points).unwrap_or(u16::MAX))
    }

    /// The whole-percent cohort, 0 to 99.
    pub fn cohort(self) -> u8 {
        u8::try_from(self.0 / 100).unwrap_or(u8::MAX)
    }

    /// The bucket as a number of basis points.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Whether a rollout to this share of the fleet takes the device.
    pub fn is_within(self, percent: Percent) -> bool {
        self.0 < u16::from(percent.get()) * 100
    }
}

/// The device's cohort, 0 to 99, as agents in the field compute it.
pub fn cohort(device_id: &str) -> u8 {
    Bucket::of(device_id, None).cohort()
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
