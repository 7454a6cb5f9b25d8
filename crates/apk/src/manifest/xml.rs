//! Binary XML: elements and their attributes, in document order.
//!
//! Read as `ResXMLTree` and `ResXMLParser` of AOSP's `ResourceTypes.cpp` do. What they skip and another reader
//! doesn't, or what two of Android's own readers understand differently, is an error.

use super::chunk::{self, Chunk};
use super::known::{Attribute, ELEMENTS, PARTS};
use super::lookup::wrong_type;
use super::strings::{NONE, Strings};
use super::value::{
    TYPE_DECIMAL, TYPE_DYNAMIC_REFERENCE, TYPE_NULL, TYPE_REFERENCE, TYPE_STRING, VALUE_BYTES, Value,
};
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule};

/// Line number and comment follow the chunk header.
const NODE_HEADER_BYTES: usize = 16;
const NAMESPACE_BYTES: usize = 8;
const END_ELEMENT_BYTES: usize = 8;
const TEXT_BYTES: usize = 12;
const ELEMENT_BYTES: usize = 20;
const ATTRIBUTE_BYTES: usize = 12 + VALUE_BYTES;
/// Where an attribute has the type of its value.
const VALUE_TYPE: usize = 15;
/// Fewer bytes than these are no chunk.
const CHUNK_BYTES: usize = 8;
const PLACE: &str = "AndroidManifest.xml";
pub(crate) const ANDROID_NAMESPACE: &str = "http://schemas.android.com/apk/res/android";

/// A document, its string pool and resource map read.
pub(crate) struct Document<'a> {
    strings: Strings<'a>,
    /// The resource id of each attribute name, four bytes each.
    resource_map: &'a [u8],
    /// From the first node to the end.
    nodes: &'a [u8],
    /// Whether some element never ends. Android does not mind.
    unclosed: bool,
}

/// What an attribute says as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spelled {
    Missing,
    Empty,
    /// The text; empty for what is given without one, such as a number.
    Given(String),
}

/// The start or the end of an element.
pub(crate) enum Event<'d> {
    Start(Element<'d>),
    /// With how many elements contain it.
    End(usize),
}

