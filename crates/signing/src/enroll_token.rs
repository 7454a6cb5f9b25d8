//! Enrolment tokens: what a fresh device shows once to become one of the fleet; and enrolment keys, by which it is known
//! when it asks again.
//!
//! They are not signed but drawn: an operator hands them out for a number of uses, so the server has to keep a
//! record of each anyway. It keeps the SHA-256 alone. With 256 random bits there is nothing to guess, so a slow
//! hash would protect nothing.

use ring::digest;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::Error;
use crate::mac::{TAG_BYTES, tag_from_text, to_text};
use crate::master_key::fill;

const PREFIX: &str = "tge1.";

/// Draws an enrolment token. The first is shown to the operator, once; the second is what may be stored.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn new_enroll_token() -> Result<(SecretString, [u8; 32]), Error> {
    let mut secret = Zeroizing::new([0; TAG_BYTES]);
    fill(&mut *secret)?;
    let text = SecretString::from(format!("{PREFIX}{}", *Zeroizing::new(to_text(&*secret))));
    let hash = sha256(text.expose_secret());
    Ok((text, hash))
}

/// The fewest characters of an enrolment key: 22 of base64url hold 128 bits, 32 of hex as well.
pub const MIN_ENROLLMENT_KEY_CHARS: usize = 22;

/// The most characters of an enrolment key.
pub const MAX_ENROLLMENT_KEY_CHARS: usize = 128;

/// Draws an enrolment key of 256 bits, in base64url: what a device makes before it enrols for the first time, keeps, and
/// shows to be told again what it was told.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn new_enrollment_key() -> Result<SecretString, Error> {
    let mut secret = Zeroizing::new([0; TAG_BYTES]);
    fill(&mut *secret)?;
    Ok(SecretString::from(to_text(&*secret)))
}

/// The hash under which an enrolment key is stored. It covers the text, whichever encoding the agent chose.
///
/// # Errors
/// [`Error::Invalid`] with `enrollment_key` for a length outside of [`MIN_ENROLLMENT_KEY_CHARS`] to
/// [`MAX_ENROLLMENT_KEY_CHARS`], and for other characters than those of hex and base64url.
pub fn enrollment_key_hash(text: &str) -> Result<[u8; 32], Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !(MIN_ENROLLMENT_KEY_CHARS..=MAX_ENROLLMENT_KEY_CHARS).contains(&text.len())
        || !text.bytes().all(allowed)
    {
        let fault = format!(
            "must be at least 128 random bits in hex or base64url, {MIN_ENROLLMENT_KEY_CHARS} to \
             {MAX_ENROLLMENT_KEY_CHARS} characters"
        );
        return Err(Error::invalid("enrollment_key", fault));
    }
    Ok(sha256(text))
}

/// The hash under which an enrolment token is stored; `None` for what cannot be one.
pub fn enroll_token_hash(text: &str) -> Option<[u8; 32]> {
    tag_from_text(text.strip_prefix(PREFIX)?)?;
    Some(sha256(text))
}

fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}
