//! The two fingerprints that a manifest carries, each in the spelling that its readers expect.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The SHA-256 of a file, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Reads 64 hex digits of either case.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `sha256`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        from_hex(text)
            .map(Self)
            .ok_or_else(|| Error::invalid("sha256", "must be 64 hex digits"))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&hex_pair(byte, LOWER));
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The SHA-256 over the DER of a signing certificate, written as upper-case hex pairs joined by colons,
/// as `keytool` and Android's own tools print it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignerFingerprint(pub [u8; 32]);

impl SignerFingerprint {
    /// Reads 32 hex pairs of either case, with or without colons.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `signer_fingerprint`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let plain: String = text.split(':').collect();
        from_hex(&plain).map(Self).ok_or_else(|| {
            Error::invalid(
                "signer_fingerprint",
                "must be 32 hex pairs, optionally joined by colons",
            )
        })
    }
}

impl fmt::Display for SignerFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b':'; 32 * 3 - 1];
        for (slot, byte) in text.chunks_mut(3).zip(self.0) {
            slot[..2].copy_from_slice(&hex_pair(byte, UPPER));
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Every manifest carries two fingerprints, and formatting them digit by digit through `write!` costs more than
/// deciding the poll.
fn hex_pair(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

macro_rules! spelled {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String { value.to_string() }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> { Self::parse(&text) }
        }
        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> { Self::parse(text) }
        }
    )*};
}
spelled!(Sha256, SignerFingerprint);

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut out = [0; 32];
    for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let print = SignerFingerprint(std::array::from_fn(|i| u8::try_from(i * 7 % 256).unwrap()));
        assert!(print.to_string().starts_with("00:07:0E:15:"));
        assert_eq!(print.to_string().len(), 32 * 3 - 1);
        assert_eq!(SignerFingerprint::parse(&print.to_string()), Ok(print));
        assert_eq!(
            SignerFingerprint::parse(&print.to_string().to_lowercase().replace(':', "")),
            Ok(print)
        );
    }

    #[test]
    fn a_digest_of_the_wrong_length_or_alphabet_is_refused() {
        assert!(Sha256::parse(&"a".repeat(63)).is_err());
        assert!(Sha256::parse(&"g".repeat(64)).is_err());
        assert!(Sha256::parse(&"é".repeat(32)).is_err());
        assert_eq!(Sha256::parse(&"AB".repeat(32)), Ok(Sha256([0xab; 32])));
    }
}
