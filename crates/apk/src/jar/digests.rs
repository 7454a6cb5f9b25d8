//! Which of the digests in a section a device looks at.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::manifest::attribute;
use crate::crypto::Digest;
use crate::{Error, Rule, SdkRange};

/// Android 4.3 looks for the strongest digest; before, a list in the file said which to look for.
const STRONGEST_FIRST_SINCE: u32 = 18;
/// Names tried of a `Digest-Algorithms` list; real ones have two or three.
const MAX_LISTED: usize = 16;

/// Java's decoder takes base64 with its padding or without any, and ignores left-over bits.
const PADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BARE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireNone),
);
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);

/// A digest that has to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) digest: Digest,
    pub(super) value: Vec<u8>,
}

/// The digests in `section` (attributes `SHA-256-Digest` and the like, by suffix) that some level of `range` checks.
/// Empty when a level finds none, which then is the same as no digest at all.
pub(super) fn expected(
    section: &[u8],
    suffix: &str,
    range: SdkRange,
    place: &str,
) -> Result<Vec<Expected>, Error> {
    let mut found = Vec::new();
    if range.min < STRONGEST_FIRST_SINCE {
        match listed(section, suffix, range.min, place)? {
            Some(expected) => found.push(expected),
            None => return Ok(found),
        }
    }
    if range.max >= STRONGEST_FIRST_SINCE {
        found.extend(strongest(section, suffix, place)?.filter(|expected| !found.contains(expected)));
    }
    Ok(found)
}

/// The first digest of the section's own list that the level knows.
fn listed(section: &[u8], suffix: &str, level: u32, place: &str) -> Result<Option<Expected>, Error> {
    let list = attribute(section, "Digest-Algorithms").unwrap_or("SHA SHA1".into());
    for name in list.split_ascii_whitespace().take(MAX_LISTED) {
        let Some(text) = attribute(section, &format!("{name}{suffix}")) else {
            continue;
        };
        if let Some((digest, _)) = by_name(name).filter(|(_, since)| *since <= level) {
            return decode(digest, &text, place).map(Some);
        }
    }
    Ok(None)
}

fn strongest(section: &[u8], suffix: &str, place: &str) -> Result<Option<Expected>, Error> {
    let by_strength = [
        (Digest::Sha512, "SHA-512"),
        (Digest::Sha384, "SHA-384"),
        (Digest::Sha256, "SHA-256"),
        (Digest::Sha1, "SHA1"),
    ];
    for (digest, name) in by_strength {
        if let Some(text) = attribute(section, &format!("{name}{suffix}")) {
            return decode(digest, &text, place).map(Some);
        }
    }
    Ok(None)
}

/// A digest by the names that lists use, and the level since which it may be used here.
fn by_name(name: &str) -> Option<(Digest, u32)> {
    match name.to_ascii_uppercase().as_str() {
        "MD5" => Some((Digest::Md5, 0)),
        "SHA" | "SHA1" | "SHA-1" => Some((Digest::Sha1, 0)),
        "SHA-256" => Some((Digest::Sha256, 0)),
        "SHA-384" => Some((Digest::Sha384, 9)),
        "SHA-512" => Some((Digest::Sha512, 9)),
        _ => None,
    }
}

fn decode(digest: Digest, text: &str, place: &str) -> Result<Expected, Error> {
    let alphabet = if text.ends_with('=') { &PADDED } else { &BARE };
    match alphabet.decode(text) {
        Ok(value) => Ok(Expected { digest, value }),
        Err(error) => {
            let detail = format!("its {digest} digest is not base64: {error}");
            Err(Error::signature(Rule::JarMalformed, place, detail))
        }
    }
}

/// Digests as manifests write them.
pub(super) fn encode(value: &[u8]) -> String {
    PADDED.encode(value)
}
