//! SDK levels in the manifest: numbers, or the name of a release that was not yet numbered.

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

/// A level, and the codename it was given by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) number: u32,
    pub(super) codename: Option<String>,
}

/// The level that `value` stands for.
///
/// A number that is written as text is a codename to devices, one that no device has, and so is a reference: the
/// first look at a file takes it as it is spelled (`ApkLiteParseUtils`).
pub(super) fn level(value: &Value, attribute: &str) -> Result<Level, Error> {
    let wrong = || {
        let detail = format!("{} is neither an SDK level nor a codename", value.kind());
        Error::manifest(Rule::AttributeType, attribute, detail)
    };
    match value {
        Value::Integer(number) => {
            let number = u32::try_from(*number).map_err(|_| wrong())?;
            Ok(Level {
                number,
                codename: None,
            })
        }
        Value::Text(codename) => {
            let number = codename_level(codename).ok_or_else(wrong)?;
            Ok(Level {
                number,
                codename: Some(codename.clone()),
            })
        }
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
