//! The end-of-central-directory record: the one place every reader starts from.

use std::ops::Range;

use super::MAX_DIRECTORY_BYTES;
use crate::bytes::{u16_at, u32_at};
use crate::source::read_vec;
use crate::{Error, Rule, Source};

const SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const ZIP64_LOCATOR_SIGNATURE: [u8; 4] = *b"PK\x06\x07";
/// The record without its comment.
const RECORD_BYTES: usize = 22;
const ZIP64_LOCATOR_BYTES: usize = 20;
const MAX_COMMENT_BYTES: usize = u16::MAX as usize;
/// The most entries an APK has. Android takes the count 65,535 for a sign that a ZIP64 record has the count.
pub(super) const MAX_ENTRIES: u16 = u16::MAX - 1;
/// Offset in the record of the comment's length.
const COMMENT_LENGTH: usize = 20;

const PLACE: &str = "end of central directory";

/// What the end record says.
#[derive(Debug)]
pub(crate) struct End {
    /// Where the record starts.
    pub(crate) offset: u64,
    /// Where the central directory lies.
    pub(crate) directory: Range<u64>,
    /// How many entries it has.
    pub(crate) entries: u16,
}

/// Finds the only record that can be meant, and checks what it points at.
pub(crate) fn find(source: &dyn Source) -> Result<End, Error> {
    let len = source.len();
    let window = RECORD_BYTES + MAX_COMMENT_BYTES + ZIP64_LOCATOR_BYTES;
    let tail_len = usize::try_from(len).map_or(window, |len| len.min(window));
    let tail_start = len - tail_len as u64;
    let tail = read_vec(source, tail_start, tail_len)?;
    let at = locate(&tail)?;
    if at >= ZIP64_LOCATOR_BYTES && tail[at - ZIP64_LOCATOR_BYTES..].starts_with(&ZIP64_LOCATOR_SIGNATURE) {
        let detail =
            format!("a ZIP64 archive: more than {MAX_ENTRIES} entries or 4 GiB, which no device installs");
        return Err(Error::archive(Rule::Zip64, PLACE, detail));
    }
    parse(&tail[at..at + RECORD_BYTES], tail_start + at as u64)
}

/// The record's position in the file's tail.
///
/// A record is one whose comment reaches exactly to the end of the file. If there is another, or if a
/// record's signature is found in the comment, readers that search differently would open another archive.
fn locate(tail: &[u8]) -> Result<usize, Error> {
    let Some(last) = tail.len().checked_sub(RECORD_BYTES) else {
        return Err(Error::archive(Rule::NotAZip, PLACE, "too short for one"));
    };
    let signatures = (0..=last).filter(|&at| tail[at..].starts_with(&SIGNATURE));
    let (mut whole, mut last_seen) = (Vec::new(), None);
    for at in signatures {
        last_seen = Some(at);
        if at + RECORD_BYTES + usize::from(u16_at(tail, at + COMMENT_LENGTH)) == tail.len() {
            whole.push(at);
        }
    }
    match (whole.as_slice(), last_seen) {
        ([], None) => Err(Error::archive(Rule::NotAZip, PLACE, "not found")),
        ([], Some(seen)) => Err(Error::archive(Rule::Truncated, PLACE, not_at_the_end(tail, seen))),
        ([one], Some(seen)) if *one == seen => Ok(*one),
        ([_], _) => Err(Error::archive(
            Rule::AmbiguousDirectory,
            PLACE,
            "its comment contains another such record",
        )),
        _ => Err(Error::archive(
            Rule::AmbiguousDirectory,
            PLACE,
            "two records both end the file",
        )),
    }
}

/// How the record at `at` and its comment miss the end of the file.
fn not_at_the_end(tail: &[u8], at: usize) -> String {
    let comment = usize::from(u16_at(tail, at + COMMENT_LENGTH));
    let end = at + RECORD_BYTES + comment;
    if end < tail.len() {
        return behind((tail.len() - end) as u64);
    }
    format!(
        "the file is cut off: {} bytes of the archive's comment are missing",
        end - tail.len()
    )
}

fn behind(bytes: u64) -> String {
    match bytes {
        1 => "1 byte follows the end of the archive".to_owned(),
        bytes => format!("{bytes} bytes follow the end of the archive"),
    }
}

/// How far before the end of a file a record is looked for that has other bytes behind it, in bytes.
const FAR_BYTES: u64 = 32 << 20;
/// How much of that is read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// What to say of an archive with so many bytes behind it that its end is not where readers look: `None` when the
/// file is none, or when its end lies further away than is searched.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn far_from_the_end(source: &dyn Source) -> Result<Option<Error>, Error> {
    let len = source.len();
    let (first, mut end) = (len.saturating_sub(FAR_BYTES), len);
    while end > first {
        let start = end.saturating_sub(PIECE_BYTES).max(first);
        // A record may begin in one piece and end in the next.
        let wanted = (end - start + RECORD_BYTES as u64 - 1).min(len - start);
        let piece = read_vec(source, start, usize::try_from(wanted).unwrap_or(0))?;
        let records = piece.windows(RECORD_BYTES).enumerate().rev();
        let mut records = records.filter(|(_, record)| record.starts_with(&SIGNATURE));
        let fits = |(at, record): &(usize, &[u8])| {
            let parsed = parse(record, start + *at as u64);
            parsed.is_ok_and(|end| end.entries > 0 && end.directory.end == end.offset)
        };
        if let Some((at, record)) = records.find(fits) {
            let comment = u64::from(u16_at(record, COMMENT_LENGTH));
            let end = start + at as u64 + RECORD_BYTES as u64 + comment;
            let detail = behind(len.saturating_sub(end));
            return Ok(Some(Error::archive(Rule::Truncated, PLACE, detail)));
        }
        end = start;
    }
    Ok(None)
}

fn parse(record: &[u8], offset: u64) -> Result<End, Error> {
    let (disk, directory_disk) = (u16_at(record, 4), u16_at(record, 6));
    let (here, entries) = (u16_at(record, 8), u16_at(record, 10));
    let (size, start) = (u32_at(record, 12), u32_at(record, 16));
    if size == u32::MAX || start == u32::MAX {
        return Err(Error::archive(
            Rule::Zip64,
            PLACE,
            "a field of 4 GiB defers to ZIP64",
        ));
    }
    if disk != 0 || directory_disk != 0 || here != entries {
        let detail =
            format!("disk {disk}, directory on disk {directory_disk}, {here} of {entries} entries here");
        return Err(Error::archive(Rule::MultiDisk, PLACE, detail));
    }
    if entries > MAX_ENTRIES {
        let detail = format!("{entries} entries or more: an APK has at most {MAX_ENTRIES}");
        return Err(Error::archive(Rule::TooManyEntries, PLACE, detail));
    }
    if usize::from(u16_at(record, COMMENT_LENGTH)) == MAX_COMMENT_BYTES {
        let detail = "a comment of 65,535 bytes, which makes devices look for a ZIP64 record";
        return Err(Error::archive(Rule::Zip64, PLACE, detail));
    }
    let directory = u64::from(start)..u64::from(start) + u64::from(size);
    if directory.end > offset {
        let detail = format!("directory at {start} of {size} bytes reaches past its end record at {offset}");
        return Err(Error::archive(Rule::Truncated, PLACE, detail));
    }
    if u64::from(size) > MAX_DIRECTORY_BYTES {
        let detail = format!("directory of {size} bytes, more than {MAX_DIRECTORY_BYTES}");
        return Err(Error::archive(Rule::DirectoryTooLarge, PLACE, detail));
    }
    Ok(End {
        offset,
        directory,
        entries,
    })
}
