//! The one secret that an operator guards.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::Error;

/// The fewest bytes that a master key may have: the strength of the SHA-256 that everything is derived with.
pub const MIN_MASTER_KEY_BYTES: usize = 32;

/// The most bytes that a master key may have. More than a hash's block adds nothing.
pub const MAX_MASTER_KEY_BYTES: usize = 64;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The one secret that all keys are derived from. It never signs anything itself.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<Vec<u8>>);

impl MasterKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new(vec![0; MIN_MASTER_KEY_BYTES]);
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads a key from text: 32 to 64 bytes in hex or in base64 of either alphabet, padded or not. White space
    /// around it, such as a file's last line end, does not matter. A text of hex digits alone is read as hex.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `master_key`, which says what is wrong without repeating the text.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid("master_key", "is empty"));
        }
        if text.len() > 2 * MAX_MASTER_KEY_BYTES {
            return Err(too_long());
        }
        let bytes = decode(text).ok_or_else(|| {
            Error::invalid(
                "master_key",
                "is neither hex nor base64; `openssl rand -base64 32` makes a good one",
            )
        })?;
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        if bytes.len() < MIN_MASTER_KEY_BYTES {
            let fault = format!(
                "has only {} bytes; it needs {MIN_MASTER_KEY_BYTES} or more",
                bytes.len()
            );
            return Err(Error::invalid("master_key", fault));
        }
        if bytes.len() > MAX_MASTER_KEY_BYTES {
            return Err(too_long());
        }
        // A row of zeros or of the letter A is the placeholder of somebody's example, not a secret.
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(Error::invalid("master_key", "is one byte repeated"));
        }
        Ok(Self(bytes))
    }

    /// The key as [`MasterKey::from_text`] reads it, for the key file.
    pub fn to_text(&self) -> SecretString {
        SecretString::from(URL_SAFE.encode(&*self.0))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Fills the bytes from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SystemRandom::new().fill(bytes).map_err(|_| Error::NoRandomness)
}

fn too_long() -> Error {
    let fault = format!("is longer than {MAX_MASTER_KEY_BYTES} bytes");
    Error::invalid("master_key", fault)
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        from_hex(text)?
    } else {
        STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?
    };
    Some(Zeroizing::new(bytes))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()
        .filter(|_| text.len().is_multiple_of(2))
}
