//! Hashes that another server made with bcrypt: checked here, and never made.

use std::fmt;
use std::str::FromStr as _;

use bcrypt::HashParts;

use crate::Error;

/// The highest cost that is taken: a check at 14 takes about a second of a core, and one step more twice that. Whoever
/// chooses the hash would otherwise choose how long the server is busy.
pub const MAX_BCRYPT_COST: u32 = 14;

/// The prefixes of bcrypt's versions that compute alike for what we check.
const PREFIXES: [&str; 3] = ["$2a$", "$2b$", "$2y$"];

/// A hash in bcrypt's own form, `$2b$<cost>$<salt and hash>`.
///
/// bcrypt looks at the first 72 bytes of what is hashed and at no more.
#[derive(Clone, PartialEq, Eq)]
pub struct BcryptHash(String);

impl BcryptHash {
    /// Takes a hash whose form and cost are right.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `bcrypt`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || Error::invalid("bcrypt", "must be a hash of the form $2b$<cost>$<53 characters>");
        if !PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(malformed());
        }
        let cost = HashParts::from_str(text).map_err(|_| malformed())?.get_cost();
        if !(4..=MAX_BCRYPT_COST).contains(&cost) {
            let fault = format!("has the cost {cost}: it must be from 4 to {MAX_BCRYPT_COST}");
            return Err(Error::invalid("bcrypt", fault));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether this is what was hashed. It takes as long as the hash's cost says, so it does not belong on an async
    /// runtime's thread.
    pub fn verify(&self, secret: &str) -> bool {
        bcrypt::verify(secret, &self.0).unwrap_or(false)
    }

    /// The hash as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whoever has the hash can guess at leisure.
impl fmt::Debug for BcryptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BcryptHash(…)")
    }
}
