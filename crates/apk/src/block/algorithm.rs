//! The signature algorithms of the signing block.

use super::ContentDigest;
use super::record::Pair;
use crate::crypto::{Algorithm, Digest};

/// A signature algorithm by its id in the file, with the digest of the contents that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockAlgorithm {
    pub(crate) id: u32,
    pub(crate) signature: Algorithm,
    pub(crate) content: ContentDigest,
    /// The first SDK level that knows it.
    pub(crate) since: u32,
}

const NOUGAT: u32 = 24;
const PIE: u32 = 28;

const fn known(id: u32, signature: Algorithm, content: ContentDigest, since: u32) -> BlockAlgorithm {
    BlockAlgorithm {
        id,
        signature,
        content,
        since,
    }
}

/// Source: source.android.com, "APK Signature Scheme v2", "Signature algorithm IDs"; the verity ones from
/// the platform's `ApkSigningBlockUtils`.
const KNOWN: [BlockAlgorithm; 10] = [
    known(
        0x0101,
        Algorithm::RsaPss(Digest::Sha256),
        ContentDigest::Sha256,
        NOUGAT,
    ),
    known(
        0x0102,
        Algorithm::RsaPss(Digest::Sha512),
        ContentDigest::Sha512,
        NOUGAT,
    ),
    known(
        0x0103,
        Algorithm::RsaPkcs1(Digest::Sha256),
        ContentDigest::Sha256,
        NOUGAT,
    ),
    known(
        0x0104,
        Algorithm::RsaPkcs1(Digest::Sha512),
        ContentDigest::Sha512,
        NOUGAT,
    ),
    known(
        0x0201,
        Algorithm::Ecdsa(Digest::Sha256),
        ContentDigest::Sha256,
        NOUGAT,
    ),
    known(
        0x0202,
        Algorithm::Ecdsa(Digest::Sha512),
        ContentDigest::Sha512,
        NOUGAT,
    ),
    known(
        0x0301,
        Algorithm::Dsa(Digest::Sha256),
        ContentDigest::Sha256,
        NOUGAT,
    ),
    known(
        0x0421,
        Algorithm::RsaPkcs1(Digest::Sha256),
        ContentDigest::VeritySha256,
        PIE,
    ),
    known(
        0x0423,
        Algorithm::Ecdsa(Digest::Sha256),
        ContentDigest::VeritySha256,
        PIE,
    ),
    known(
        0x0425,
        Algorithm::Dsa(Digest::Sha256),
        ContentDigest::VeritySha256,
        PIE,
    ),
];

impl BlockAlgorithm {
    /// The algorithm of this id, if devices know it.
    pub(crate) fn find(id: u32) -> Option<Self> {
        KNOWN.into_iter().find(|algorithm| algorithm.id == id)
    }
}

/// The signatures that some device of the levels `min..=max` would check: for each level that introduced
/// algorithms, the strongest of them. `None` when a device of level `min` would know none.
///
/// A device checks only the strongest signature it knows, so a broken weaker one does not matter, while a
/// broken one that only newer devices know does.
pub(super) fn to_check<'a>(
    signatures: &[Pair<'a>],
    min: u32,
    max: u32,
) -> Option<Vec<(BlockAlgorithm, Pair<'a>)>> {
    let mut best: Vec<(BlockAlgorithm, Pair<'a>)> = Vec::new();
    for signature in signatures {
        let Some(algorithm) = BlockAlgorithm::find(signature.id).filter(|found| found.since <= max) else {
            continue;
        };
        match best.iter_mut().find(|(other, _)| other.since == algorithm.since) {
            Some(other) if algorithm.content.strength() > other.0.content.strength() => {
                *other = (algorithm, *signature);
            }
            Some(_) => {}
            None => best.push((algorithm, *signature)),
        }
    }
    best.sort_by_key(|(algorithm, _)| algorithm.id);
    best.iter()
        .any(|(algorithm, _)| algorithm.since <= min)
        .then_some(best)
}
