//! Operators' passwords, kept as argon2id hashes ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)).

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};

use crate::master_key::fill;
use crate::{BcryptHash, Error};

/// The fewest bytes of a password. Length is the only rule: rules about digits and signs make passwords worse
/// (NIST SP 800-63B, section 3.1.1).
pub const MIN_PASSWORD_BYTES: usize = 8;

/// The most bytes of a password. More would only make us hash what somebody sends.
pub const MAX_PASSWORD_BYTES: usize = 256;

/// Memory in KiB, passes, lanes: the second choice of OWASP's password storage cheat sheet, about 20 ms of one
/// core. A small server can take a few such log-ins at once.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// The hash of a password that nobody has, with the same cost as the real ones.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_with_salt("nobody", &[0; SALT_BYTES]).ok());

/// Hashes a password, as a PHC string (`$argon2id$v=19$…`). This takes some 20 ms of a core and 19 MiB, so it
/// does not belong on an async runtime's thread.
///
/// # Errors
/// [`Error::Invalid`] with `password` for fewer than [`MIN_PASSWORD_BYTES`] or more than [`MAX_PASSWORD_BYTES`];
/// [`Error::NoRandomness`].
pub fn hash_password(password: &SecretString) -> Result<String, Error> {
    let password = password.expose_secret();
    if !(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES).contains(&password.len()) {
        let fault = format!("must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes");
        return Err(Error::invalid("password", fault));
    }
    let mut salt = [0; SALT_BYTES];
    fill(&mut salt)?;
    hash_with_salt(password, &salt)
}

/// Whether a hash came from another server, and is to be made anew when its password is there.
pub fn is_imported_password(hash: &str) -> bool {
    hash.starts_with("$2")
}

/// Whether the password is the one that was hashed. With `None`, for a user who does not exist, it does the same
/// work and says no, so that the time does not tell who exists. As slow as [`hash_password`], or with a hash of bcrypt's,
/// which came from another server, as slow as its cost says.
pub fn verify_password(password: &SecretString, hash: Option<&str>) -> bool {
    let password = password.expose_secret();
    if password.len() > MAX_PASSWORD_BYTES {
        return false;
    }
    let Some(work) = hash.or(NOBODY.as_deref()) else {
        return false;
    };
    if is_imported_password(work) {
        return BcryptHash::parse(work).is_ok_and(|hash| hash.verify(password));
    }
    let matches = PasswordHash::new(work)
        .is_ok_and(|parsed| hasher().is_ok_and(|argon2| matches(&argon2, password, &parsed)));
    matches && hash.is_some()
}

fn matches(argon2: &Argon2<'_>, password: &str, hash: &PasswordHash) -> bool {
    argon2.verify_password(password.as_bytes(), hash).is_ok()
}

fn hash_with_salt(password: &str, salt: &[u8]) -> Result<String, Error> {
    let hash: PasswordHash = hasher()?
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|fault| Error::invalid("password", format!("cannot be hashed: {fault}")))?;
    Ok(hash.to_string())
}

fn hasher() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|fault| Error::invalid("argon2", fault.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}
