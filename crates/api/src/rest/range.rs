//! The `Range` header of a download.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9110#name-range-requests>

use std::ops::Range;

/// Which part of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no range, a unit other than bytes, or several ranges at once, which a server may ignore.
    Whole,
    /// These bytes; never empty.
    Bytes(Range<u64>),
    /// Bytes that the file does not have.
    Beyond,
    /// Not a range at all.
    Malformed,
}

/// Reads a `Range` header for a file of this size.
pub(crate) fn parse(header: &str, size: u64) -> Part {
    let Some((unit, ranges)) = header.split_once('=') else {
        return Part::Malformed;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = ranges.trim().split_once('-') else {
        return Part::Malformed;
    };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => from_to(first, last, size),
        (Some(None), Some(Some(suffix))) => last_bytes(suffix, size),
        _ => Part::Malformed,
    }
}

/// `None` for something else than digits, `Some(None)` for nothing at all.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too large for a file position is still a number, and beyond every file.
    digits.then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

fn from_to(first: u64, last: Option<u64>, size: u64) -> Part {
    let end = last.map_or(size, |last| last.saturating_add(1).min(size));
    match last {
        Some(last) if last < first => Part::Malformed,
        _ if first >= size => Part::Beyond,
        _ => Part::Bytes(first..end),
    }
}

fn last_bytes(suffix: u64, size: u64) -> Part {
    if suffix == 0 || size == 0 {
        return Part::Beyond;
    }
    Part::Bytes(size.saturating_sub(suffix)..size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_as_the_rfc_writes_them() {
        let table = [
            ("bytes=0-499", Part::Bytes(0..500)),
            ("bytes=500-", Part::Bytes(500..1000)),
            ("bytes=-1", Part::Bytes(999..1000)),
            ("bytes=-5000", Part::Bytes(0..1000)),
            ("bytes=0-99999999999999999999999", Part::Bytes(0..1000)),
            ("Bytes = 3-3", Part::Bytes(3..4)),
            ("bytes=1000-", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=0-1,5-6", Part::Whole),
            ("pages=1-2", Part::Whole),
            ("bytes=5-3", Part::Malformed),
            ("bytes=-", Part::Malformed),
            ("bytes=a-b", Part::Malformed),
            ("bytes=+1-2", Part::Malformed),
            ("bytes", Part::Malformed),
            ("", Part::Malformed),
        ];
        for (header, part) in table {
            assert_eq!(parse(header, 1000), part, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Part::Beyond);
    }
}
