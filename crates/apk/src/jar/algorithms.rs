//! Which pairs of digest and signature algorithm verify on which level of the platform.
//!
//! The three families differ because each level had its own library: Harmony's and Bouncy Castle's quirks
//! up to 20, the first OpenSSL-backed one with any mix of digests from 21 to 23, and 24's strict one.

use crate::SdkRange;
use crate::crypto::{Algorithm, Digest};

/// What the second identifier of a PKCS #7 signer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureId {
    /// The key's algorithm only; the digest is the first identifier's.
    Plain(Family),
    /// Algorithm and digest.
    With(Family, Digest),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    Dsa,
    Ecdsa,
}

impl SignatureId {
    pub(super) fn from_oid(oid: &str) -> Option<Self> {
        Some(match oid {
            "1.2.840.113549.1.1.1" => Self::Plain(Family::Rsa),
            "1.2.840.113549.1.1.4" => Self::With(Family::Rsa, Digest::Md5),
            "1.2.840.113549.1.1.5" => Self::With(Family::Rsa, Digest::Sha1),
            "1.2.840.113549.1.1.14" => Self::With(Family::Rsa, Digest::Sha224),
            "1.2.840.113549.1.1.11" => Self::With(Family::Rsa, Digest::Sha256),
            "1.2.840.113549.1.1.12" => Self::With(Family::Rsa, Digest::Sha384),
            "1.2.840.113549.1.1.13" => Self::With(Family::Rsa, Digest::Sha512),
            "1.2.840.10040.4.1" => Self::Plain(Family::Dsa),
            "1.2.840.10040.4.3" => Self::With(Family::Dsa, Digest::Sha1),
            "2.16.840.1.101.3.4.3.1" => Self::With(Family::Dsa, Digest::Sha224),
            "2.16.840.1.101.3.4.3.2" => Self::With(Family::Dsa, Digest::Sha256),
            "1.2.840.10045.2.1" => Self::Plain(Family::Ecdsa),
            "1.2.840.10045.4.1" => Self::With(Family::Ecdsa, Digest::Sha1),
            "1.2.840.10045.4.3.1" => Self::With(Family::Ecdsa, Digest::Sha224),
            "1.2.840.10045.4.3.2" => Self::With(Family::Ecdsa, Digest::Sha256),
            "1.2.840.10045.4.3.3" => Self::With(Family::Ecdsa, Digest::Sha384),
            "1.2.840.10045.4.3.4" => Self::With(Family::Ecdsa, Digest::Sha512),
            _ => return None,
        })
    }

    /// The algorithm that the signature has to be checked with.
    pub(super) fn algorithm(self, digest: Digest) -> Algorithm {
        let (family, digest) = match self {
            Self::Plain(family) => (family, digest),
            Self::With(family, own) => (family, own),
        };
        match family {
            Family::Rsa => Algorithm::RsaPkcs1(digest),
            Family::Dsa => Algorithm::Dsa(digest),
            Family::Ecdsa => Algorithm::Ecdsa(digest),
        }
    }
}

pub(super) fn digest_from_oid(oid: &str) -> Option<Digest> {
    Some(match oid {
        "1.2.840.113549.2.5" => Digest::Md5,
        "1.3.14.3.2.26" => Digest::Sha1,
        "2.16.840.1.101.3.4.2.4" => Digest::Sha224,
        "2.16.840.1.101.3.4.2.1" => Digest::Sha256,
        "2.16.840.1.101.3.4.2.2" => Digest::Sha384,
        "2.16.840.1.101.3.4.2.3" => Digest::Sha512,
        _ => return None,
    })
}

/// The levels that verify a signer with these two identifiers.
fn supported(digest: Digest, signature: SignatureId) -> Vec<SdkRange> {
    use Digest::{Md5, Sha1, Sha224, Sha256, Sha384, Sha512};
    use Family::{Dsa, Ecdsa, Rsa};
    use SignatureId::{Plain, With};

    let since = |min| vec![SdkRange::from(min)];
    let up_to_8_and_since = |min| vec![SdkRange { min: 0, max: 8 }, SdkRange::from(min)];
    let lollipop = |max| vec![SdkRange { min: 21, max }];
    match (digest, signature) {
        (Md5 | Sha1, Plain(Rsa)) => since(0),
        (Sha224, Plain(Rsa)) => up_to_8_and_since(21),
        (Sha256, Plain(Rsa)) => up_to_8_and_since(18),
        (Sha384 | Sha512, Plain(Rsa)) => since(18),
        (Sha1, With(Rsa, Sha1)) => since(0),
        (Md5, With(Rsa, Md5)) | (Sha224, With(Rsa, Sha224)) => up_to_8_and_since(21),
        (Sha256, With(Rsa, Sha256)) => up_to_8_and_since(18),
        (Sha384, With(Rsa, Sha384)) | (Sha512, With(Rsa, Sha512)) => since(21),

        (Sha1, Plain(Dsa)) => since(0),
        (Sha224 | Sha256, Plain(Dsa)) => since(22),
        (Sha1, With(Dsa, Sha1)) => since(9),
        (Sha224, With(Dsa, Sha224)) | (Sha256, With(Dsa, Sha256)) => since(21),
        (_, Plain(Dsa)) => Vec::new(),

        (Sha1 | Sha256 | Sha384 | Sha512, Plain(Ecdsa)) => since(18),
        (Sha224, Plain(Ecdsa)) => since(21),
        (Md5, Plain(Ecdsa)) => Vec::new(),
        (Sha1, With(Ecdsa, Sha1)) => since(18),
        (digest, With(Ecdsa, own)) if digest == own => since(21),

        // Two digests that differ: three pairs were gone again after the first such level.
        (Sha224, With(Rsa, Sha256)) | (Sha256, With(Rsa, Sha1)) | (Sha512, With(Rsa, Sha384)) => lollipop(21),
        (_, With(..)) => lollipop(23),
    }
}

/// The part of `range` that does not verify a signer with these two identifiers.
pub(super) fn unsupported(digest: Digest, signature: SignatureId, range: SdkRange) -> Vec<SdkRange> {
    let mut gaps = Vec::new();
    let mut next = range.min;
    for levels in supported(digest, signature) {
        if levels.max < next {
            continue;
        }
        if levels.min > range.max {
            break;
        }
        if levels.min > next {
            gaps.push(SdkRange {
                min: next,
                max: levels.min - 1,
            });
        }
        if levels.max >= range.max {
            return gaps;
        }
        next = levels.max + 1;
    }
    gaps.push(SdkRange {
        min: next,
        max: range.max,
    });
    gaps
}
