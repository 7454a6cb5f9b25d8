//! The text format of manifests and signature files: a main section, then sections named by their first
//! attribute, separated by empty lines.
//!
//! Nothing is parsed into maps: a section is a range of bytes and a name, and an attribute is looked up in
//! the text. A hostile file of millions of tiny attributes so costs no more memory than its own size.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::{Error, Rule};

/// Sections of one file: more than an archive without ZIP64 can have entries.
const MAX_SECTIONS: usize = 1 << 17;

/// A manifest or signature file.
pub(super) struct Manifest {
    bytes: Vec<u8>,
    main: Range<usize>,
    sections: Vec<Section>,
}

/// A section after the main one.
pub(super) struct Section {
    /// The value of the `Name` attribute when it is the first one.
    pub(super) name: Option<String>,
    range: Range<usize>,
}

/// The sections of a manifest by the entry they are about.
pub(super) type Sections<'a> = HashMap<&'a str, &'a Section>;

impl Manifest {
    pub(super) fn parse(bytes: Vec<u8>, file: &str) -> Result<Self, Error> {
        let mut main = None;
        let mut sections = Vec::new();
        let mut position = 0;
        while let Some(range) = next_section(&bytes, position) {
            position = range.end;
            if main.is_none() {
                main = Some(range);
                continue;
            }
            if sections.len() == MAX_SECTIONS {
                let detail = format!("more than {MAX_SECTIONS} sections");
                return Err(Error::signature(Rule::JarMalformed, file, detail));
            }
            let name = first_attribute(&bytes[range.clone()])
                .filter(|(name, _)| name.eq_ignore_ascii_case(b"Name"))
                .map(|(_, value)| String::from_utf8_lossy(&value).into_owned());
            sections.push(Section { name, range });
        }
        Ok(Self {
            bytes,
            main: main.unwrap_or(0..0),
            sections,
        })
    }

    /// The file as it is.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The main section as it is, with the empty line that ends it.
    pub(super) fn main(&self) -> &[u8] {
        &self.bytes[self.main.clone()]
    }

    /// A section as it is, with the empty line that ends it.
    pub(super) fn text(&self, section: &Section) -> &[u8] {
        &self.bytes[section.range.clone()]
    }

    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The sections by entry name, which must be unique and name entries of the archive.
    pub(super) fn by_entry(&self, names: &[&str]) -> Result<Sections<'_>, Error> {
        let known: HashSet<&str> = names.iter().copied().collect();
        let mut sections = HashMap::with_capacity(self.sections.len());
        for (index, section) in self.sections.iter().enumerate() {
            let Some(name) = section.name.as_deref() else {
                let detail = format!("section {} does not name an entry", index + 1);
                return Err(Error::signature(Rule::JarManifest, super::MANIFEST, detail));
            };
            if sections.insert(name, section).is_some() {
                let detail = "more than one section of META-INF/MANIFEST.MF is about it";
                return Err(Error::signature(Rule::JarManifest, name, detail));
            }
            if !known.contains(name) {
                let detail = "META-INF/MANIFEST.MF names it and it is not in the archive";
                return Err(Error::signature(Rule::JarMissingEntry, name, detail));
            }
        }
        Ok(sections)
    }
}

/// The value of an attribute in a section's text; the first one counts, the name's case does not.
pub(super) fn attribute<'a>(section: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut lines = LogicalLines { rest: section };
    lines.find_map(|line| {
        let (found, value) = split_attribute(line);
        found
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| into_text(value))
    })
}

fn into_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn first_attribute(section: &[u8]) -> Option<Attribute<'_>> {
    LogicalLines { rest: section }.next().map(split_attribute)
}

/// Name and value.
type Attribute<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Name and value are separated by a colon and exactly one space: obfuscators rely on every other space
/// being part of the name or the value.
fn split_attribute(line: Cow<'_, [u8]>) -> Attribute<'_> {
    let at = line.windows(2).position(|pair| pair == b": ");
    match (line, at) {
        (line, None) => (line, Cow::Borrowed(&[])),
        (Cow::Borrowed(line), Some(at)) => (Cow::Borrowed(&line[..at]), Cow::Borrowed(&line[at + 2..])),
        (Cow::Owned(line), Some(at)) => (
            Cow::Owned(line[..at].to_vec()),
            Cow::Owned(line[at + 2..].to_vec()),
        ),
    }
}

/// Lines with their continuations joined; an empty one ends the section.
struct LogicalLines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LogicalLines<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, mut rest) = split_line(self.rest)?;
        if first.is_empty() {
            return None;
        }
        let mut line = Cow::Borrowed(first);
        while let Some(([b' ', more @ ..], after)) = split_line(rest) {
            line.to_mut().extend_from_slice(more);
            rest = after;
        }
        self.rest = rest;
        Some(line)
    }
}

/// The next section from `position` on: from the first line that isn't empty to after the next that is.
fn next_section(bytes: &[u8], position: usize) -> Option<Range<usize>> {
    let mut rest = &bytes[position..];
    let mut start = None;
    while let Some((line, after)) = split_line(rest) {
        let offset = bytes.len() - rest.len();
        rest = after;
        match (start, line.is_empty()) {
            (None, false) => start = Some(offset),
            (Some(start), true) => return Some(start..bytes.len() - rest.len()),
            _ => {}
        }
    }
    start.map(|start| start..bytes.len())
}

/// The next line without its end (CR, LF or both), and what follows; `None` at the end of the text.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let Some(end) = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Some((text, &[]));
    };
    let skip = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
    Some((&text[..end], &text[end + skip..]))
}
