//! The key of the stand-in's own service account.

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rsa::pkcs1::EncodeRsaPublicKey as _;
use rsa::pkcs8::EncodePrivateKey as _;

const BITS: usize = 2048;

/// A PEM line's length (RFC 7468).
const LINE: usize = 64;

pub(crate) struct Key {
    pub(crate) pem: String,
    public: Vec<u8>,
}

impl Key {
    pub(crate) fn generate() -> io::Result<Self> {
        let private = rsa::PrivateKey::new(&mut rand::rng(), BITS).map_err(io::Error::other)?;
        let public = private.to_public_key().to_pkcs1_der().map_err(io::Error::other)?;
        let der = private.to_pkcs8_der().map_err(io::Error::other)?;
        let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        let digits = STANDARD.encode(der.as_bytes());
        for line in digits.as_bytes().chunks(LINE) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(Self {
            pem,
            public: public.as_bytes().to_vec(),
        })
    }

    /// RS256.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public)
            .verify(signed, signature)
            .is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
