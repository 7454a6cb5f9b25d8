use std::fmt;

use crate::ber::{Element, SEQUENCE, SET};
use crate::crypto::Fault;
use crate::text::visible;

/// Attributes of one name; the longest names in use have fewer than fifteen.
const MAX_ATTRIBUTES: usize = 128;

const UTF8_STRING: u32 = 12;
const PRINTABLE_STRING: u32 = 19;
const TELETEX_STRING: u32 = 20;
const IA5_STRING: u32 = 22;
const UNIVERSAL_STRING: u32 = 28;
const BMP_STRING: u32 = 30;

/// A distinguished name. Two names are equal when platforms hold them to be: the encoding of a printable
/// or UTF-8 value, its case and its runs of spaces don't count.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// The relative names in the order of the encoding, each with its attributes sorted.
    canonical: Vec<Vec<(String, Value)>>,
    display: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Folded(String),
    Encoded(Vec<u8>),
}

impl Name {
    pub(crate) fn parse(name: Element<'_>) -> Result<Self, Fault> {
        name.expect(SEQUENCE, "name")?;
        let mut canonical = Vec::new();
        let mut shown = Vec::new();
        let mut count = 0;
        let mut sets = name.children();
        while let Some(set) = sets.next()? {
            set.expect(SET, "relative name")?;
            let mut relative = Vec::new();
            let mut words = Vec::new();
            let mut attributes = set.children();
            while let Some(attribute) = attributes.next()? {
                count += 1;
                if count > MAX_ATTRIBUTES {
                    return Err(Fault::Malformed {
                        what: "name",
                        why: "too many attributes".into(),
                    });
                }
                attribute.expect(SEQUENCE, "name attribute")?;
                let mut pair = attribute.children();
                let oid = pair.required("attribute type")?.oid("attribute type")?;
                let value = pair.required("attribute value")?;
                words.push(format!("{}={}", keyword(&oid), visible(&show(value))));
                relative.push((oid, canonical_value(value)?));
            }
            relative.sort();
            canonical.push(relative);
            shown.push(words.join(" + "));
        }
        shown.reverse();
        Ok(Self {
            canonical,
            display: shown.join(", "),
        })
    }
}

impl PartialEq for Name {
    /// How a name is shown is no part of it.
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

fn canonical_value(value: Element<'_>) -> Result<Value, Fault> {
    let comparable = value.is_universal(UTF8_STRING) || value.is_universal(PRINTABLE_STRING);
    match std::str::from_utf8(value.contents) {
        Ok(text) if comparable => {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            Ok(Value::Folded(words.join(" ")))
        }
        _ => Ok(Value::Encoded(value.to_der()?)),
    }
}

/// The value as text: control characters are escaped, and what would end a value is quoted.
fn show(value: Element<'_>) -> String {
    let text = match value.tag {
        BMP_STRING => decode_wide(value.contents, 2),
        UNIVERSAL_STRING => decode_wide(value.contents, 4),
        TELETEX_STRING => Some(value.contents.iter().copied().map(char::from).collect()),
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => {
            std::str::from_utf8(value.contents).ok().map(str::to_owned)
        }
        _ => None,
    };
    let Some(text) = text else {
        return value
            .contents
            .iter()
            .fold(String::from("#"), |out, byte| out + &format!("{byte:02x}"));
    };
    let quoted = text.contains([',', '+', '=', '<', '>', '#', ';', '\\', '"'])
        || text.starts_with(' ')
        || text.ends_with(' ');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if quoted { format!("\"{out}\"") } else { out }
}

/// UCS-2 or UCS-4, big endian.
fn decode_wide(bytes: &[u8], width: usize) -> Option<String> {
    bytes
        .chunks(width)
        .map(|unit| char::from_u32(unit.iter().fold(0, |code, byte| code << 8 | u32::from(*byte))))
        .collect()
}

fn keyword(oid: &str) -> String {
    let known = match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SURNAME",
        "2.5.4.5" => "SERIALNUMBER",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "T",
        "2.5.4.42" => "GIVENNAME",
        "2.5.4.43" => "INITIALS",
        "2.5.4.44" => "GENERATION",
        "2.5.4.46" => "DNQUALIFIER",
        "1.2.840.113549.1.9.1" => "EMAILADDRESS",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        other => return format!("OID.{other}"),
    };
    known.to_owned()
}
