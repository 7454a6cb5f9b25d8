//! Verifies the schemes of the signing block, newest first.

use super::{from_level, needs_v2};
use crate::block::{self, ContentDigest, Contents, Link, SigningBlock, V2, V3, V3Block, V31, VerifiedSigner};
use crate::scheme::{FIRST_V2, FIRST_V3, FIRST_V31, to_hex};
use crate::source::read_vec;
use crate::zip::Archive;
use crate::{Error, Rule, Schemes, SdkRange};

/// Verity digests hash pages, so the signing block must start and end at one.
const PAGE_BYTES: u64 = 4096;

/// The schemes of a signing block that verified.
#[derive(Debug, Default)]
pub(super) struct BlockVerdict {
    pub(super) v31: Option<V3Block>,
    pub(super) v3: Option<V3Block>,
    pub(super) v2: Option<Vec<VerifiedSigner>>,
}

impl BlockVerdict {
    /// The numbers of the verified schemes, as other schemes refer to them.
    pub(super) fn found(&self) -> Vec<u32> {
        let all = [
            (self.v31.is_some(), 31),
            (self.v3.is_some(), 3),
            (self.v2.is_some(), 2),
        ];
        all.into_iter()
            .filter(|(found, _)| *found)
            .map(|(_, number)| number)
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found().is_empty()
    }

    pub(super) fn schemes(&self) -> Schemes {
        Schemes {
            v2: self.v2.is_some(),
            v3: self.v3.is_some(),
            v31: self.v31.is_some(),
            ..Schemes::default()
        }
    }

    /// The lineage of the newest scheme that has one.
    pub(super) fn lineage(&self) -> &[Link] {
        let lineages = [&self.v31, &self.v3]
            .into_iter()
            .flatten()
            .map(|block| block.lineage.as_slice());
        lineages
            .into_iter()
            .find(|lineage| !lineage.is_empty())
            .unwrap_or_default()
    }

    /// All signers with the id of their scheme.
    pub(super) fn all_signers(&self) -> impl Iterator<Item = (u32, &VerifiedSigner)> {
        let v3 = [(V31, &self.v31), (V3, &self.v3)].into_iter();
        let v3 = v3.flat_map(|(id, block)| {
            block
                .iter()
                .flat_map(move |one| one.signers.iter().map(move |s| (id, &s.signer)))
        });
        v3.chain(self.v2.iter().flatten().map(|signer| (V2, signer)))
    }
}

/// Verifies all schemes that devices of `range` would read.
pub(super) fn verify_block(
    archive: &Archive<'_>,
    block: &SigningBlock<'_>,
    range: SdkRange,
) -> Result<BlockVerdict, Error> {
    let mut verdict = BlockVerdict::default();
    let mut integrity = Integrity::new(archive, block)?;
    if range.max >= FIRST_V31
        && let Some(signers) = signers(block, V31, range, &mut integrity)?
    {
        verdict.v31 = Some(V3Block::check(V31, signers, from_level(range, FIRST_V31), None)?);
    }
    if range.max >= FIRST_V3 {
        let rotation = verdict.v31.as_ref().and_then(V3Block::first_level);
        match signers(block, V3, range, &mut integrity)? {
            Some(signers) => {
                verdict.v3 = Some(V3Block::check(
                    V3,
                    signers,
                    from_level(range, FIRST_V3),
                    rotation,
                )?);
            }
            None if verdict.v31.is_some() => {
                let detail = "a v3.1 signature without the v3 signature it builds on: stripped?";
                return Err(Error::signature(Rule::RotationTarget, "v3", detail));
            }
            None => {}
        }
    }
    if range.max >= FIRST_V2
        && needs_v2(range, &verdict.found())
        && let Some(signers) = signers(block, V2, from_level(range, FIRST_V2), &mut integrity)?
    {
        check_announced(&signers, range, &verdict.found())?;
        verdict.v2 = Some(signers);
    }
    Ok(verdict)
}

/// The verified signers of one scheme, and the file's contents against their digests.
fn signers(
    block: &SigningBlock<'_>,
    id: u32,
    range: SdkRange,
    integrity: &mut Integrity<'_>,
) -> Result<Option<Vec<VerifiedSigner>>, Error> {
    let Some(value) = block.value(id)? else {
        return Ok(None);
    };
    let mut verified = Vec::new();
    for (index, record) in block::signers(id, &value)?.iter().enumerate() {
        verified.push(block::verify(id, index, record, range.min, range.max)?);
    }
    integrity.check(&verified)?;
    Ok(Some(verified))
}

/// A v2 signer that announces a newer scheme must be found beside it.
fn check_announced(signers: &[VerifiedSigner], range: SdkRange, found: &[u32]) -> Result<(), Error> {
    // Devices of these levels only know announcements of schemes that they know.
    let known: &[u32] = if range.max >= FIRST_V3 { &[3] } else { &[] };
    for signer in signers {
        for announced in signer.announced_schemes()? {
            if known.contains(&announced) && !found.contains(&announced) {
                let detail =
                    format!("announces a signature of scheme v{announced}, and there is none: stripped?");
                return Err(Error::signature(Rule::Stripped, signer.place.clone(), detail));
            }
        }
    }
    Ok(())
}

/// The file's contents, digested once for each algorithm.
struct Integrity<'a> {
    contents: Contents<'a>,
    pages: bool,
    computed: Vec<(ContentDigest, Vec<u8>)>,
}

impl<'a> Integrity<'a> {
    fn new(archive: &Archive<'a>, block: &SigningBlock<'a>) -> Result<Self, Error> {
        let (source, directory, end) = (archive.source(), archive.directory(), archive.end_offset());
        let len = usize::try_from(source.len() - end).unwrap_or(usize::MAX);
        let record = read_vec(source, end, len)?;
        let pages = block.offset.is_multiple_of(PAGE_BYTES)
            && (directory.start - block.offset).is_multiple_of(PAGE_BYTES);
        Ok(Self {
            contents: Contents::new(source, block.offset, directory, record),
            pages,
            computed: Vec::new(),
        })
    }

    /// Compares every digest that some verified signature vouches for.
    fn check(&mut self, signers: &[VerifiedSigner]) -> Result<(), Error> {
        let vouched: Vec<ContentDigest> = signers
            .iter()
            .flat_map(|signer| signer.vouched.iter().copied())
            .collect();
        for signer in signers {
            for (algorithm, expected) in &signer.digests {
                if !vouched.contains(algorithm) {
                    continue;
                }
                let actual = self.digest(*algorithm, &signer.place)?;
                if actual != *expected {
                    let detail = format!(
                        "the file was changed after signing: {} is {}, but {} was signed",
                        algorithm.name(),
                        to_hex(&actual),
                        to_hex(expected)
                    );
                    return Err(Error::signature(
                        Rule::ContentDigest,
                        signer.place.clone(),
                        detail,
                    ));
                }
            }
        }
        Ok(())
    }

    fn digest(&mut self, algorithm: ContentDigest, place: &str) -> Result<Vec<u8>, Error> {
        if let Some((_, digest)) = self.computed.iter().find(|(known, _)| *known == algorithm) {
            return Ok(digest.clone());
        }
        if algorithm == ContentDigest::VeritySha256 && !self.pages {
            let detail =
                "a verity digest needs a signing block that starts and ends at a page of 4,096 bytes";
            return Err(Error::signature(Rule::ContentDigest, place, detail));
        }
        let digest = self.contents.digest(algorithm)?;
        self.computed.push((algorithm, digest.clone()));
        Ok(digest)
    }
}
