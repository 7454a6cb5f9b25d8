//! Writes the APK signing block.

use super::Error;
use super::archive::Halves;
use super::key::SigningKey;
use super::signing::Signing;
use crate::block::{
    ContentDigest, Contents, PROOF_OF_ROTATION, ROTATION_MIN_SDK, STRIPPING_PROTECTION, V2, V3, V31,
};
use crate::scheme::FIRST_V3;
use crate::{Scheme, SdkRange};

/// The id of the pair that fills the block up.
const PADDING: u32 = 0x4272_6577;
/// Block and entries end at multiples of this, so that a device may map them.
const PAGE_BYTES: usize = 4096;

/// A signing block as planned; empty when no scheme of it is planned.
pub(super) fn sign(halves: &Halves, plan: &Signing<'_>) -> Result<Vec<u8>, Error> {
    let writer = Writer {
        plan,
        digest: content_digest(halves)?,
    };
    let mut pairs = Vec::new();
    if plan.uses(Scheme::V2) {
        pairs.push((V2, writer.v2()?));
    }
    if plan.uses(Scheme::V3) {
        pairs.push((V3, writer.v3()?));
    }
    if let Some(v31) = writer.v31()? {
        pairs.push((V31, v31));
    }
    Ok(if pairs.is_empty() {
        Vec::new()
    } else {
        assemble(&pairs)
    })
}

struct Writer<'a> {
    plan: &'a Signing<'a>,
    digest: Vec<u8>,
}

impl Writer<'_> {
    fn v2(&self) -> Result<Vec<u8>, Error> {
        let attributes = if self.plan.uses(Scheme::V3) {
            number(STRIPPING_PROTECTION, 3)
        } else {
            Vec::new()
        };
        let signers: Result<Vec<_>, _> = self
            .plan
            .signers
            .iter()
            .map(|key| self.signer(key, None, &attributes))
            .collect();
        Ok(prefixed(&signers?.concat()))
    }

    fn v3(&self) -> Result<Vec<u8>, Error> {
        let original = self.plan.original()?;
        let (key, max, attributes) = match self.plan.rotation {
            None => (original, SdkRange::OPEN, Vec::new()),
            Some(rotation) => match rotation.from {
                None => (
                    rotation.key,
                    SdkRange::OPEN,
                    attribute(PROOF_OF_ROTATION, &rotation.lineage.encode()),
                ),
                Some(from) => (original, from - 1, number(ROTATION_MIN_SDK, from)),
            },
        };
        let signer = self.signer(key, Some(SdkRange { min: FIRST_V3, max }), &attributes)?;
        Ok(prefixed(&signer))
    }

    fn v31(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(rotation) = self.plan.rotation else {
            return Ok(None);
        };
        let Some(from) = rotation.from else {
            return Ok(None);
        };
        let attributes = attribute(PROOF_OF_ROTATION, &rotation.lineage.encode());
        let signer = self.signer(rotation.key, Some(SdkRange::from(from)), &attributes)?;
        Ok(Some(prefixed(&signer)))
    }

    /// One signer, with its length.
    fn signer(&self, key: &SigningKey, range: Option<SdkRange>, attributes: &[u8]) -> Result<Vec<u8>, Error> {
        let id = key.algorithm_id().to_le_bytes();
        let certificate = self.plan.certificate.as_deref().unwrap_or(key.certificate_der());
        let public_key = self
            .plan
            .public_key
            .as_deref()
            .unwrap_or(&key.certificate().spki_der);
        let digest = prefixed(&[&id[..], &prefixed(&self.digest)].concat());
        let signed = [
            prefixed(&digest),
            prefixed(&prefixed(certificate)),
            levels(range),
            prefixed(attributes),
        ]
        .concat();
        let signature = prefixed(&[&id[..], &prefixed(&key.sign(&signed)?)].concat());
        let parts = [
            prefixed(&signed),
            levels(range),
            prefixed(&signature),
            prefixed(public_key),
        ];
        Ok(prefixed(&parts.concat()))
    }
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

fn levels(range: Option<SdkRange>) -> Vec<u8> {
    range.map_or(Vec::new(), |range| {
        [range.min.to_le_bytes(), range.max.to_le_bytes()].concat()
    })
}

/// An attribute, with its length.
fn attribute(id: u32, value: &[u8]) -> Vec<u8> {
    prefixed(&[&id.to_le_bytes(), value].concat())
}

fn number(id: u32, value: u32) -> Vec<u8> {
    attribute(id, &value.to_le_bytes())
}

/// Lengths, pairs, a pair that fills the block up to whole pages, the magic word.
fn assemble(pairs: &[(u32, Vec<u8>)]) -> Vec<u8> {
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
