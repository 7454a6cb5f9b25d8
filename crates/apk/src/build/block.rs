//! Writes the APK signing block.

use super::Error;
use super::archive::Halves;
use super::key::SigningKey;
use crate::block::{ContentDigest, Contents, V2, V3};
use crate::{Scheme, SdkRange};

/// The id of the pair that fills the block up.
const PADDING: u32 = 0x4272_6577;
/// Block and entries end at multiples of this, so that a device may map them.
const PAGE_BYTES: usize = 4096;
/// The v2 attribute that names the newer scheme beside it.
const STRIPPING_PROTECTION: u32 = 0xbeef_f00d;

/// A block with the asked schemes, signed by `key` for all levels.
pub(super) fn sign(halves: &Halves, key: &SigningKey, schemes: &[Scheme]) -> Result<Vec<u8>, Error> {
    let digest = content_digest(halves)?;
    let mut pairs = Vec::new();
    if schemes.contains(&Scheme::V2) {
        let attributes = if schemes.contains(&Scheme::V3) {
            prefixed(&[STRIPPING_PROTECTION.to_le_bytes(), 3_u32.to_le_bytes()].concat())
        } else {
            Vec::new()
        };
        let data = signed_data(key, &digest, None, &attributes);
        pairs.push((V2, prefixed(&signer(key, &data, None)?)));
    }
    if schemes.contains(&Scheme::V3) {
        let range = Some(SdkRange {
            min: 28,
            max: SdkRange::OPEN,
        });
        let data = signed_data(key, &digest, range, &[]);
        pairs.push((V3, prefixed(&signer(key, &data, range)?)));
    }
    Ok(assemble(&pairs))
}

/// The chunked SHA-256 digest of the archive's three sections.
fn content_digest(halves: &Halves) -> Result<Vec<u8>, Error> {
    let joined = halves.clone().join(&[]);
    let start = halves.entries.len() as u64;
    let end = start + halves.directory().len() as u64;
    let contents = Contents::new(&joined, start, start..end, halves.end(halves.entries.len()));
    contents
        .digest(ContentDigest::Sha256)
        .map_err(|error| Error::Write(error.to_string()))
}

fn signed_data(key: &SigningKey, digest: &[u8], range: Option<SdkRange>, attributes: &[u8]) -> Vec<u8> {
    let digests = prefixed(&[&key.algorithm_id().to_le_bytes(), prefixed(digest).as_slice()].concat());
    let certificates = prefixed(key.certificate_der());
    let parts = [
        prefixed(&digests),
        prefixed(&certificates),
        levels(range),
        prefixed(attributes),
    ];
    parts.concat()
}

/// One signer, with its length.
fn signer(key: &SigningKey, signed_data: &[u8], range: Option<SdkRange>) -> Result<Vec<u8>, Error> {
    let signature = [
        &key.algorithm_id().to_le_bytes(),
        prefixed(&key.sign(signed_data)?).as_slice(),
    ]
    .concat();
    let parts = [
        prefixed(signed_data),
        levels(range),
        prefixed(&prefixed(&signature)),
        prefixed(&key.certificate().spki_der),
    ];
    Ok(prefixed(&parts.concat()))
}

fn levels(range: Option<SdkRange>) -> Vec<u8> {
    range.map_or(Vec::new(), |range| {
        [range.min.to_le_bytes(), range.max.to_le_bytes()].concat()
    })
}

/// Lengths, pairs, a pair that fills the block up to whole pages, the magic word.
pub(super) fn assemble(pairs: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut put = |id: u32, value: &[u8]| {
        body.extend_from_slice(&(value.len() as u64 + 4).to_le_bytes());
        body.extend_from_slice(&id.to_le_bytes());
        body.extend_from_slice(value);
    };
    pairs.iter().for_each(|(id, value)| put(*id, value));
    let taken = 8 + pairs.iter().map(|(_, value)| 12 + value.len()).sum::<usize>() + 12 + 24;
    put(PADDING, &vec![0; taken.next_multiple_of(PAGE_BYTES) - taken]);
    let size = (body.len() as u64 + 24).to_le_bytes();
    [&size[..], &body, &size, b"APK Sig Block 42"].concat()
}

/// `bytes` with their length in front.
pub(super) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), bytes].concat()
}
