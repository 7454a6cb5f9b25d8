//! A reader of BER, the lenient parent of DER.
//!
//! Strict DER readers refuse certificates and PKCS #7 blocks that Android has accepted for fifteen years:
//! lengths written in more bytes than needed, indefinite lengths, fields after the last known one. This
//! reader accepts those forms, keeps the bytes that were read (fingerprints and signatures cover the
//! encoding as found) and can write an element anew in definite, minimal lengths for the libraries that
//! insist.
//!
//! Source: ITU-T X.690, sections 8.1 to 8.19.

use crate::crypto::Fault;

/// Levels of nesting that are followed; certificates and PKCS #7 need fewer than twelve.
const MAX_DEPTH: usize = 32;
/// Bytes of an object identifier's body that are read; the longest in use has fewer than twenty.
const MAX_OID_BYTES: usize = 64;

pub(crate) const BOOLEAN: u32 = 1;
pub(crate) const INTEGER: u32 = 2;
pub(crate) const BIT_STRING: u32 = 3;
pub(crate) const OCTET_STRING: u32 = 4;
#[cfg(test)]
pub(crate) const NULL: u32 = 5;
pub(crate) const OID: u32 = 6;
pub(crate) const SEQUENCE: u32 = 16;
pub(crate) const SET: u32 = 17;

/// The class bits of an identifier octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Universal,
    Application,
    Context,
    Private,
}

/// One element: identifier, length and contents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) class: Class,
    pub(crate) constructed: bool,
    pub(crate) tag: u32,
    /// The whole element as found.
    pub(crate) encoded: &'a [u8],
    /// The contents, without the end marker of an indefinite length.
    pub(crate) contents: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault::Malformed {
        what: "ASN.1",
        why: why.into(),
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element, or `None` at the end of the input.
    pub(crate) fn next(&mut self) -> Result<Option<Element<'a>>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (element, rest) = read(self.rest, 0)?;
        self.rest = rest;
        Ok(Some(element))
    }

    /// The next element, which must be there.
    pub(crate) fn required(&mut self, what: &str) -> Result<Element<'a>, Fault> {
        self.next()?
            .ok_or_else(|| malformed(format!("{what} is missing")))
    }

    /// The next element, which must be there and carry this universal tag.
    pub(crate) fn universal(&mut self, tag: u32, what: &str) -> Result<Element<'a>, Fault> {
        let element = self.required(what)?;
        element.expect(tag, what)?;
        Ok(element)
    }

    /// Takes the next element if it carries this context tag, and leaves it otherwise.
    pub(crate) fn optional_context(&mut self, tag: u32) -> Result<Option<Element<'a>>, Fault> {
        let mut ahead = self.clone();
        match ahead.next()? {
            Some(element) if element.is_context(tag) => {
                *self = ahead;
                Ok(Some(element))
            }
            _ => Ok(None),
        }
    }
}

impl<'a> Element<'a> {
    /// The one element at the start of `bytes`; what follows it is ignored.
    pub(crate) fn first(bytes: &'a [u8], what: &str) -> Result<Self, Fault> {
        Reader::new(bytes).required(what)
    }

    pub(crate) fn is_universal(&self, tag: u32) -> bool {
        self.class == Class::Universal && self.tag == tag
    }

    pub(crate) fn is_context(&self, tag: u32) -> bool {
        self.class == Class::Context && self.tag == tag
    }

    pub(crate) fn expect(&self, tag: u32, what: &str) -> Result<(), Fault> {
        if self.is_universal(tag) {
            return Ok(());
        }
        Err(malformed(format!(
            "{what} has {:?} tag {}, not universal tag {tag}",
            self.class, self.tag
        )))
    }

