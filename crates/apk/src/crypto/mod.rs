//! Digests and public-key signatures, as Android's platform knows them.
//!
//! *ring* does what it can do: it is the fastest and the most reviewed. What old APKs need beyond it (MD5,
//! SHA-1, RSA below 2,048 bits or above 8,192, P-521, odd pairs of curve and digest, DSA) is done by the
//! RustCrypto crates, verification only. Which algorithm is acceptable on which SDK level is no question of
//! this module: it says whether a signature verifies, within bounded time whatever the key looks like.

mod digest;
mod dsa;
mod elliptic;
mod key;
mod rsa;

pub use digest::{Digest, Hasher};
pub(crate) use key::canonical as canonical_key;
pub use key::{Curve, PublicKey};

/// Why a key, a signature or a certificate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are not what they claim to be.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Well formed, but of a kind or size that no Android device accepts.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// Everything could be read, and the signature is not over this message by this key.
    #[error("the signature does not verify")]
    Mismatch,
}

/// A signature algorithm with its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5, RFC 8017 section 8.2.
    RsaPkcs1(Digest),
    /// RSASSA-PSS, RFC 8017 section 8.1: MGF1 over the same digest, salt as long as the digest, trailer 1.
    RsaPss(Digest),
    /// ECDSA with the signature as a DER sequence of r and s, on the curve of the key.
    Ecdsa(Digest),
    /// DSA with the signature as a DER sequence of r and s.
    Dsa(Digest),
}

impl Algorithm {
    /// The digest over the message.
    #[must_use]
    pub fn digest(self) -> Digest {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) | Self::Dsa(digest) => digest,
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (digest, scheme) = match self {
            Self::RsaPkcs1(digest) => (digest, "RSA"),
            Self::RsaPss(digest) => (digest, "RSA-PSS"),
            Self::Ecdsa(digest) => (digest, "ECDSA"),
            Self::Dsa(digest) => (digest, "DSA"),
        };
        write!(f, "{digest} with {scheme}")
    }
}

/// Checks that `signature` is over `message` by the key in `spki_der`, a `SubjectPublicKeyInfo`
/// (RFC 5280 section 4.1.2.7).
///
/// # Errors
/// [`Fault::Malformed`] when key or signature cannot be read, [`Fault::Unsupported`] when the key is not of
/// the algorithm's kind or outside the bounds of what a device accepts, [`Fault::Mismatch`] when the
/// signature is another one.
pub fn verify(spki_der: &[u8], algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
    match (algorithm, PublicKey::parse(spki_der)?) {
        (Algorithm::RsaPkcs1(digest), PublicKey::Rsa { modulus, exponent }) => {
            rsa::verify_pkcs1(&modulus, &exponent, digest, message, signature)
        }
        (Algorithm::RsaPss(digest), PublicKey::Rsa { modulus, exponent }) => {
            rsa::verify_pss(&modulus, &exponent, digest, message, signature)
        }
        (Algorithm::Ecdsa(digest), PublicKey::Ec { curve, point }) => {
            elliptic::verify(&curve, &point, digest, message, signature)
        }
        (Algorithm::Dsa(digest), PublicKey::Dsa(key)) => dsa::verify(&key, digest, message, signature),
        (algorithm, key) => Err(Fault::Unsupported(format!(
            "{algorithm} cannot be checked with a key for {}",
            key.algorithm()
        ))),
    }
}

#[cfg(test)]
mod tests;
