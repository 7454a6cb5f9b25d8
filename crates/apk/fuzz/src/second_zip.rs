//! A second reader of archives, written after `libziparchive` and after nothing else here. What the first one
//! accepts, this one has to read as well, and in the same way.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

const END: &[u8] = b"PK\x05\x06";
const RECORD: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// Where an entry's bytes are, and how they are packed.
pub struct Found {
    start: usize,
    packed: usize,
    unpacked: usize,
    method: u16,
}

/// The entries by the bytes of their names, or `None` where `libziparchive` gives up.
pub fn entries(file: &[u8]) -> Option<BTreeMap<Vec<u8>, Found>> {
    let end = (0..=file.len().checked_sub(22)?).rev().find(|at| file[*at..].starts_with(END))?;
    let comment = half(file, end + 20)?;
    if end + 22 + usize::from(comment) != file.len() || comment == u16::MAX {
        return None;
    }
    let count = half(file, end + 10)?;
    let (size, directory) = (word(file, end + 12)?, word(file, end + 16)?);
    if count == u16::MAX || directory.checked_add(size)? > end {
        return None;
    }
    let (mut at, mut found) = (directory, BTreeMap::new());
    for _ in 0..count {
        let record = file.get(at..directory + size)?;
        if !record.starts_with(RECORD) {
            return None;
        }
        let lengths = [half(record, 28)?, half(record, 30)?, half(record, 32)?].map(usize::from);
        let name = record.get(46..46 + lengths[0])?;
        let entry = local(file, record, name, directory)?;
        if found.insert(name.to_vec(), entry).is_some() {
            return None;
        }
        at += 46 + lengths.iter().sum::<usize>();
    }
    // An archive without entries is refused there; here it is refused for want of a manifest.
    (count == 0 || file.starts_with(LOCAL)).then_some(found)
}

fn local(file: &[u8], record: &[u8], name: &[u8], directory: usize) -> Option<Found> {
    let at = word(record, 42)?;
    let header = file.get(at..directory).filter(|header| header.starts_with(LOCAL))?;
    let (name_len, extra) = (usize::from(half(header, 26)?), usize::from(half(header, 28)?));
    if header.get(30..30 + name_len)? != name {
        return None;
    }
    if half(header, 6)? & 8 == 0 && header.get(14..26)? != record.get(16..28)? {
        return None;
    }
    let found = Found {
        start: at + 30 + name_len + extra,
        packed: word(record, 20)?,
        unpacked: word(record, 24)?,
        method: half(record, 10)?,
    };
    (found.start.checked_add(found.packed)? <= directory).then_some(found)
}

impl Found {
    /// The unpacked bytes, `None` where they can't be unpacked to the size that is declared.
    pub fn bytes(&self, file: &[u8]) -> Option<Vec<u8>> {
        let packed = file.get(self.start..self.start + self.packed)?;
        if self.method == 0 {
            return file.get(self.start..self.start + self.unpacked).map(<[u8]>::to_vec);
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(self.unpacked).ok()? + 1;
        DeflateDecoder::new(packed).take(limit).read_to_end(&mut bytes).ok()?;
        (bytes.len() == self.unpacked).then_some(bytes)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}
