//! Enrolment tokens: what a fresh device shows once to become one of the fleet.
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
