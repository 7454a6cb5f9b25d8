//! The arithmetic of the audit chain.
//!
//! `hash = SHA-256(prev_hash ‖ encoding)`, and the first entry follows 32 zero bytes. The encoding is canonical:
//! each field in its fixed place, numbers as 8 bytes and texts behind their length in 8 bytes, big-endian; an
//! optional text has one byte in front, 0 or 1. So no two entries encode alike, and whoever has the rows can
//! compute the chain without this program.

use sha2::{Digest, Sha256};

/// What the first entry follows.
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// What an entry's hash covers besides the hash before it.
pub(crate) struct Link<'a> {
    pub(crate) seq: i64,
    pub(crate) at: i64,
    pub(crate) actor: &'a str,
    pub(crate) role: &'a str,
    pub(crate) action: &'a str,
    pub(crate) target: &'a str,
    pub(crate) before: Option<&'a str>,
    pub(crate) after: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
}

impl Link<'_> {
    pub(crate) fn hash(&self, previous: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(previous);
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        for text in [self.actor, self.role, self.action, self.target] {
            put(&mut hash, text);
        }
        for text in [self.before, self.after, self.request_id] {
            hash.update([u8::from(text.is_some())]);
            if let Some(text) = text {
                put(&mut hash, text);
            }
        }
        hash.finalize().into()
    }
}

fn put(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link<'a>(actor: &'a str, role: &'a str, before: Option<&'a str>) -> Link<'a> {
        Link {
            seq: 1,
            at: 2,
            actor,
            role,
            action: "a",
            target: "t",
            before,
            after: None,
            request_id: None,
        }
    }

    #[test]
    fn texts_that_join_alike_hash_apart() {
        let hash = link("ab", "c", None).hash(&GENESIS);
        assert_eq!(hash, link("ab", "c", None).hash(&GENESIS));
        assert_ne!(hash, link("a", "bc", None).hash(&GENESIS));
        assert_ne!(hash, link("ab", "c", Some("")).hash(&GENESIS));
        assert_ne!(hash, link("ab", "c", None).hash(&[1; 32]));
    }
}
