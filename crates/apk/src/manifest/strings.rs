//! String pools, in UTF-8 and UTF-16.

use super::chunk::Chunk;
use crate::bytes::{Cursor, u16_at, u32_at};
use crate::{Error, Rule};

const HEADER_BYTES: usize = 28;
const FLAG_UTF8: u32 = 1 << 8;
/// No string: the index that stands for "absent".
const NONE: u32 = u32::MAX;
/// The longest string that is decoded, in bytes as stored: no attribute that matters is longer.
const MAX_STRING_BYTES: usize = 8 << 10;
/// The longest string that is compared with a name.
const MAX_NAME_BYTES: usize = 256;

/// A pool whose strings are decoded when they are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Strings<'a> {
    offsets: &'a [u8],
    data: &'a [u8],
    utf8: bool,
}

impl<'a> Strings<'a> {
    pub(crate) fn parse(chunk: &Chunk<'a>, place: &str) -> Result<Self, Error> {
        let header = chunk.header_of(HEADER_BYTES, place)?;
        let bad =
            |detail: String| Error::manifest(Rule::MalformedXml, format!("{place}, string pool"), detail);
        let (count, flags, start) = (u32_at(header, 8), u32_at(header, 16), u32_at(header, 20));
        let offsets_len = usize::try_from(count).ok().and_then(|count| count.checked_mul(4));
        let offsets = offsets_len.and_then(|len| chunk.body.get(..len));
        let offsets = offsets.ok_or_else(|| bad(format!("{count} strings do not fit in it")))?;
        let data = usize::try_from(start)
            .ok()
            .and_then(|start| chunk.whole.get(start..));
        // An empty pool may leave the start of its strings at zero.
        let data = data.ok_or_else(|| bad(format!("its strings start at {start}, outside of it")))?;
        Ok(Self {
            offsets,
            data,
            utf8: flags & FLAG_UTF8 != 0,
        })
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
        Ok(Some(self.decode(bytes)))
    }

    /// The string at `index` unless it is longer than any name that is looked for.
    pub(crate) fn short(&self, index: u32, place: &str) -> Result<Option<String>, Error> {
        let bytes = self
            .bytes(index, place)?
            .filter(|bytes| bytes.len() <= MAX_NAME_BYTES);
        Ok(bytes.map(|bytes| self.decode(bytes)))
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
        let data = start.and_then(|start| self.data.get(start..));
        let bytes = data.and_then(if self.utf8 { utf8 } else { utf16 });
        bytes.map(Some).ok_or_else(|| {
            let detail = format!("string {index} is not in the pool, or is cut off");
            Error::manifest(Rule::MalformedXml, place, detail)
        })
    }

    fn decode(&self, bytes: &[u8]) -> String {
        if self.utf8 {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16_at(unit, 0)).collect();
        String::from_utf16_lossy(&units)
    }
}

/// Two lengths (in UTF-16 units, then in bytes), each one or two bytes, then the bytes.
fn utf8(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    short_length(&mut cursor)?;
    let len = short_length(&mut cursor)?;
    cursor.take(len)
}

fn short_length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let first = usize::from(cursor.take(1)?[0]);
    if first & 0x80 == 0 {
        return Some(first);
    }
    Some((first & 0x7f) << 8 | usize::from(cursor.take(1)?[0]))
}

/// A length in units, one or two of them, then the units.
fn utf16(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    let first = usize::from(cursor.u16()?);
    let len = if first & 0x8000 == 0 {
        first
    } else {
        (first & 0x7fff) << 16 | usize::from(cursor.u16()?)
    };
    cursor.take(len.checked_mul(2)?)
}
