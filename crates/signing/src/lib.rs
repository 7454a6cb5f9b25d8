//! # What Tidegate signs, and how it is checked
//!
//! Six things leave the server that it must recognise, or that a device must: a device's token, a download URL,
//! an operator's token, the token of a browser that was logged in with, a command sent through a push service, and an
//! enrolment token. This crate makes and
//! checks them. It reads no file, opens no socket and asks no clock: the time comes in as an argument, and
//! randomness is drawn only where a key or a token is born.
//!
//! It also keeps the [`RecordSecret`], which authenticates the audit log, and signs the log's [`Head`]s.
//!
//! It must never know who is allowed to do what, nor which tokens were revoked. It answers one question, "did we
//! write this, and does it still hold?", and leaves the next one to its caller.
//!
//! Why one [`MasterKey`] instead of one key for each purpose: an operator guards, backs up and rotates one
//! secret. HKDF ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)) makes of it a sub-key for each purpose, so
//! that a signature made for one can never be passed off as another's. A [`KeyRing`] holds two master keys while
//! a rotation lasts: it signs with the primary and accepts both.
//!
//! Why an own form for device tokens where a JWT would do: every poll of every device carries one. A JWT check
//! parses JSON twice and allocates; [`KeyRing::verify_device_token`] is two base64 decodes on the stack and one
//! HMAC. The operators' tokens are JWTs, since people's tools read those, with one algorithm and one header.
//!
//! Tokens and keys are [`SecretString`]s or opaque types: none prints itself, and the bytes this crate holds are
//! wiped when dropped. The derivation keys inside `ring` are not wiped; they live as long as the process does.
//!
//! ```
//! use tidegate_domain::DeviceId;
//! use tidegate_signing::{ExposeSecret, KeyRing, MasterKey};
//!
//! let ring = KeyRing::new(&MasterKey::generate()?, None);
//! let token = ring.device_token(&DeviceId::parse("abc123")?, 1);
//! let claims = ring.verify_device_token(token.expose_secret())?;
//! assert_eq!((claims.device(), claims.generation()), ("abc123", 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admin_token;
mod bcrypt_hash;
mod browser;
mod command;
mod command_key;
mod command_verifier;
mod device_token;
mod download;
mod enroll_token;
mod error;
mod key_ring;
mod mac;
mod master_key;
mod offer;
mod passwords;
mod previous_token;
mod record;

pub use admin_token::{
    AdminClaims, IssuedAdminToken, MAX_ADMIN_TOKEN_BYTES, MAX_ADMIN_TTL_DAYS, MAX_SUBJECT_BYTES,
};
pub use bcrypt_hash::{BcryptHash, MAX_BCRYPT_COST};
pub use browser::{BROWSER_DAYS, BrowserId};
pub use command::{Command, MAX_ACTION_BYTES, MAX_COMMAND_REQUEST_ID_BYTES, sign_command};
pub use command_key::{CommandKey, CommandKeys, MAX_COMMAND_KEY_BYTES, MIN_COMMAND_KEY_BYTES};
pub use command_verifier::{
    COMMAND_WINDOW_SECONDS, CommandError, CommandMemory, CommandVerifier, MAX_SEEN_COMMANDS,
};
pub use device_token::{DeviceTokenClaims, MAX_DEVICE_TOKEN_BYTES};
pub use download::{DownloadError, DownloadQuery};
pub use enroll_token::{
    MAX_ENROLLMENT_KEY_CHARS, MIN_ENROLLMENT_KEY_CHARS, enroll_token_hash, enrollment_key_hash,
    new_enroll_token, new_enrollment_key,
};
pub use error::{Error, TokenError};
pub use key_ring::KeyRing;
pub use master_key::{MAX_MASTER_KEY_BYTES, MIN_MASTER_KEY_BYTES, MasterKey};
pub use offer::OfferClaim;
pub use passwords::{
    MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES, hash_password, is_imported_password, verify_password,
};
pub use previous_token::{MAX_PREVIOUS_TOKEN_BYTES, PreviousTokenHash};
pub use record::{Head, RecordSecret};
pub use secrecy::{ExposeSecret, SecretString};
