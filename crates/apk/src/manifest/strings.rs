//! String pools, in UTF-8 and UTF-16.
//!
//! A pool that Android would not take, and a string that it would not read, are errors. Source:
//! `ResStringPool::setTo`, `stringAt` and `string8At` of AOSP's `ResourceTypes.cpp`.

use std::ops::Range;

use super::chunk::Chunk;
use crate::bytes::{Cursor, u16_at, u32_at};
use crate::{Error, Rule};

const HEADER_BYTES: usize = 28;
const FLAG_UTF8: u32 = 1 << 8;
/// No string: the index that stands for "absent".
pub(crate) const NONE: u32 = u32::MAX;
/// The longest string that is decoded, in bytes as stored: no attribute that matters is longer.
const MAX_STRING_BYTES: usize = 8 << 10;
/// The longest string that is compared with a name.
const MAX_NAME_BYTES: usize = 256;
/// What ends the styles: three words of ones.
const END_OF_STYLES: [u8; 12] = [0xff; 12];

/// A pool whose strings are decoded when they are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Strings<'a> {
    offsets: &'a [u8],
    data: &'a [u8],
    utf8: bool,
}

/// The numbers of a pool's header.
struct Header {
    strings: usize,
    styles: usize,
    utf8: bool,
    strings_start: usize,
    styles_start: usize,
}

impl Header {
    fn parse(header: &[u8]) -> Self {
        let number = |at: usize| usize::try_from(u32_at(header, at)).unwrap_or(usize::MAX);
        Self {
            strings: number(8),
            styles: number(12),
            utf8: u32_at(header, 16) & FLAG_UTF8 != 0,
            strings_start: number(20),
            styles_start: number(24),
        }
    }

    /// Where the strings lie in a pool of `size` bytes, `None` if they can't.
    fn strings(&self, size: usize) -> Option<Range<usize>> {
        let end = if self.styles == 0 { size } else { self.styles_start };
        let sound = self.strings_start < size.checked_sub(2)? && self.strings_start < end && end <= size;
        sound.then_some(self.strings_start..end)
    }
}

impl<'a> Strings<'a> {
    pub(crate) fn parse(chunk: &Chunk<'a>, place: &str) -> Result<Self, Error> {
        let header = Header::parse(chunk.header_of(HEADER_BYTES, place)?);
        let bad = |detail: &str| Error::manifest(Rule::MalformedXml, format!("{place}, string pool"), detail);
        let words = |count: usize| count.checked_mul(4);
        let offsets = words(header.strings).and_then(|len| chunk.body.get(..len));
        let offsets = offsets.ok_or_else(|| bad(&format!("{} strings do not fit in it", header.strings)))?;
        let both = words(header.styles).and_then(|len| len.checked_add(offsets.len()));
        if both.is_none_or(|len| len > chunk.body.len()) {
            return Err(bad(&format!("{} styles do not fit in it", header.styles)));
        }
        if header.styles > 0 {
            check_styles(&header, chunk.whole)
                .ok_or_else(|| bad("its styles lie outside of it, or never end"))?;
        }
        if header.strings == 0 {
            return Ok(Self::default());
        }
        let data = header.strings(chunk.whole.len()).map(|range| &chunk.whole[range]);
        let data = data.ok_or_else(|| bad("its strings lie outside of it"))?;
        let strings = Self {
            offsets,
            data,
            utf8: header.utf8,
        };
        if !strings.is_terminated() {
            return Err(bad("its last string does not end with a zero"));
        }
        Ok(strings)
    }

    /// Whether the last unit is zero.
    fn is_terminated(&self) -> bool {
        if self.utf8 {
            return self.data.ends_with(&[0]);
        }
        self.data.chunks_exact(2).next_back() == Some(&[0, 0])
    }

    /// The string at `index`, `None` for the index that means "no string".
    pub(crate) fn get(&self, index: u32, place: &str) -> Result<Option<String>, Error> {
        let Some(bytes) = self.bytes(index, place)? else {
            return Ok(None);
        };
        if bytes.len() > MAX_STRING_BYTES {
            let detail = format!("a text of {} bytes, more than {MAX_STRING_BYTES}", bytes.len());
            return Err(Error::manifest(Rule::MalformedXml, place, detail));
        }
        self.decode(bytes, index, place).map(Some)
    }

