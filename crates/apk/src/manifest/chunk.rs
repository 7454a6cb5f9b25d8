//! Resource chunks: the boxes that binary XML and the resource table are made of.
//!
//! Each starts with a type, the size of its header and its size. Source: `ResourceTypes.h` of AOSP.

use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule};

pub(crate) const STRING_POOL: u16 = 0x0001;
pub(crate) const TABLE: u16 = 0x0002;
pub(crate) const XML: u16 = 0x0003;
pub(crate) const START_NAMESPACE: u16 = 0x0100;
pub(crate) const END_NAMESPACE: u16 = 0x0101;
pub(crate) const START_ELEMENT: u16 = 0x0102;
pub(crate) const END_ELEMENT: u16 = 0x0103;
pub(crate) const TEXT: u16 = 0x0104;
/// The kinds of nodes of a document, known and unknown.
pub(crate) const NODES: std::ops::RangeInclusive<u16> = 0x0100..=0x017f;
pub(crate) const RESOURCE_MAP: u16 = 0x0180;
pub(crate) const PACKAGE: u16 = 0x0200;
pub(crate) const TYPE: u16 = 0x0201;

const HEADER_BYTES: usize = 8;

/// One chunk, with its lengths checked against what contains it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: u16,
    /// The chunk's header, including its first eight bytes.
    pub(crate) header: &'a [u8],
    /// What follows the header.
    pub(crate) body: &'a [u8],
    /// Header and body.
    pub(crate) whole: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The chunk at the start of `bytes`, in the part of the file named `place`.
    pub(crate) fn first(bytes: &'a [u8], place: &str) -> Result<Self, Error> {
        let bad = |detail: String| Error::manifest(Rule::MalformedXml, place, detail);
        if bytes.len() < HEADER_BYTES {
            return Err(bad(format!("{} bytes are too few for a chunk", bytes.len())));
        }
        let (kind, header, size) = (u16_at(bytes, 0), usize::from(u16_at(bytes, 2)), u32_at(bytes, 4));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if header < HEADER_BYTES || size < header || size > bytes.len() {
            let left = bytes.len();
            return Err(bad(format!(
                "chunk {kind:#06x} of {size} bytes, header {header}, where {left} are left"
            )));
        }
        let whole = &bytes[..size];
        let (header, body) = whole.split_at(header);
        Ok(Self {
            kind,
            header,
            body,
            whole,
        })
    }

    /// The chunk's header, at least `len` bytes of it.
    pub(crate) fn header_of(&self, len: usize, place: &str) -> Result<&'a [u8], Error> {
        if self.header.len() < len {
            let detail = format!("header of {} bytes, {len} expected", self.header.len());
            return Err(Error::manifest(Rule::MalformedXml, place, detail));
        }
        Ok(self.header)
    }
}

/// The chunks that `bytes` consists of. Ends after the first one that is malformed.
pub(crate) fn all<'a>(bytes: &'a [u8], place: &'a str) -> impl Iterator<Item = Result<Chunk<'a>, Error>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let chunk = Chunk::first(rest, place);
        rest = chunk.as_ref().map_or(&[], |chunk| &rest[chunk.whole.len()..]);
        Some(chunk)
    })
}