    pub(crate) fn children(&self) -> Reader<'a> {
        Reader::new(self.contents)
    }

    /// An object identifier in dotted form.
    pub(crate) fn oid(&self, what: &str) -> Result<String, Fault> {
        self.expect(OID, what)?;
        if self.contents.is_empty() || self.contents.len() > MAX_OID_BYTES {
            return Err(malformed(format!(
                "{what} is an object identifier of {} bytes",
                self.contents.len()
            )));
        }
        let mut dotted = String::new();
        let mut arc: u64 = 0;
        let mut open = false;
        for &byte in self.contents {
            if arc > u64::MAX >> 8 {
                return Err(malformed(format!(
                    "{what} has an object identifier arc above 2^56"
                )));
            }
            arc = arc << 7 | u64::from(byte & 0x7f);
            open = byte & 0x80 != 0;
            if !open {
                push_arc(&mut dotted, arc);
                arc = 0;
            }
        }
        if open {
            return Err(malformed(format!(
                "{what} is an object identifier that is cut off"
            )));
        }
        Ok(dotted)
    }

    /// An integer's two's complement bytes without redundant leading ones.
    pub(crate) fn integer(&self, what: &str) -> Result<&'a [u8], Fault> {
        self.expect(INTEGER, what)?;
        let mut bytes = self.contents;
        if bytes.is_empty() {
            return Err(malformed(format!("{what} is an empty integer")));
        }
        while let [first, second, ..] = bytes {
            let redundant = (*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0);
            if !redundant {
                break;
            }
            bytes = &bytes[1..];
        }
        Ok(bytes)
    }

    /// An integer's magnitude, big endian without leading zeros; its sign bit is read as a value bit, as
    /// some old signers forgot the zero byte in front.
    pub(crate) fn unsigned(&self, what: &str) -> Result<&'a [u8], Fault> {
        self.expect(INTEGER, what)?;
        let zeros = self.contents.iter().take_while(|byte| **byte == 0).count();
        Ok(&self.contents[zeros..])
    }

    /// A bit string's whole bytes; the bits that the last byte doesn't use are left in place.
    pub(crate) fn bits(&self, what: &str) -> Result<&'a [u8], Fault> {
        self.expect(BIT_STRING, what)?;
        match self.contents {
            [unused, bytes @ ..] if *unused < 8 => Ok(bytes),
            _ => Err(malformed(format!(
                "{what} is a bit string without its count of unused bits"
            ))),
        }
    }

    /// A bit string that holds whole bytes, as keys and signatures are written.
    pub(crate) fn bytes(&self, what: &str) -> Result<&'a [u8], Fault> {
        self.expect(BIT_STRING, what)?;
        match self.contents {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(malformed(format!(
                "{what} is a bit string that does not hold whole bytes"
            ))),
        }
    }

    /// The element written anew with definite, minimal lengths.
    pub(crate) fn to_der(self) -> Result<Vec<u8>, Fault> {
        self.to_der_at(0)
    }

    fn to_der_at(self, depth: usize) -> Result<Vec<u8>, Fault> {
        if depth > MAX_DEPTH {
            return Err(malformed(format!("more than {MAX_DEPTH} levels of nesting")));
        }
        let mut contents = Vec::with_capacity(self.contents.len());
        if self.constructed {
            let mut children = self.children();
            while let Some(child) = children.next()? {
                contents.extend(child.to_der_at(depth + 1)?);
            }
        } else {
            contents.extend_from_slice(self.contents);
        }
        Ok(write(self.class, self.constructed, self.tag, &contents))
    }
}

/// The first arc holds two: X.690 section 8.19.4.
fn push_arc(dotted: &mut String, arc: u64) {
    if dotted.is_empty() {
        let root = (arc / 40).min(2);
        *dotted = format!("{root}.{}", arc - root * 40);
    } else {
        dotted.push('.');
        dotted.push_str(&arc.to_string());
    }
}