    /// The string at `index` as the name of something: empty when there is none, when it is longer than any
    /// name that is looked for, and when it is no text.
    pub(crate) fn name(&self, index: u32, place: &str) -> Result<String, Error> {
        let bytes = self
            .bytes(index, place)?
            .filter(|bytes| bytes.len() <= MAX_NAME_BYTES);
        let name = bytes.and_then(|bytes| self.decode(bytes, index, place).ok());
        Ok(name.unwrap_or_default())
    }

    /// Whether the string at `index` is `text`. No string, or one that cannot be read, is not.
    pub(crate) fn is(&self, index: u32, text: &str) -> bool {
        match self.bytes(index, "") {
            Ok(Some(bytes)) if self.utf8 => bytes == text.as_bytes(),
            Ok(Some(bytes)) => bytes
                .chunks_exact(2)
                .map(|unit| u16_at(unit, 0))
                .eq(text.encode_utf16()),
            _ => false,
        }
    }

    /// The encoded string, without its lengths.
    fn bytes(&self, index: u32, place: &str) -> Result<Option<&'a [u8]>, Error> {
        if index == NONE {
            return Ok(None);
        }
        let at = usize::try_from(index).ok().and_then(|index| index.checked_mul(4));
        let offset = at
            .and_then(|at| self.offsets.get(at..))
            .filter(|rest| rest.len() >= 4);
        let start = offset.and_then(|offset| usize::try_from(u32_at(offset, 0)).ok());
        // Units of two bytes start at even places; Android rounds, and others don't.
        let start = start.filter(|start| self.utf8 || start.is_multiple_of(2));
        let data = start.and_then(|start| self.data.get(start..));
        let bytes = data.and_then(if self.utf8 { utf8 } else { utf16 });
        bytes
            .map(Some)
            .ok_or_else(|| unreadable(index, place, "is not in the pool, or does not end"))
    }

    fn decode(&self, bytes: &[u8], index: u32, place: &str) -> Result<String, Error> {
        if self.utf8 {
            return String::from_utf8(bytes.to_vec()).map_err(|_| unreadable(index, place, "is not UTF-8"));
        }
        let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16_at(unit, 0)).collect();
        String::from_utf16(&units).map_err(|_| unreadable(index, place, "is not UTF-16"))
    }
}

/// Styles begin behind the strings and end with a mark.
fn check_styles(header: &Header, whole: &[u8]) -> Option<()> {
    let before_end = header.styles_start < whole.len().checked_sub(2)?;
    let styles = whole.get(header.styles_start..)?;
    let words = styles.get(..styles.len() / 4 * 4)?;
    let behind = header.strings == 0 || header.styles_start > header.strings_start;
    (before_end && behind && words.ends_with(&END_OF_STYLES)).then_some(())
}

fn unreadable(index: u32, place: &str, why: &str) -> Error {
    Error::manifest(Rule::MalformedXml, place, format!("string {index} {why}"))
}

/// Two lengths (in UTF-16 units, then in bytes), each one or two bytes, then the bytes and a zero.
fn utf8(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    let units = short_length(&mut cursor)?;
    let len = short_length(&mut cursor)?;
    let bytes = cursor.take(len)?;
    // A length that does not say how many units the bytes are is one that Android reads nothing by.
    let counted = std::str::from_utf8(bytes).map_or(units, |text| text.encode_utf16().count());
    (cursor.take(1)? == [0] && counted == units).then_some(bytes)
}

fn short_length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let first = usize::from(cursor.take(1)?[0]);
    if first & 0x80 == 0 {
        return Some(first);
    }
    Some((first & 0x7f) << 8 | usize::from(cursor.take(1)?[0]))
}

/// A length in units, one or two of them, then the units and a zero.
fn utf16(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    let first = usize::from(cursor.u16()?);
    let len = if first & 0x8000 == 0 {
        first
    } else {
        (first & 0x7fff) << 16 | usize::from(cursor.u16()?)
    };
    let units = cursor.take(len.checked_mul(2)?)?;
    (cursor.u16()? == 0).then_some(units)
}
