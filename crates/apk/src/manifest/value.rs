//! Typed values: what an attribute or a resource holds.

use super::strings::Strings;
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule};

/// The bytes of a value in a file.
pub(crate) const VALUE_BYTES: usize = 8;

pub(super) const TYPE_NULL: u8 = 0x00;
pub(super) const TYPE_REFERENCE: u8 = 0x01;
pub(super) const TYPE_STRING: u8 = 0x03;
const TYPE_FLOAT: u8 = 0x04;
pub(super) const TYPE_DYNAMIC_REFERENCE: u8 = 0x07;
pub(super) const TYPE_DECIMAL: u8 = 0x10;
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
    /// The number that stands for true or false: -1 or 0 as a rule.
    Boolean(i32),
    Integer(i32),
    /// Any other type, by its number.
    Other(u8),
}

impl Value {
    /// Decodes the value at the start of `bytes`; strings come from `strings`. The size that the value gives of
    /// itself is looked at in a resource table only, as Android does.
    pub(crate) fn parse(bytes: &[u8], strings: &Strings<'_>, place: &str) -> Result<Self, Error> {
        if bytes.len() < VALUE_BYTES {
            return Err(Error::manifest(Rule::MalformedXml, place, "a value is cut off"));
        }
        Self::decode(bytes[3], u32_at(bytes, 4), strings, place)
    }

    /// Decodes the value of a resource.
    pub(crate) fn of_resource(bytes: &[u8], strings: &Strings<'_>, place: &str) -> Result<Self, Error> {
        if bytes.len() >= VALUE_BYTES && usize::from(u16_at(bytes, 0)) < VALUE_BYTES {
            let detail = format!(
                "a value of {} bytes, where it takes {VALUE_BYTES}",
                u16_at(bytes, 0)
            );
            return Err(Error::manifest(Rule::MalformedXml, place, detail));
        }
        Self::parse(bytes, strings, place)
    }

    pub(crate) fn decode(kind: u8, data: u32, strings: &Strings<'_>, place: &str) -> Result<Self, Error> {
        Ok(match kind {
            // With other data it is `@empty`, or nothing that a build tool writes, and some read the data.
            TYPE_NULL if data == 0 => Self::Absent,
            // Reference 0 is `@null`.
            TYPE_REFERENCE | TYPE_DYNAMIC_REFERENCE if data == 0 => Self::Absent,
            TYPE_REFERENCE | TYPE_DYNAMIC_REFERENCE => Self::Reference(data),
            TYPE_STRING => strings.get(data, place)?.map_or(Self::Absent, Self::Text),
            TYPE_FLOAT => Self::Float(f32::from_bits(data)),
            TYPE_BOOLEAN => Self::Boolean(data.cast_signed()),
            TYPE_DECIMAL..=TYPE_HEX | 0x13..=TYPE_LAST_INT => Self::Integer(data.cast_signed()),
            other => Self::Other(other),
        })
    }

    /// As a number: an integer, or the number that stands for a boolean. A text is none, whatever it spells:
    /// `TypedArray.getInteger` throws, and the installation fails.
    pub(crate) fn integer(&self) -> Option<i32> {
        match self {
            Self::Integer(number) | Self::Boolean(number) => Some(*number),
            _ => None,
        }
    }

    /// As a truth. A text is none, whatever it spells: what installs takes `true` for true, what looks at the file
    /// before it (`ApkLiteParseUtils`) takes any text for false, and the build tools write none.
    pub(crate) fn boolean(&self) -> Option<bool> {
        self.integer().map(|number| number != 0)
    }

    /// As text, the way Android would print it.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(format!("{number:?}")),
            Self::Boolean(number) => Some((*number != 0).to_string()),
            _ => None,
        }
    }

    /// The kind of value, for an error message.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Absent => "nothing".to_owned(),
            Self::Reference(id) => format!("the reference {id:#010x}"),
            Self::Text(text) => format!("the text {:?}", super::shorten(text)),
            Self::Float(number) => format!("the float {number}"),
            Self::Boolean(number) => format!("the boolean {}", *number != 0),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Other(kind) => format!("a value of type {kind:#04x}"),
        }
    }
}
