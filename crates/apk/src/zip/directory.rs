//! The central directory: every entry, its name checked and unique.

use super::MAX_UNPACKED_BYTES;
use super::end::End;
use super::end::MAX_ENTRIES;
use super::entry::{DEFLATED, Entry, STORED};
use super::surrogates;
use crate::bytes::{Cursor, u16_at, u32_at};
use crate::source::read_vec;
use crate::{Error, Rule, Source};

const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const RECORD_BYTES: usize = 46;
const PLACE: &str = "central directory";

/// Reads all records; what is left over, or missing, is an error.
pub(crate) fn read(source: &dyn Source, end: &End) -> Result<Vec<Entry>, Error> {
    let len = usize::try_from(end.directory.end - end.directory.start).unwrap_or(usize::MAX);
    let bytes = read_vec(source, end.directory.start, len)?;
    let mut cursor = Cursor::new(&bytes);
    let mut entries = Vec::with_capacity(usize::from(end.entries).min(len / RECORD_BYTES));
    let mut unpacked = 0_u64;
    for number in 1..=end.entries {
        let entry = record(&mut cursor, number)?;
        unpacked += entry.unpacked;
        if unpacked > MAX_UNPACKED_BYTES {
            let detail = format!("the entries unpack to more than {MAX_UNPACKED_BYTES} bytes");
            return Err(Error::archive(Rule::TooLarge, entry.name, detail));
        }
        entries.push(entry);
    }
    if cursor.is_empty() {
        Ok(entries)
    } else {
        Err(left_over(end.entries, cursor))
    }
}

/// What to say of bytes behind the last entry that is counted. The count has 16 bits, and some tools let it
/// run over.
fn left_over(counted: u16, rest: Cursor<'_>) -> Error {
    let bytes = rest.rest().len();
    let (mut cursor, mut all) = (rest, u32::from(counted));
    while skip(&mut cursor).is_some() {
        all += 1;
    }
    if cursor.is_empty() && all > u32::from(MAX_ENTRIES) {
        let detail = format!("{all} entries: an APK has at most {MAX_ENTRIES}");
        return Error::archive(Rule::TooManyEntries, PLACE, detail);
    }
    let detail = format!("{bytes} bytes follow its {counted} entries: a second directory?");
    Error::archive(Rule::AmbiguousDirectory, PLACE, detail)
}

/// Goes past one record.
fn skip(cursor: &mut Cursor<'_>) -> Option<()> {
    let fixed = cursor
        .take(RECORD_BYTES)
        .filter(|fixed| fixed.starts_with(&SIGNATURE))?;
    for length in [28, 30, 32] {
        cursor.take(usize::from(u16_at(fixed, length)))?;
    }
    Some(())
}

fn record(cursor: &mut Cursor<'_>, number: u16) -> Result<Entry, Error> {
    let cut = || Error::archive(Rule::Truncated, PLACE, format!("record {number} is cut off"));
    let fixed = cursor.take(RECORD_BYTES).ok_or_else(cut)?;
    if !fixed.starts_with(&SIGNATURE) {
        let detail = format!("record {number} does not start with its signature");
        return Err(Error::archive(Rule::MalformedRecord, PLACE, detail));
    }
    let raw_name = cursor.take(usize::from(u16_at(fixed, 28))).ok_or_else(cut)?;
    cursor.take(usize::from(u16_at(fixed, 30))).ok_or_else(cut)?;
    cursor.take(usize::from(u16_at(fixed, 32))).ok_or_else(cut)?;
    let (name, written) = name(raw_name, number)?;
    let (packed, unpacked, header) = (u32_at(fixed, 20), u32_at(fixed, 24), u32_at(fixed, 42));
    if packed == u32::MAX || unpacked == u32::MAX || header == u32::MAX {
        return Err(Error::archive(
            Rule::Zip64,
            name,
            "a field of 4 GiB defers to ZIP64",
        ));
    }
    let entry = Entry {
        name,
        written,
        flags: u16_at(fixed, 8),
        method: u16_at(fixed, 10),
        crc32: u32_at(fixed, 16),
        packed: u64::from(packed),
        unpacked: u64::from(unpacked),
        header: u64::from(header),
        data: 0,
    };
    // What lies below META-INF is read by the check of v1 signatures alone, which inflates what is not stored.
    if !matches!(entry.method, STORED | DEFLATED) && !entry.name.starts_with("META-INF/") {
        let detail = format!("compression method {}; Android reads 0 and 8 only", entry.method);
        return Err(Error::archive(Rule::CompressionMethod, entry.name, detail));
    }
    if entry.is_stored() && packed != unpacked {
        let detail = format!("stored, but {packed} bytes packed and {unpacked} unpacked");
        return Err(Error::archive(Rule::HeaderMismatch, entry.name, detail));
    }
    Ok(entry)
}

/// A name, and its bytes where they are not the name's UTF-8.
type Name = (String, Option<Box<[u8]>>);

fn name(raw: &[u8], number: u16) -> Result<Name, Error> {
    let wrong = |what: &str| Error::archive(Rule::EntryName, format!("{PLACE}, record {number}"), what);
    if raw.is_empty() {
        return Err(wrong("the name is empty"));
    }
    if let Ok(name) = std::str::from_utf8(raw) {
        return Ok((name.to_owned(), None));
    }
    let name = surrogates::decode(raw).ok_or_else(|| wrong("the name is not UTF-8"))?;
    Ok((name, Some(raw.into())))
}

/// The entries' positions sorted by name; two of one name are an error.
pub(crate) fn index(entries: &[Entry]) -> Result<Vec<u32>, Error> {
    let mut order: Vec<u32> = (0..).take(entries.len()).collect();
    let name = |at: u32| entries[at as usize].name.as_str();
    order.sort_unstable_by(|&a, &b| name(a).cmp(name(b)));
    match order.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
        Some(pair) => Err(Error::archive(
            Rule::DuplicateEntry,
            name(pair[0]),
            "two entries have this name",
        )),
        None => Ok(order),
    }
}