/// The start of an element. Its attributes are decoded when they are asked for: a hostile document may
/// have a million, all naming one long string.
pub(crate) struct Element<'d> {
    /// How many elements contain it: 0 for the root.
    pub(crate) depth: usize,
    /// Whether it is known what contains it: not where an element before it never ends.
    pub(crate) certain: bool,
    /// Its name; empty when nothing is read from an element of that name.
    pub(crate) name: String,
    strings: &'d Strings<'d>,
    resource_map: &'d [u8],
    attributes: &'d [u8],
    attribute_size: usize,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let root = Chunk::first(bytes, PLACE)?;
        if root.kind != chunk::XML {
            let detail = format!("starts with chunk {:#06x}: not binary XML", root.kind);
            return Err(malformed(&detail));
        }
        let (mut strings, mut resource_map, mut nodes) = (None, None, root.body);
        while !nodes.is_empty() {
            let part = part(nodes)?;
            match part.kind {
                chunk::STRING_POOL if strings.is_some() => return Err(malformed("two string pools")),
                chunk::STRING_POOL => strings = Some(Strings::parse(&part, PLACE)?),
                chunk::RESOURCE_MAP if resource_map.is_some() => {
                    return Err(malformed("two maps of resource ids"));
                }
                chunk::RESOURCE_MAP => resource_map = Some(part.body),
                kind if chunk::NODES.contains(&kind) => break,
                _ => {}
            }
            nodes = &nodes[part.whole.len()..];
        }
        let mut document = Self {
            strings: strings.ok_or_else(|| malformed("no string pool before the first element"))?,
            resource_map: resource_map.unwrap_or_default(),
            nodes,
            unclosed: false,
        };
        document.unclosed = document.check_nodes()?;
        Ok(document)
    }

    /// Whether some element never ends. What Android looks for before the first node counts nowhere else.
    fn check_nodes(&mut self) -> Result<bool, Error> {
        let (mut rest, mut open, mut started) = (self.nodes, 0_usize, false);
        while !rest.is_empty() {
            // Behind the end of the root nobody looks for a chunk in what is too short for one.
            if started && open == 0 && rest.len() < CHUNK_BYTES {
                self.nodes = &self.nodes[..self.nodes.len() - rest.len()];
                break;
            }
            let node = part(rest)?;
            if matches!(node.kind, chunk::STRING_POOL | chunk::RESOURCE_MAP) {
                let detail = "a string pool or a map of resource ids behind the first element, where devices \
                              don't look";
                return Err(Error::manifest(Rule::TwoReadings, PLACE, detail));
            }
            check_node(&node)?;
            match node.kind {
                chunk::START_ELEMENT => (open, started) = (open + 1, true),
                chunk::END_ELEMENT => {
                    open = open
                        .checked_sub(1)
                        .ok_or_else(|| malformed("an element ends that never started"))?;
                }
                _ => {}
            }
            rest = &rest[node.whole.len()..];
        }
        Ok(open > 0)
    }

    /// Hands over the start and the end of each element in order; stops at the first error.
    ///
    /// Where some element never ends, nobody can say what contains what: all but the root count as 1 deep.
    pub(crate) fn walk(&self, mut take: impl FnMut(Event<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let (mut rest, mut open) = (self.nodes, 0_usize);
        while !rest.is_empty() {
            let node = part(rest)?;
            match node.kind {
                chunk::START_ELEMENT => {
                    let mut element = self.element(&node, open)?;
                    if self.unclosed {
                        element.certain = open < 2;
                        element.depth = open.min(1);
                    }
                    take(Event::Start(element))?;
                    open += 1;
                }
                chunk::END_ELEMENT => {
                    open = open.saturating_sub(1);
                    if !self.unclosed {
                        take(Event::End(open))?;
                    }
                }
                _ => {}
            }
            rest = &rest[node.whole.len()..];
        }
        Ok(())
    }

    /// Whether some element never ends.
    pub(crate) fn is_unclosed(&self) -> bool {
        self.unclosed
    }

    fn element<'d>(&'d self, node: &Chunk<'d>, depth: usize) -> Result<Element<'d>, Error> {
        let body = node.body;
        if body.len() < ELEMENT_BYTES {
            return Err(malformed("an element is cut off"));
        }
        let name = self.strings.name(u32_at(body, 4), PLACE)?;
        let known = ELEMENTS.contains(&name.as_str());
        let name = if known || PARTS.contains(&name.as_str()) {
            name
        } else {
            String::new()
        };
        if u32_at(body, 0) != NONE && known {
            let detail =
                "in a namespace: to devices it is the element of that name, to build tools it is not";
            return Err(Error::manifest(Rule::TwoReadings, format!("<{name}>"), detail));
        }
        let (start, size) = (usize::from(u16_at(body, 8)), usize::from(u16_at(body, 10)));
        let count = usize::from(u16_at(body, 12));
        if count > 0 && size < ATTRIBUTE_BYTES {
            return Err(malformed("an element's attributes are too short"));
        }
        let attributes = body
            .get(start..)
            .and_then(|rest| rest.get(..count.checked_mul(size)?));
        let attributes = attributes.ok_or_else(|| malformed("an element's attributes reach beyond it"))?;
        Ok(Element {
            depth,
            certain: true,
            name,
            strings: &self.strings,
            resource_map: self.resource_map,
            attributes,
            attribute_size: size.max(1),
        })
    }
}

