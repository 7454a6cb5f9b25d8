//! Names in CESU-8: UTF-8 but for characters beyond the basic plane, which are written as two surrogates of
//! three bytes each.
//!
//! Java's tools write names so, and Android's reader takes them. Only whole pairs are decoded: a surrogate
//! alone stands for no character, and each reader would make something else of it.

use std::ops::RangeInclusive;

const HIGH: RangeInclusive<u32> = 0xd800..=0xdbff;
const LOW: RangeInclusive<u32> = 0xdc00..=0xdfff;
/// How many bytes a surrogate takes.
const SURROGATE_BYTES: usize = 3;

/// The text of `bytes`, `None` if it is neither UTF-8 nor CESU-8.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (good, after) = match std::str::from_utf8(rest) {
            Ok(good) => (good, &rest[rest.len()..]),
            Err(error) => {
                let (good, after) = rest.split_at(error.valid_up_to());
                (std::str::from_utf8(good).ok()?, after)
            }
        };
        text.push_str(good);
        rest = after;
        if !rest.is_empty() {
            let (letter, after) = pair(rest)?;
            text.push(letter);
            rest = after;
        }
    }
    Some(text)
}

fn pair(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (high, rest) = surrogate(bytes).filter(|(unit, _)| HIGH.contains(unit))?;
    let (low, rest) = surrogate(rest).filter(|(unit, _)| LOW.contains(unit))?;
    let letter = char::from_u32(0x1_0000 + ((high - HIGH.start()) << 10) + (low - LOW.start()))?;
    Some((letter, rest))
}

/// Three bytes of the form `1110xxxx 10xxxxxx 10xxxxxx`.
fn surrogate(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (three, rest) = bytes.split_at_checked(SURROGATE_BYTES)?;
    let [first, second, third] = [three[0], three[1], three[2]].map(u32::from);
    let shaped = first & 0xf0 == 0xe0 && second & 0xc0 == 0x80 && third & 0xc0 == 0x80;
    shaped.then_some(((first & 0xf) << 12 | (second & 0x3f) << 6 | third & 0x3f, rest))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn pairs_are_joined_and_all_else_is_refused() {
        assert_eq!(
            decode(b"a\xed\xa0\xbd\xed\xb8\x80b").as_deref(),
            Some("a\u{1f600}b")
        );
        assert_eq!(decode("ä\u{1f600}".as_bytes()).as_deref(), Some("ä\u{1f600}"));
        for wrong in [
            &b"\xed\xa0\xbd"[..],
            b"\xed\xb8\x80\xed\xa0\xbd",
            b"\xed\xa0\xbdx",
            b"\xed\xa0",
            b"\xc0\x80",
            b"\xff",
            b"\xf8\x88\x80\x80\x80",
        ] {
            assert_eq!(decode(wrong), None, "{wrong:x?}");
        }
    }
}
