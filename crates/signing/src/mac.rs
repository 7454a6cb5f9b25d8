//! The one primitive below everything here: HMAC-SHA256 with a key that was set up once.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

/// Bytes of a tag. Tags are never truncated.
pub(crate) const TAG_BYTES: usize = 32;

/// Characters of a tag in base64url.
pub(crate) const TAG_CHARS: usize = 43;

/// A key for HMAC-SHA256.
#[derive(Clone)]
pub(crate) struct Mac(hmac::Key);

impl Mac {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The tag over the parts as if they were one text. The caller sees to it that no two lists of parts read
    /// alike.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    /// Whether the tag is the one over these parts, in a time that does not depend on where they differ.
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &[u8; TAG_BYTES]) -> bool {
        self.tag(parts).ct_eq(tag).into()
    }
}

impl From<ring::hkdf::Okm<'_, hmac::Algorithm>> for Mac {
    fn from(okm: ring::hkdf::Okm<'_, hmac::Algorithm>) -> Self {
        Self(okm.into())
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
