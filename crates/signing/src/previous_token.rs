//! Tokens of a fleet's previous server, by which its devices are known when they move.

use std::fmt::{self, Write as _};

use ring::digest;
use subtle::ConstantTimeEq as _;

use crate::{BcryptHash, Error};

/// The longest token of a previous server that is looked at, in bytes.
pub const MAX_PREVIOUS_TOKEN_BYTES: usize = 4096;

const SHA256_PREFIX: &str = "sha256:";

/// The hash of a device's token at its previous server.
#[derive(Clone, PartialEq, Eq)]
pub enum PreviousTokenHash {
    /// SHA-256 of the token's bytes.
    Sha256([u8; 32]),
    /// A hash of bcrypt's.
    Bcrypt(BcryptHash),
}

impl PreviousTokenHash {
    /// A SHA-256 in 64 hex digits.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `token_sha256`.
    pub fn from_hex(hex: &str) -> Result<Self, Error> {
        let malformed = || Error::invalid("token_sha256", "must be 64 hex digits");
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Self::Sha256(hash))
    }

    /// A hash of bcrypt's.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `token_bcrypt`.
    pub fn from_bcrypt(text: &str) -> Result<Self, Error> {
        match BcryptHash::parse(text) {
            Ok(hash) => Ok(Self::Bcrypt(hash)),
            Err(Error::Invalid { fault, .. }) => Err(Error::invalid("token_bcrypt", fault)),
            Err(other) => Err(other),
        }
    }

    /// The form in which it is stored.
    pub fn to_stored(&self) -> String {
        match self {
            Self::Sha256(hash) => {
                let mut text = SHA256_PREFIX.to_owned();
                for byte in hash {
                    // Writing to a string can't fail.
                    let _ = write!(text, "{byte:02x}");
                }
                text
            }
            Self::Bcrypt(hash) => hash.as_str().to_owned(),
        }
    }

    /// Reads what [`PreviousTokenHash::to_stored`] wrote.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_stored(text: &str) -> Result<Self, Error> {
        match text.strip_prefix(SHA256_PREFIX) {
            Some(hex) => Self::from_hex(hex),
            None => Self::from_bcrypt(text),
        }
    }

    /// Whether a check is slow by design, so that the number of those at once has to be bounded.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Bcrypt(_))
    }

    /// Whether this is the token that was hashed.
    pub fn verify(&self, token: &str) -> bool {
        match self {
            Self::Sha256(hash) => {
                let computed = digest::digest(&digest::SHA256, token.as_bytes());
                computed.as_ref().ct_eq(hash).into()
            }
            Self::Bcrypt(hash) => hash.verify(token),
        }
    }
}

impl fmt::Debug for PreviousTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreviousTokenHash(…)")
    }
}
