//! The APK signing block: the room between the entries and the central directory where the signature
//! schemes v2 and newer live.
//!
//! It is a list of (id, value) pairs between two copies of its length and a magic word. Android takes a
//! block whose lengths do not add up for no block at all and falls back to v1, where a stripping mark then
//! catches the attack; so does this reader, and it remembers why. Values are read one at a time.
//!
//! Source: source.android.com, "APK Signature Scheme v2", section "APK Signing Block".

mod algorithm;
mod contents;
mod lineage;
mod record;
mod signer;
mod v3;

use std::ops::Range;

pub(crate) use contents::{ContentDigest, Contents};
pub use lineage::Capabilities;
pub(crate) use lineage::Link;
pub(crate) use record::{SignedData, place, signers};
#[cfg(feature = "build")]
pub(crate) use signer::STRIPPING_PROTECTION;
pub(crate) use signer::{VerifiedSigner, verify};
#[cfg(feature = "build")]
pub(crate) use v3::PROOF_OF_ROTATION;
pub(crate) use v3::{ROTATION_MIN_SDK, TARGETS_DEV_RELEASE, V3Block};

use crate::bytes::u32_at;
use crate::source::read_vec;
use crate::zip::Archive;
use crate::{Error, Rule, Source};

/// Ids of the pairs that matter here.
pub(crate) const V2: u32 = 0x7109_871a;
pub(crate) const V3: u32 = 0xf053_68c0;
pub(crate) const V31: u32 = 0x1b93_ad61;
pub(crate) const V32: u32 = 0x70e1_c89f;

const MAGIC: [u8; 16] = *b"APK Sig Block 42";
/// The second length and the magic word.
const FOOTER_BYTES: u64 = 24;
const LENGTH_BYTES: u64 = 8;
/// A pair's length and id.
const PAIR_BYTES: usize = 12;
/// More pairs than this are refused; known files have fewer than ten.
const MAX_PAIRS: usize = 128;
/// The largest value of a signature scheme that is read, in bytes.
const MAX_VALUE_BYTES: u64 = 4 << 20;

const PLACE: &str = "APK signing block";

/// The signing block of an archive: where it is and what it holds.
pub(crate) struct SigningBlock<'a> {
    source: &'a dyn Source,
    /// Where the block starts: the end of what the content digests call the first section.
    pub(crate) offset: u64,
    pairs: Vec<Pair>,
    /// Why the list of pairs ends before the block does.
    pub(crate) fault: Option<String>,
}

struct Pair {
    id: u32,
    value: Range<u64>,
}

impl<'a> SigningBlock<'a> {
    /// Finds the block; the inner error says why there is none that a device would see.
    ///
    /// # Errors
    /// [`Rule::BlockTooLarge`] for more pairs than the bound, [`Rule::EntryInSigningBlock`], or [`Error::Read`].
    pub(crate) fn find(archive: &Archive<'a>) -> Result<Result<Self, String>, Error> {
        let source = archive.source();
        let directory = archive.directory();
        if directory.end != archive.end_offset() {
            return Ok(Err(
                "bytes lie between the central directory and its end record".to_owned()
            ));
        }
        let Some(footer_at) = directory.start.checked_sub(FOOTER_BYTES) else {
            return Ok(Err("no room for a signing block".to_owned()));
        };
        let footer = read_vec(source, footer_at, 24)?;
        if footer[8..] != MAGIC {
            return Ok(Err("no signing block before the central directory".to_owned()));
        }
        let size = u64_at(&footer, 0);
        let start = footer_at
            .checked_add(FOOTER_BYTES - LENGTH_BYTES)
            .and_then(|end| end.checked_sub(size));
        let Some(start) = start.filter(|_| size >= FOOTER_BYTES) else {
            return Ok(Err(format!(
                "a signing block of {size} bytes does not fit before the directory"
            )));
        };
        let head = read_vec(source, start, 8)?;
        if u64_at(&head, 0) != size {
            return Ok(Err("the signing block's two lengths differ".to_owned()));
        }
        let mut block = Self {
            source,
            offset: start,
            pairs: Vec::new(),
            fault: None,
        };
        block.read_pairs(start + LENGTH_BYTES..footer_at)?;
        block.check_apart(archive)?;
        Ok(Ok(block))
    }

    /// Entries end where the block starts. Content digests leave the block out, so an entry in it could be
    /// changed after signing.
    fn check_apart(&self, archive: &Archive<'_>) -> Result<(), Error> {
        let inside = archive
            .entries()
            .iter()
            .find(|entry| entry.data_end() > self.offset);
        inside.map_or(Ok(()), |entry| {
            let detail = "lies inside the signing block, where no signature covers it";
            Err(Error::archive(
                Rule::EntryInSigningBlock,
                entry.name.clone(),
                detail,
            ))
        })
    }

    fn read_pairs(&mut self, area: Range<u64>) -> Result<(), Error> {
        let mut at = area.start;
        while at < area.end {
            if self.pairs.len() == MAX_PAIRS {
                let detail = format!("more than {MAX_PAIRS} pairs");
                return Err(Error::signature(Rule::BlockTooLarge, PLACE, detail));
            }
            let number = self.pairs.len() + 1;
            if area.end - at < PAIR_BYTES as u64 {
                self.fault = Some(format!("pair {number} is cut off"));
                return Ok(());
            }
            let head = read_vec(self.source, at, PAIR_BYTES)?;
            let len = u64_at(&head, 0);
            if len < 4 || len > area.end - at - LENGTH_BYTES {
                self.fault = Some(format!("pair {number} claims {len} bytes"));
                return Ok(());
            }
            let end = at + LENGTH_BYTES + len;
            self.pairs.push(Pair {
                id: u32_at(&head, 8),
                value: at + PAIR_BYTES as u64..end,
            });
            at = end;
        }
        Ok(())
    }

    /// Whether there is a pair of this id.
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.pairs.iter().any(|pair| pair.id == id)
    }

    /// The value of the pair of this id.
    ///
    /// # Errors
    /// [`Rule::MalformedBlock`] when there are two (a device takes the first, another reader may not) or
    /// when the pairs after it cannot be read,
    /// [`Rule::BlockTooLarge`] above the bound, or [`Error::Read`].
    pub(crate) fn value(&self, id: u32) -> Result<Option<Vec<u8>>, Error> {
        let mut found = self.pairs.iter().filter(|pair| pair.id == id);
        let Some(pair) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            let detail = format!("two values for {}", name(id));
            return Err(Error::signature(Rule::MalformedBlock, PLACE, detail));
        }
        if let Some(fault) = &self.fault {
            // A device would not look further than the pair it wants; another reader might.
            let detail = format!("{} is there, but the block is malformed: {fault}", name(id));
            return Err(Error::signature(Rule::MalformedBlock, PLACE, detail));
        }
        let len = pair.value.end - pair.value.start;
        if len > MAX_VALUE_BYTES {
            let detail = format!("{len} bytes for {}, more than {MAX_VALUE_BYTES}", name(id));
            return Err(Error::signature(Rule::BlockTooLarge, PLACE, detail));
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(Some(read_vec(self.source, pair.value.start, len)?))
    }
}

/// A pair's name for people.
fn name(id: u32) -> String {
    match id {
        V2 => "scheme v2".to_owned(),
        V3 => "scheme v3".to_owned(),
        V31 => "scheme v3.1".to_owned(),
        V32 => "scheme v3.2".to_owned(),
        _ => format!("{id:#010x}"),
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
