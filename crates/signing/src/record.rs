//! The record's secret: what the audit log and accounts are authenticated with, and heads of the log are signed with.
//!
//! It is drawn once and never derived from a master key, so that what it authenticated can still be verified when the
//! master keys of that time are gone. It is kept encrypted, once for each master key: AES-256-GCM
//! ([NIST SP 800-38D](https://csrc.nist.gov/pubs/sp/800/38/d/final)) with a key that is derived from it.

use std::fmt;

use ring::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::key_ring::Keys;
use crate::master_key::fill;
use crate::{Error, KeyRing};

/// Bytes of each of the two halves.
const HALF: usize = 32;

/// What is encrypted: the HMAC key, and then the seed of the Ed25519 key.
const SECRET_BYTES: usize = 2 * HALF;

/// Binds the encryption to this use.
const CONTEXT: &[u8] = b"tidegate record 1";

/// Binds the signature to this use.
const HEAD: &[u8] = b"tidegate audit head 1";

/// The record's secret.
pub struct RecordSecret {
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
    pair: Ed25519KeyPair,
}

/// The state of the audit log at one moment, as it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last entry.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
    /// When it was signed, in unix seconds.
    pub signed_at: i64,
}

impl Head {
    fn message(&self) -> Vec<u8> {
        let (seq, at) = (self.seq.to_be_bytes(), self.signed_at.to_be_bytes());
        [HEAD, &seq[..], &self.hash[..], &at[..]].concat()
    }

    /// Whether the owner of this public key signed it.
    pub fn is_signed(&self, public_key: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key)
            .verify(&self.message(), signature)
            .is_ok()
    }
}

impl RecordSecret {
    /// Draws a new one.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        fill(&mut bytes[..])?;
        Ok(Self::from_bytes(bytes).expect("every seed of 32 bytes is one"))
    }

    fn from_bytes(bytes: Zeroizing<[u8; SECRET_BYTES]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes[HALF..]).ok()?;
        Some(Self { bytes, pair })
    }

    /// The key of HMAC-SHA256 for entries and accounts.
    pub fn mac_key(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; HALF]);
        key.copy_from_slice(&self.bytes[..HALF]);
        key
    }

    /// The Ed25519 key ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)) with which heads are verified. No secret.
    pub fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        key
    }

    /// Signs a head of the audit log.
    pub fn sign(&self, head: &Head) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&head.message()).as_ref());
        signature
    }
}

impl fmt::Debug for RecordSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordSecret(…)")
    }
}

impl KeyRing {
    /// The names of the master keys, the primary's first. A name tells nothing of its key.
    pub fn master_key_names(&self) -> Vec<&str> {
        self.keys().map(|keys| keys.name.as_str()).collect()
    }

    /// Encrypts the record's secret for each master key, with the key's name.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn wrap_record(&self, secret: &RecordSecret) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.keys()
            .map(|keys| Ok((keys.name.clone(), wrap(keys, secret)?)))
            .collect()
    }

    /// Decrypts the record's secret with the first master key that can; `None` when none of them can.
    pub fn open_record<'a>(
        &self,
        wrapped: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<RecordSecret> {
        wrapped.into_iter().find_map(|(name, bytes)| {
            let keys = self.keys().find(|keys| keys.name == name)?;
            open(keys, bytes)
        })
    }
}

fn wrap(keys: &Keys, secret: &RecordSecret) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_LEN];
    fill(&mut nonce)?;
    let mut sealed = secret.bytes.to_vec();
    keys.record
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(), &mut sealed)
        .expect("64 bytes are within the limits of AES-GCM");
    Ok([&nonce[..], &sealed[..]].concat())
}

fn open(keys: &Keys, wrapped: &[u8]) -> Option<RecordSecret> {
    let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let opened = keys.record.open_in_place(nonce, aad(), &mut sealed).ok()?;
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    if opened.len() != SECRET_BYTES {
        return None;
    }
    bytes.copy_from_slice(opened);
    RecordSecret::from_bytes(bytes)
}

fn aad() -> Aad<&'static [u8]> {
    Aad::from(CONTEXT)
}

/// The key for encrypting, of its derivation.
pub(crate) fn aead_key(okm: ring::hkdf::Okm<'_, &'static aead::Algorithm>) -> LessSafeKey {
    LessSafeKey::new(okm.into())
}