impl Element<'_> {
    /// The value of an attribute of the namespace `android`. Devices find it by the resource id of its name, in
    /// the order of ids, and some of it by name and namespace before that. A name of another id would be read as
    /// both; an id without its name is common, because some tools leave names out.
    pub(crate) fn get(&self, wanted: Attribute) -> Result<Option<Value>, Error> {
        let (mut found, mut highest) = (None, 0);
        for attribute in self.attributes.chunks_exact(self.attribute_size) {
            let name = u32_at(attribute, 4);
            let id = self.resource_id(name);
            if id == wanted.id {
                if found.is_some() {
                    return Err(twice(wanted.name));
                }
                if id < highest {
                    let detail = "stands behind an attribute of a higher id, where devices don't look for it";
                    return Err(Error::manifest(Rule::TwoReadings, wanted.name, detail));
                }
                let value = Value::parse(&attribute[12..], self.strings, wanted.name)?;
                self.check_spelling(u32_at(attribute, 8), &value, wanted.name)?;
                found = Some(value);
            } else if self.strings.is(name, wanted.name)
                && self.strings.is(u32_at(attribute, 0), ANDROID_NAMESPACE)
            {
                let detail = format!("an attribute of this name has the resource id {id:#010x}");
                return Err(Error::manifest(Rule::TwoReadings, wanted.name, detail));
            }
            highest = highest.max(id);
        }
        Ok(found.filter(|value| *value != Value::Absent))
    }

    /// A text that is spelled otherwise than its value says is another one to tools that take the spelling.
    fn check_spelling(&self, spelled: u32, value: &Value, name: &str) -> Result<(), Error> {
        match value {
            Value::Text(text) if spelled != NONE && !self.strings.is(spelled, text) => {
                Err(spelled_otherwise(value, name))
            }
            _ => Ok(()),
        }
    }

    /// The same for a level of the SDK, which Android also reads as it is spelled, and which nobody reads from
    /// nothing in the same way.
    pub(crate) fn level(&self, wanted: Attribute) -> Result<Option<Value>, Error> {
        let given = self.by_id(wanted);
        let value = match (given, self.named(wanted)?) {
            (Some(_), None) => return Err(wrong_type(wanted.name, &Value::Absent, "an SDK level")),
            (_, value) => value,
        };
        if let (Some(value), Some(attribute)) = (&value, given) {
            self.check_level(attribute, value, wanted.name)?;
        }
        Ok(value)
    }

    /// A number that is not spelled is spelled by the first look at a file itself: one that is no decimal comes out
    /// as `0x18` or `#18`, which is no number, and so a codename.
    fn check_level(&self, attribute: &[u8], value: &Value, name: &str) -> Result<(), Error> {
        let spelled = u32_at(attribute, 8);
        if spelled == NONE {
            let decimal = attribute[VALUE_TYPE] == TYPE_DECIMAL;
            return match value {
                Value::Integer(number) if !decimal => {
                    let detail =
                        format!("{number} as a hexadecimal or a colour, which devices take for a codename");
                    Err(Error::manifest(Rule::AttributeType, name, detail))
                }
                _ => Ok(()),
            };
        }
        let same = match value {
            Value::Integer(number) => self.strings.name(spelled, name)?.parse() == Ok(*number),
            value => value.text().is_some_and(|text| self.strings.is(spelled, &text)),
        };
        if same {
            Ok(())
        } else {
            Err(spelled_otherwise(value, name))
        }
    }

    /// An attribute that the first look at a file finds by namespace and name, and what installs by the id: it needs
    /// both to be one.
    pub(crate) fn named(&self, wanted: Attribute) -> Result<Option<Value>, Error> {
        let value = self.get(wanted)?;
        if value.is_some() && self.by_name(wanted).is_none() {
            let detail = "has the id and not the name: devices find it in one pass and not in the other";
            return Err(Error::manifest(Rule::TwoReadings, wanted.name, detail));
        }
        Ok(value)
    }

    /// A number as both passes read it: the first one takes a reference for 0, and compares that with the build
    /// that is installed.
    pub(crate) fn number(&self, wanted: Attribute) -> Result<Option<Value>, Error> {
        let value = self.named(wanted)?;
        if let Some(Value::Reference(_)) = &value {
            let detail =
                "given by reference: devices compare 0 with the installed build and then read the resource";
            return Err(Error::manifest(Rule::TwoReadings, wanted.name, detail));
        }
        Ok(value)
    }

    /// How an attribute is spelled for those who look for it by namespace and name. Source:
    /// `XmlBlock.Parser.getAttributeValue` and `TypedValue.coerceToString` of AOSP.
    pub(crate) fn spelled(&self, wanted: Attribute) -> Spelled {
        let Some(attribute) = self.by_name(wanted) else {
            return Spelled::Missing;
        };
        let (raw, kind, data) = (u32_at(attribute, 8), attribute[VALUE_TYPE], u32_at(attribute, 16));
        let index = match (raw, kind) {
            (NONE, TYPE_STRING) => data,
            (NONE, TYPE_NULL) => return Spelled::Missing,
            (NONE, _) => return Spelled::Given(String::new()),
            (raw, _) => raw,
        };
        match self.strings.get(index, wanted.name) {
            Ok(Some(text)) if text.is_empty() => Spelled::Empty,
            Ok(Some(text)) => Spelled::Given(text),
            Ok(None) | Err(_) => Spelled::Missing,
        }
    }

    /// Whether an attribute is there and says something, be it a resource.
    pub(crate) fn is_given(&self, wanted: Attribute) -> bool {
        self.typed(wanted)
            .is_some_and(|(kind, data)| kind != TYPE_NULL && !(is_reference(kind) && data == 0))
    }

    /// Whether an attribute is a reference to some resource.
    pub(crate) fn is_reference(&self, wanted: Attribute) -> bool {
        self.typed(wanted)
            .is_some_and(|(kind, data)| is_reference(kind) && data != 0)
    }

    /// Type and data of an attribute, by its id.
    fn typed(&self, wanted: Attribute) -> Option<(u8, u32)> {
        let found = self.by_id(wanted)?;
        Some((found[VALUE_TYPE], u32_at(found, 16)))
    }

    /// The first attribute of this id.
    fn by_id(&self, wanted: Attribute) -> Option<&[u8]> {
        let mut all = self.attributes.chunks_exact(self.attribute_size);
        all.find(|attribute| self.resource_id(u32_at(attribute, 4)) == wanted.id)
    }

    /// The first attribute of this name in the namespace `android`.
    fn by_name(&self, wanted: Attribute) -> Option<&[u8]> {
        let mut all = self.attributes.chunks_exact(self.attribute_size);
        all.find(|attribute| {
            self.strings.is(u32_at(attribute, 4), wanted.name)
                && self.strings.is(u32_at(attribute, 0), ANDROID_NAMESPACE)
        })
    }

    /// The text of the attribute without namespace that has this name. Android takes it as it is spelled, the
    /// build tools by its type: both must be there, and the same.
    pub(crate) fn plain(&self, name: &str) -> Result<Option<String>, Error> {
        let mut found = None;
        for attribute in self.attributes.chunks_exact(self.attribute_size) {
            if u32_at(attribute, 0) != NONE || !self.strings.is(u32_at(attribute, 4), name) {
                continue;
            }
            if found.is_some() {
                return Err(twice(name));
            }
            let spelled = self.strings.get(u32_at(attribute, 8), name)?;
            let typed = Value::parse(&attribute[12..], self.strings, name)?;
            found = match (spelled, typed) {
                (None, Value::Absent) => None,
                (Some(spelled), Value::Text(typed)) if spelled == typed => Some(typed),
                (_, typed) => {
                    return Err(spelled_otherwise(&typed, name));
                }
            };
        }
        Ok(found)
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

/// Of a resource, with its id or with one that is found out when the app is loaded.
fn is_reference(kind: u8) -> bool {
    matches!(kind, TYPE_REFERENCE | TYPE_DYNAMIC_REFERENCE)
}

/// The first chunk of `bytes`. All that belong to a document have lengths of whole words.
fn part(bytes: &[u8]) -> Result<Chunk<'_>, Error> {
    let part = Chunk::first(bytes, PLACE)?;
    if (part.header.len() | part.whole.len()).is_multiple_of(4) {
        return Ok(part);
    }
    Err(malformed("a chunk that is no whole number of words long"))
}

/// What Android asks of every node, skipped or not.
fn check_node(node: &Chunk<'_>) -> Result<(), Error> {
    node.header_of(NODE_HEADER_BYTES, PLACE)?;
    let least = match node.kind {
        chunk::START_NAMESPACE | chunk::END_NAMESPACE => NAMESPACE_BYTES,
        chunk::START_ELEMENT => ELEMENT_BYTES,
        chunk::END_ELEMENT => END_ELEMENT_BYTES,
        chunk::TEXT => TEXT_BYTES,
        _ => 0,
    };
    if node.body.len() < least {
        return Err(malformed("a node is cut off"));
    }
    Ok(())
}

fn spelled_otherwise(value: &Value, name: &str) -> Error {
    let detail = format!("{} by type and something else as it is spelled", value.kind());
    Error::manifest(Rule::TwoReadings, name, detail)
}

fn twice(name: &str) -> Error {
    Error::manifest(Rule::MalformedXml, name, "the attribute is given twice")
}

fn malformed(detail: &str) -> Error {
    Error::manifest(Rule::MalformedXml, PLACE, detail)
}
