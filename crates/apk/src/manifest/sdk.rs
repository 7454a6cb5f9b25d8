//! SDK levels in the manifest: numbers, or the letter of a release that was not yet numbered.

use super::value::Value;
use crate::{Error, Rule};

/// The first letter of each release's codename and the level that came before it, in letter order.
///
/// An app built for a preview of release X runs on no level below X's predecessor. Source: the codename
/// rule of AOSP's `ApkUtils`.
const CODENAMES: [(char, u32); 20] = [
    ('C', 2),
    ('D', 3),
    ('E', 4),
    ('F', 7),
    ('G', 8),
    ('H', 10),
    ('I', 13),
    ('J', 15),
    ('K', 18),
    ('L', 20),
    ('M', 22),
    ('N', 23),
    ('O', 25),
    ('P', 27),
    ('Q', 28),
    ('R', 29),
    ('S', 30),
    ('T', 32),
    ('U', 33),
    ('V', 34),
];

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
    let letter = codename.chars().next().filter(char::is_ascii_uppercase)?;
    let known = CODENAMES.iter().rev().find(|(known, _)| *known <= letter);
    Some(known.map_or(1, |(_, level)| *level))
}
