//! Local headers: each must say what the directory says, and no two entries may share bytes.

use super::entry::{Entry, FLAG_DATA_DESCRIPTOR};
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule, Source};

const SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const HEADER_BYTES: usize = 30;

/// Checks every local header against its entry, fills in where the data starts, and refuses overlaps.
pub(crate) fn check_all(source: &dyn Source, entries: &mut [Entry], directory: u64) -> Result<(), Error> {
    let mut buffer = Vec::new();
    for entry in entries.iter_mut() {
        entry.data = check(source, entry, directory, &mut buffer)?;
        if entry.data_end() > directory {
            let detail = format!(
                "its data ends at {}, inside the central directory",
                entry.data_end()
            );
            return Err(Error::archive(
                Rule::OverlappingEntries,
                entry.name.clone(),
                detail,
            ));
        }
    }
    let mut by_offset: Vec<&Entry> = entries.iter().collect();
    by_offset.sort_unstable_by_key(|entry| entry.header);
    match by_offset
        .windows(2)
        .find(|pair| pair[0].data_end() > pair[1].header)
    {
        Some(pair) => {
            let detail = format!("shares bytes with {}", pair[1].name);
            Err(Error::archive(
                Rule::OverlappingEntries,
                pair[0].name.clone(),
                detail,
            ))
        }
        None => Ok(()),
    }
}

/// What lies before the first entry could be a program of its own: a file that is an APK to one reader and
/// code to another. Android refuses it.
pub(crate) fn check_start(source: &dyn Source) -> Result<(), Error> {
    let mut start = [0; 4];
    source.read_exact_at(&mut start, 0)?;
    if start == SIGNATURE {
        return Ok(());
    }
    let detail = "the file does not begin with an entry: something was put before the archive";
    Err(Error::archive(Rule::Prefix, "offset 0", detail))
}

/// The data's offset.
fn check(source: &dyn Source, entry: &Entry, directory: u64, buffer: &mut Vec<u8>) -> Result<u64, Error> {
    let differs = |what: &str| {
        let detail = format!("local header and central directory disagree on the {what}");
        Error::archive(Rule::HeaderMismatch, entry.name.clone(), detail)
    };
    let expected = entry.written_name();
    let len = HEADER_BYTES + expected.len();
    if entry.header + len as u64 > directory {
        let detail = format!(
            "its local header at {} reaches into the central directory",
            entry.header
        );
        return Err(Error::archive(
            Rule::OverlappingEntries,
            entry.name.clone(),
            detail,
        ));
    }
    buffer.resize(len, 0);
    source.read_exact_at(buffer, entry.header)?;
    let (header, name) = buffer.split_at(HEADER_BYTES);
    if !header.starts_with(&SIGNATURE) {
        let detail = format!("no local header at {}", entry.header);
        return Err(Error::archive(Rule::MalformedRecord, entry.name.clone(), detail));
    }
    let name_len = u16_at(header, 26);
    if usize::from(name_len) != expected.len() || name != expected {
        return Err(differs("name"));
    }
    // Whether sizes follow the data is this header's word alone. Neither the directory's word on that nor this
    // header's method is compared: Android ignores both.
    if u16_at(header, 6) & FLAG_DATA_DESCRIPTOR == 0 {
        if u32_at(header, 14) != entry.crc32 {
            return Err(differs("CRC-32"));
        }
        if u64::from(u32_at(header, 18)) != entry.packed || u64::from(u32_at(header, 22)) != entry.unpacked {
            return Err(differs("sizes"));
        }
    }
    Ok(entry.header + len as u64 + u64::from(u16_at(header, 28)))
}
