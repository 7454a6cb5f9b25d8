//! Binary XML: elements and their attributes, in document order.

use super::chunk::{self, Chunk};
use super::strings::Strings;
use super::value::{VALUE_BYTES, Value};
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule};

/// Line number and comment follow the chunk header.
const NODE_HEADER_BYTES: usize = 16;
const ELEMENT_BYTES: usize = 20;
const ATTRIBUTE_BYTES: usize = 12 + VALUE_BYTES;
const PLACE: &str = "AndroidManifest.xml";

/// A document, its string pool and resource map read.
pub(crate) struct Document<'a> {
    strings: Strings<'a>,
    /// The resource id of each attribute name, four bytes each.
    resource_map: &'a [u8],
    body: &'a [u8],
}

/// The start of an element. Its attributes are decoded when they are asked for: a hostile document may
/// have a million, all naming one long string.
pub(crate) struct Element<'a> {
    /// How many elements contain it: 0 for the root.
    pub(crate) depth: usize,
    /// Its name; empty when it is in a namespace, because nothing that matters here is.
    pub(crate) name: String,
    document: &'a Document<'a>,
    attributes: &'a [u8],
    attribute_size: usize,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let root = Chunk::first(bytes, PLACE)?;
        if root.kind != chunk::XML {
            let detail = format!("starts with chunk {:#06x}: not binary XML", root.kind);
            return Err(Error::manifest(Rule::MalformedXml, PLACE, detail));
        }
        let mut document = Self {
            strings: Strings::default(),
            resource_map: &[],
            body: root.body,
        };
        let mut pools = 0;
        for part in chunk::all(root.body, PLACE) {
            let part = part?;
            match part.kind {
                chunk::STRING_POOL => {
                    document.strings = Strings::parse(&part, PLACE)?;
                    pools += 1;
                }
                chunk::RESOURCE_MAP => document.resource_map = part.body,
                _ => {}
            }
        }
        if pools == 1 {
            return Ok(document);
        }
        Err(Error::manifest(
            Rule::MalformedXml,
            PLACE,
            format!("{pools} string pools instead of one"),
        ))
    }

    /// Hands over each element that lies at most `depth` deep; stops at the first error.
    pub(crate) fn elements(
        &self,
        depth: usize,
        mut take: impl FnMut(&Element<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut open = 0_usize;
        for part in chunk::all(self.body, PLACE) {
            let part = part?;
            match part.kind {
                chunk::START_ELEMENT => {
                    if open <= depth {
                        take(&self.element(&part, open)?)?;
                    }
                    open += 1;
                }
                chunk::END_ELEMENT => {
                    open = open
                        .checked_sub(1)
                        .ok_or_else(|| malformed("an element ends that never started"))?;
                }
                _ => {}
            }
        }
        if open == 0 {
            Ok(())
        } else {
            Err(malformed(&format!("{open} elements never end")))
        }
    }

    fn element<'b>(&'b self, part: &Chunk<'b>, depth: usize) -> Result<Element<'b>, Error> {
        part.header_of(NODE_HEADER_BYTES, PLACE)?;
        let body = part.body;
        if body.len() < ELEMENT_BYTES {
            return Err(malformed("an element is cut off"));
        }
        let namespaced = u32_at(body, 0) != u32::MAX;
        let name = if namespaced {
            None
        } else {
            self.strings.short(u32_at(body, 4), PLACE)?
        };
        let (start, size) = (usize::from(u16_at(body, 8)), usize::from(u16_at(body, 10)));
        let count = usize::from(u16_at(body, 12));
        if count > 0 && size < ATTRIBUTE_BYTES {
            return Err(malformed("an element's attributes are too short"));
        }
        let attributes = body
            .get(start..)
            .and_then(|rest| rest.get(..count.checked_mul(size)?));
        let attributes = attributes.ok_or_else(|| malformed("an element's attributes reach beyond it"))?;
        let name = name.unwrap_or_default();
        Ok(Element {
            depth,
            name,
            document: self,
            attributes,
            attribute_size: size.max(1),
        })
    }

    /// The resource id of the attribute name at `index`; 0 when it has none.
    fn resource_id(&self, index: u32) -> u32 {
        let at = usize::try_from(index).ok().and_then(|index| index.checked_mul(4));
        let id = at
            .and_then(|at| self.resource_map.get(at..))
            .filter(|rest| rest.len() >= 4);
        id.map_or(0, |id| u32_at(id, 0))
    }
}

impl Element<'_> {
    /// The value of the attribute whose name has this resource id. Two of them are refused: which one
    /// counts would depend on the reader.
    pub(crate) fn by_id(&self, id: u32, name: &str) -> Result<Option<Value>, Error> {
        self.only(name, |attribute| {
            Ok(self.document.resource_id(u32_at(attribute, 4)) == id)
        })
    }

    /// The value of the attribute without namespace that has this name.
    pub(crate) fn by_name(&self, name: &str) -> Result<Option<Value>, Error> {
        self.only(name, |attribute| {
            let namespaced = u32_at(attribute, 0) != u32::MAX;
            let found = || self.document.strings.short(u32_at(attribute, 4), PLACE);
            Ok(!namespaced && found()?.as_deref() == Some(name))
        })
    }

    fn only(
        &self,
        name: &str,
        wanted: impl Fn(&[u8]) -> Result<bool, Error>,
    ) -> Result<Option<Value>, Error> {
        let mut found = None;
        for attribute in self.attributes.chunks_exact(self.attribute_size) {
            if !wanted(attribute)? {
                continue;
            }
            if found.is_some() {
                return Err(Error::manifest(
                    Rule::MalformedXml,
                    name,
                    "the attribute is given twice",
                ));
            }
            found = Some(Value::parse(&attribute[12..], &self.document.strings, name)?);
        }
        Ok(found.filter(|value| *value != Value::Absent))
    }
}

fn malformed(detail: &str) -> Error {
    Error::manifest(Rule::MalformedXml, PLACE, detail)
}