/// One element with a definite, minimal length.
pub(crate) fn write(class: Class, constructed: bool, tag: u32, contents: &[u8]) -> Vec<u8> {
    let class_bits = match class {
        Class::Universal => 0x00,
        Class::Application => 0x40,
        Class::Context => 0x80,
        Class::Private => 0xc0,
    };
    let lead = class_bits | if constructed { 0x20 } else { 0x00 };
    let mut out = Vec::with_capacity(contents.len() + 6);
    match u8::try_from(tag) {
        Ok(tag) if tag < 0x1f => out.push(lead | tag),
        _ => {
            out.push(lead | 0x1f);
            push_base128(&mut out, tag);
        }
    }
    push_length(&mut out, contents.len());
    out.extend_from_slice(contents);
    out
}

fn push_base128(out: &mut Vec<u8>, value: u32) {
    let groups = (32 - value.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let [.., low] = (value >> (group * 7)).to_be_bytes();
        out.push(low & 0x7f | if group == 0 { 0 } else { 0x80 });
    }
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let significant = &bytes[zeros..];
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend_from_slice(significant);
        }
    }
}

/// Splits one element off the front of `bytes`.
fn read(bytes: &[u8], depth: usize) -> Result<(Element<'_>, &[u8]), Fault> {
    if depth > MAX_DEPTH {
        return Err(malformed(format!(
            "more than {MAX_DEPTH} levels of indefinite lengths"
        )));
    }
    let (&lead, rest) = bytes.split_first().ok_or_else(cut_off)?;
    let class = match lead >> 6 {
        0 => Class::Universal,
        1 => Class::Application,
        2 => Class::Context,
        _ => Class::Private,
    };
    let constructed = lead & 0x20 != 0;
    let (tag, rest) = if lead & 0x1f == 0x1f {
        read_long_tag(rest)?
    } else {
        (u32::from(lead & 0x1f), rest)
    };
    let (length, rest) = read_length(rest)?;
    let (contents, rest) = match length {
        Some(length) if length <= rest.len() => rest.split_at(length),
        Some(length) => {
            return Err(malformed(format!(
                "an element of {length} bytes where {} are left",
                rest.len()
            )));
        }
        None if constructed => read_indefinite(rest, depth)?,
        None => return Err(malformed("an indefinite length on a primitive element")),
    };
    let encoded = &bytes[..bytes.len() - rest.len()];
    Ok((
        Element {
            class,
            constructed,
            tag,
            encoded,
            contents,
        },
        rest,
    ))
}

fn cut_off() -> Fault {
    malformed("an element that is cut off")
}

fn read_long_tag(mut bytes: &[u8]) -> Result<(u32, &[u8]), Fault> {
    let mut tag: u32 = 0;
    loop {
        let (&byte, rest) = bytes.split_first().ok_or_else(cut_off)?;
        if tag > u32::MAX >> 8 {
            return Err(malformed("a tag number above 2^24"));
        }
        tag = tag << 7 | u32::from(byte & 0x7f);
        bytes = rest;
        if byte & 0x80 == 0 {
            return Ok((tag, bytes));
        }
    }
}

/// The length, or `None` for an indefinite one.
fn read_length(bytes: &[u8]) -> Result<(Option<usize>, &[u8]), Fault> {
    let (&first, rest) = bytes.split_first().ok_or_else(cut_off)?;
    if first < 0x80 {
        return Ok((Some(usize::from(first)), rest));
    }
    if first == 0x80 {
        return Ok((None, rest));
    }
    let count = usize::from(first & 0x7f);
    if count > rest.len() {
        return Err(cut_off());
    }
    let (digits, rest) = rest.split_at(count);
    let mut length: usize = 0;
    for &digit in digits {
        if length > usize::MAX >> 8 {
            return Err(malformed("a length that no file can have"));
        }
        length = length << 8 | usize::from(digit);
    }
    Ok((Some(length), rest))
}

/// The contents up to the end marker, and what follows the marker.
fn read_indefinite(bytes: &[u8], depth: usize) -> Result<(&[u8], &[u8]), Fault> {
    let mut rest = bytes;
    loop {
        if let [0, 0, after @ ..] = rest {
            return Ok((&bytes[..bytes.len() - rest.len()], after));
        }
        let (_, after) = read(rest, depth + 1)?;
        rest = after;
    }
}
