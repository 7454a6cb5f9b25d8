//! SDK levels in the manifest: numbers, or the letter of a release that was not yet numbered.

use super::value::Value;
use crate::{Error, Rule};

/// The first letter of each release's codename and the level before it, in letter order. From O on, the
/// platform's tools add one for each letter.
///
/// The answer is pessimistic, as theirs is: a lower minimum only makes a verification stricter. Source: the
/// codename rule of AOSP's `ApkUtils`.
const CODENAMES: [(u8, u32); 13] = [
    (b'C', 2),
    (b'D', 3),
    (b'E', 4),
    (b'F', 7),
    (b'G', 8),
    (b'H', 10),
    (b'I', 13),
    (b'J', 15),
    (b'K', 18),
    (b'L', 20),
    (b'M', 22),
    (b'N', 23),
    (b'O', 25),
];
/// Names whose letter was used before.
const RECENT: [(&str, u32); 2] = [("Baklava", 34), ("CinnamonBun", 35)];

/// The level that `value` stands for.
pub(super) fn level(value: &Value, attribute: &str) -> Result<u32, Error> {
    let wrong = || {
        let detail = format!("{} is neither an SDK level nor a codename", value.kind());
        Error::manifest(Rule::AttributeType, attribute, detail)
    };
    if let Some(number) = value.integer() {
        return u32::try_from(number).map_err(|_| wrong());
    }
    match value {
        Value::Text(codename) => codename_level(codename).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn codename_level(codename: &str) -> Option<u32> {
    if let Some((_, level)) = RECENT.iter().find(|(name, _)| *name == codename) {
        return Some(*level);
    }
    let letter = codename.bytes().next().filter(u8::is_ascii_uppercase)?;
    let known = CODENAMES.iter().rev().find(|(known, _)| *known <= letter);
    Some(known.map_or(1, |(known, level)| level + u32::from(letter - known)))
}
