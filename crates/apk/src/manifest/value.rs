//! Typed values: what an attribute or a resource holds.

use super::strings::Strings;
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule};

/// The bytes of a value in a file.
pub(crate) const VALUE_BYTES: usize = 8;

const TYPE_NULL: u8 = 0x00;
const TYPE_REFERENCE: u8 = 0x01;
const TYPE_STRING: u8 = 0x03;
const TYPE_FLOAT: u8 = 0x04;
const TYPE_DYNAMIC_REFERENCE: u8 = 0x07;
const TYPE_FIRST_INT: u8 = 0x10;
const TYPE_HEX: u8 = 0x11;
const TYPE_BOOLEAN: u8 = 0x12;
const TYPE_LAST_INT: u8 = 0x1f;

/// A value, its string already looked up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Absent,
    /// A resource id: `0xPPTTEEEE`.
    Reference(u32),
    Text(String),
    Float(f32),
    Boolean(bool),
    Integer(i32),
    /// Any other type, by its number.
    Other(u8),
}

impl Value {
    /// Decodes the value at the start of `bytes`; strings come from `strings`.
    pub(crate) fn parse(bytes: &[u8], strings: &Strings<'_>, place: &str) -> Result<Self, Error> {
        if bytes.len() < VALUE_BYTES || usize::from(u16_at(bytes, 0)) < VALUE_BYTES {
            return Err(Error::manifest(Rule::MalformedXml, place, "a value is cut off"));
        }
        Self::decode(bytes[3], u32_at(bytes, 4), strings, place)
    }

    pub(crate) fn decode(kind: u8, data: u32, strings: &Strings<'_>, place: &str) -> Result<Self, Error> {
        Ok(match kind {
            TYPE_NULL => Self::Absent,
            // Reference 0 is `@null`.
            TYPE_REFERENCE | TYPE_DYNAMIC_REFERENCE if data == 0 => Self::Absent,
            TYPE_REFERENCE | TYPE_DYNAMIC_REFERENCE => Self::Reference(data),
            TYPE_STRING => strings.get(data, place)?.map_or(Self::Absent, Self::Text),
            TYPE_FLOAT => Self::Float(f32::from_bits(data)),
            TYPE_BOOLEAN => Self::Boolean(data != 0),
            TYPE_FIRST_INT..=TYPE_HEX | 0x13..=TYPE_LAST_INT => Self::Integer(data.cast_signed()),
            other => Self::Other(other),
        })
    }

    /// As a number: an integer, a boolean as Android reads one, or text that spells a number.
    pub(crate) fn integer(&self) -> Option<i32> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Boolean(yes) => Some(i32::from(*yes)),
            Self::Text(text) => parse_integer(text.trim()),
            _ => None,
        }
    }

    /// As a truth: a boolean, an integer, or the words Android takes for one.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(yes) => Some(*yes),
            Self::Integer(number) => Some(*number != 0),
            Self::Text(text) => match text.trim() {
                "true" | "TRUE" | "True" | "1" => Some(true),
                "false" | "FALSE" | "False" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// As text, the way Android would print it.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(format!("{number:?}")),
            Self::Boolean(yes) => Some(yes.to_string()),
            _ => None,
        }
    }

    /// The kind of value, for an error message.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Absent => "nothing".to_owned(),
            Self::Reference(id) => format!("the reference {id:#010x}"),
            Self::Text(text) => format!("the text {:?}", shorten(text)),
            Self::Float(number) => format!("the float {number}"),
            Self::Boolean(yes) => format!("the boolean {yes}"),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Other(kind) => format!("a value of type {kind:#04x}"),
        }
    }
}

fn parse_integer(text: &str) -> Option<i32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok().map(u32::cast_signed),
        None => text.parse().ok(),
    }
}

/// A hostile string must not fill the log.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    text.chars().take(SHOWN).collect()
}
