//! The one primitive below everything here: HMAC-SHA256 with a key that was set up once.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of a tag. Tags are never truncated.
pub(crate) const TAG_BYTES: usize = 32;

/// Characters of a tag in base64url.
pub(crate) const TAG_CHARS: usize = 43;

/// A key for HMAC-SHA256, its first block hashed already: a tag over a short text costs three more.
#[derive(Clone)]
pub(crate) struct Mac(Hmac<Sha256>);

impl Mac {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The tag over the parts as if they were one text. The caller sees to it that no two lists of parts read
    /// alike.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether the tag is the one over these parts, in a time that does not depend on where they differ.
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &[u8; TAG_BYTES]) -> bool {
        self.tag(parts).ct_eq(tag).into()
    }
}

impl From<ring::hkdf::Okm<'_, ring::hmac::Algorithm>> for Mac {
    fn from(okm: ring::hkdf::Okm<'_, ring::hmac::Algorithm>) -> Self {
        let mut key = Zeroizing::new([0; TAG_BYTES]);
        okm.fill(&mut key[..])
            .expect("HMAC-SHA256's keys are as long as its tags");
        Self::new(&key[..])
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(…)")
    }
}

/// Reads a tag in base64url. Only the one spelling that we write is taken: a second spelling of a token would
/// walk past any list of tokens that someone keeps.
pub(crate) fn tag_from_text(text: &str) -> Option<[u8; TAG_BYTES]> {
    if text.len() != TAG_CHARS {
        return None;
    }
    let mut tag = [0; TAG_BYTES];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut tag).ok()?;
    (written == TAG_BYTES).then_some(tag)
}

/// Writes bytes in base64url without padding.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
#[path = "mac_tests.rs"]
mod tests;
