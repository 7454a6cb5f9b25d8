//! The deflated entries of a zip archive. Anything odd is left out, and compared as it is.

use std::ops::Range;

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// The end record and the longest comment.
const END_REACH: usize = 22 + 65_535;
const DEFLATE: u16 = 8;

/// A deflated entry: its name as the directory has it, and where its compressed bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Range<usize>,
    pub(super) data: Range<usize>,
    /// As the directory says; nobody trusts it.
    pub(super) plain: u32,
}

/// In the file's order, none overlapping another.
pub(super) fn entries(file: &[u8]) -> Vec<Entry> {
    let mut found = directory(file).unwrap_or_default();
    found.sort_by_key(|entry| (entry.data.start, entry.data.end));
    let mut end = 0;
    found.retain(|entry| {
        let apart = entry.data.start >= end;
        if apart {
            end = entry.data.end;
        }
        apart
    });
    found
}

fn directory(file: &[u8]) -> Option<Vec<Entry>> {
    let from = file.len().saturating_sub(END_REACH);
    let end = from + file[from..].windows(4).rposition(|bytes| bytes == END)?;
    let count = short(file, end + 10)?;
    let mut at = usize::try_from(long(file, end + 16)?).ok()?;
    let mut found = Vec::new();
    for _ in 0..count {
        if file.get(at..at + 4)? != CENTRAL {
            break;
        }
        let lengths = [
            short(file, at + 28)?,
            short(file, at + 30)?,
            short(file, at + 32)?,
        ];
        let [name, extra, comment] = lengths.map(usize::from);
        if let Some(entry) = entry(file, at, name) {
            found.push(entry);
        }
        at += 46 + name + extra + comment;
    }
    Some(found)
}

/// The entry whose directory record is at `at`, if it is deflated and where it should be.
fn entry(file: &[u8], at: usize, name: usize) -> Option<Entry> {
    let local = usize::try_from(long(file, at + 42)?).ok()?;
    if short(file, at + 10)? != DEFLATE || file.get(local..local.checked_add(4)?)? != LOCAL {
        return None;
    }
    let before = usize::from(short(file, local + 26)?) + usize::from(short(file, local + 28)?);
    let start = local + 30 + before;
    let end = start.checked_add(usize::try_from(long(file, at + 20)?).ok()?)?;
    if end == start || end > file.len() {
        return None;
    }
    Some(Entry {
        name: at + 46..at + 46 + name,
        data: start..end,
        plain: long(file, at + 24)?,
    })
    .filter(|entry| entry.name.end <= file.len())
}

fn short(file: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?))
}

fn long(file: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?))
}
