//! Writes resource chunks: binary XML and a small resource table.

use crate::manifest::chunk::{
    END_ELEMENT, END_NAMESPACE, PACKAGE, RESOURCE_MAP, START_ELEMENT, START_NAMESPACE, STRING_POOL, TABLE,
    TYPE, XML,
};

const TYPE_SPEC: u16 = 0x0202;
const FLAG_UTF8: u32 = 1 << 8;
const NONE: u32 = u32::MAX;
const ANDROID_NAMESPACE: &str = "http://schemas.android.com/apk/res/android";

/// An attribute's value, or a resource's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XmlValue {
    /// A decimal number.
    Integer(i32),
    /// A truth.
    Boolean(bool),
    /// A text.
    Text(String),
    /// A resource, by its id.
    Reference(u32),
    /// Whatever a type and 32 bits stand for.
    Typed(u8, u32),
}

/// What an attribute says of itself as text, beside its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Spelling {
    /// A text as it is, and nothing for other values: what the build tools write.
    #[default]
    AsValue,
    /// Nothing.
    Nothing,
    /// This.
    As(String),
}

/// An attribute of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlAttribute {
    /// The resource id of its name; 0 for none.
    pub id: u32,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: XmlValue,
    /// How the value is spelled.
    pub spelling: Spelling,
    /// The size that the value gives of itself, in bytes.
    pub value_size: u16,
}

/// An element with its attributes and children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlElement {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<XmlAttribute>,
    /// What it contains.
    pub children: Vec<XmlElement>,
    /// Whether attributes are put into the order of their ids, as devices need it.
    pub in_order: bool,
    /// Whether its end is written.
    pub ended: bool,
}

impl XmlAttribute {
    /// An attribute of the namespace `android`, by the resource id of its name.
    #[must_use]
    pub fn android(id: u32, name: &str, value: XmlValue) -> Self {
        Self {
            namespace: Some(ANDROID_NAMESPACE.to_owned()),
            ..Self::plain(name, value)
        }
        .with_id(id)
    }

    /// An attribute without namespace.
    #[must_use]
    pub fn plain(name: &str, value: XmlValue) -> Self {
        Self {
            id: 0,
            namespace: None,
            name: name.to_owned(),
            value,
            spelling: Spelling::AsValue,
            value_size: 8,
        }
    }

    fn with_id(mut self, id: u32) -> Self {
        self.id = id;
        self
    }
}

impl XmlElement {
    /// An element without namespace, attributes and children.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            namespace: None,
            name: name.to_owned(),
            attributes: Vec::new(),
            children: Vec::new(),
            in_order: true,
            ended: true,
        }
    }

    /// With another attribute.
    #[must_use]
    pub fn with(mut self, attribute: XmlAttribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// With another child.
    #[must_use]
    pub fn containing(mut self, child: XmlElement) -> Self {
        self.children.push(child);
        self
    }

    /// The first child of this name.
    pub fn child(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// The first attribute of this name.
    pub fn attribute(&mut self, name: &str) -> Option<&mut XmlAttribute> {
        self.attributes
            .iter_mut()
            .find(|attribute| attribute.name == name)
    }
}

/// A document in binary XML, its strings in UTF-8 or UTF-16.
pub(super) fn document(root: &XmlElement, utf8: bool) -> Vec<u8> {
    let mut names = Vec::new();
    attribute_names(root, &mut names);
    // Names with ids come first: the resource map runs parallel to the start of the pool.
    names.sort_unstable();
    names.dedup();
    let mut strings = Strings {
        utf8,
        texts: names.iter().map(|(_, name)| name.clone()).collect(),
    };
    let map: Vec<u8> = names.iter().flat_map(|(id, _)| id.to_le_bytes()).collect();

    let (prefix, uri) = (strings.index("android"), strings.index(ANDROID_NAMESPACE));
    let namespace: Vec<u8> = [prefix, uri].into_iter().flat_map(u32::to_le_bytes).collect();
    let mut nodes = node(START_NAMESPACE, &namespace);
    element(root, &names, &mut strings, &mut nodes);
    nodes.extend(node(END_NAMESPACE, &namespace));
    chunk(
        XML,
        &[],
        &[strings.pool(), chunk(RESOURCE_MAP, &[], &map), nodes].concat(),
    )
}

fn attribute_names(element: &XmlElement, names: &mut Vec<(u32, String)>) {
    let with_ids = element.attributes.iter().filter(|attribute| attribute.id != 0);
    names.extend(with_ids.map(|attribute| (attribute.id, attribute.name.clone())));
    element
        .children
        .iter()
        .for_each(|child| attribute_names(child, names));
}

fn element(element_: &XmlElement, names: &[(u32, String)], strings: &mut Strings, nodes: &mut Vec<u8>) {
    let (space, name) = (
        strings.optional(element_.namespace.as_deref()),
        strings.index(&element_.name),
    );
    let mut attributes: Vec<&XmlAttribute> = element_.attributes.iter().collect();
    if element_.in_order {
        // Android finds attributes by walking two sorted lists of ids.
        attributes.sort_by_key(|attribute| if attribute.id == 0 { NONE } else { attribute.id });
    }
    let mut body = Vec::new();
    put32(&mut body, &[space, name]);
    put16(&mut body, &[20, 20, to16(attributes.len()), 0, 0, 0]);
    for attribute in attributes {
        let namespace = strings.optional(attribute.namespace.as_deref());
        let known = names
            .iter()
            .position(|(id, name)| (*id, name) == (attribute.id, &attribute.name));
        let index = known.map_or_else(|| strings.index(&attribute.name), to32);
        let spelled = match (&attribute.spelling, &attribute.value) {
            (Spelling::As(text), _) | (Spelling::AsValue, XmlValue::Text(text)) => strings.index(text),
            _ => NONE,
        };
        put32(&mut body, &[namespace, index, spelled]);
        let value = typed(&attribute.value, strings);
        put16(&mut body, &[attribute.value_size]);
        body.extend_from_slice(&value[2..]);
    }
    nodes.extend(node(START_ELEMENT, &body));
    element_
        .children
        .iter()
        .for_each(|child| element(child, names, strings, nodes));
    if element_.ended {
        let mut end = Vec::new();
        put32(&mut end, &[space, name]);
        nodes.extend(node(END_ELEMENT, &end));
    }
}

/// A resource table of package 0x7f: resource `0x7f01_0000 + n` has `resources[n]`, its first value in the
/// default configuration and each further one in a language of its own.
pub(super) fn table(package: &str, resources: &[Vec<XmlValue>], utf8: bool) -> Vec<u8> {
    let mut strings = Strings {
        utf8,
        texts: Vec::new(),
    };
    let mut keys = Strings {
        utf8,
        texts: (0..resources.len())
            .map(|number| format!("value{number}"))
            .collect(),
    };
    let count = to32(resources.len());
    let configurations = resources.iter().map(Vec::len).max().unwrap_or_default();
    let mut chunks = type_spec(resources.len());
    for configuration in 0..configurations {
        let values = resources.iter().map(|values| values.get(configuration));
        chunks.extend(type_chunk(configuration, values, &mut strings, &mut keys));
    }
    let types = Strings {
        utf8,
        texts: vec!["value".to_owned()],
    }
    .pool();

    let mut header = Vec::new();
    put32(&mut header, &[0x7f]);
    let name = package.encode_utf16().take(127);
    header.extend(name.flat_map(u16::to_le_bytes));
    header.resize(4 + 256, 0);
    let header_len = to32(8 + header.len() + 20);
    put32(
        &mut header,
        &[header_len, 1, header_len + to32(types.len()), count, 0],
    );
    let package = chunk(PACKAGE, &header, &[types, keys.pool(), chunks].concat());
    chunk(TABLE, &1_u32.to_le_bytes(), &[strings.pool(), package].concat())
}

fn type_spec(count: usize) -> Vec<u8> {
    let mut spec = vec![1, 0, 0, 0];
    put32(&mut spec, &[to32(count)]);
    chunk(TYPE_SPEC, &spec, &vec![0; count * 4])
}

/// The values of one configuration.
fn type_chunk<'v>(
    configuration: usize,
    values: impl Iterator<Item = Option<&'v XmlValue>>,
    strings: &mut Strings,
    keys: &mut Strings,
) -> Vec<u8> {
    const CONFIG_BYTES: usize = 64;
    /// Where a configuration has its language.
    const LANGUAGE_AT: usize = 8;
    let (mut offsets, mut entries) = (Vec::new(), Vec::new());
    for (number, value) in values.enumerate() {
        let Some(value) = value else {
            put32(&mut offsets, &[NONE]);
            continue;
        };
        put32(&mut offsets, &[to32(entries.len())]);
        put16(&mut entries, &[8, 0]);
        put32(&mut entries, &[keys.index(&format!("value{number}"))]);
        entries.extend(typed(value, strings));
    }
    let mut header = vec![1, 0, 0, 0];
    let count = to32(offsets.len() / 4);
    put32(&mut header, &[count, to32(8 + 12 + CONFIG_BYTES + offsets.len())]);
    put32(&mut header, &[to32(CONFIG_BYTES)]);
    header.resize(12 + CONFIG_BYTES, 0);
    if configuration > 0 {
        let letter = u8::try_from(configuration % 26).unwrap_or_default();
        header[12 + LANGUAGE_AT..][..2].copy_from_slice(&[b'a', b'a' + letter]);
    }
    chunk(TYPE, &header, &[offsets, entries].concat())
}

fn typed(value: &XmlValue, strings: &mut Strings) -> Vec<u8> {
    let (kind, data) = match value {
        XmlValue::Reference(id) => (0x01, *id),
        XmlValue::Text(text) => (0x03, strings.index(text)),
        XmlValue::Integer(number) => (0x10, number.cast_unsigned()),
        XmlValue::Boolean(yes) => (0x12, if *yes { NONE } else { 0 }),
        XmlValue::Typed(kind, data) => (*kind, *data),
    };
    let mut bytes = vec![8, 0, 0, kind];
    put32(&mut bytes, &[data]);
    bytes
}

/// A string pool being filled.
struct Strings {
    utf8: bool,
    texts: Vec<String>,
}

impl Strings {
    fn optional(&mut self, text: Option<&str>) -> u32 {
        text.map_or(NONE, |text| self.index(text))
    }

    fn index(&mut self, text: &str) -> u32 {
        let found = self.texts.iter().position(|known| known == text);
        to32(found.unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        }))
    }

    fn pool(&self) -> Vec<u8> {
        let (mut offsets, mut data) = (Vec::new(), Vec::new());
        for text in &self.texts {
            put32(&mut offsets, &[to32(data.len())]);
            if self.utf8 {
                self.put_utf8(text, &mut data);
            } else {
                self.put_utf16(text, &mut data);
            }
        }
        data.resize(data.len().next_multiple_of(4), 0);
        let flags = if self.utf8 { FLAG_UTF8 } else { 0 };
        let mut header = Vec::new();
        put32(
            &mut header,
            &[to32(self.texts.len()), 0, flags, to32(28 + offsets.len()), 0],
        );
        chunk(STRING_POOL, &header, &[offsets, data].concat())
    }

    fn put_utf8(&self, text: &str, data: &mut Vec<u8>) {
        for len in [text.encode_utf16().count(), text.len()] {
            let [high, low] = to16(len).to_be_bytes();
            if len > 0x7f {
                data.push(high | 0x80);
            }
            data.push(low);
        }
        data.extend_from_slice(text.as_bytes());
        data.push(0);
    }

    fn put_utf16(&self, text: &str, data: &mut Vec<u8>) {
        let units: Vec<u16> = text.encode_utf16().collect();
        put16(data, &[to16(units.len())]);
        put16(data, &units);
        put16(data, &[0]);
    }
}

/// A node of the document: line number and comment, then `body`.
fn node(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    put32(&mut header, &[1, NONE]);
    chunk(kind, &header, body)
}

fn chunk(kind: u16, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put16(&mut bytes, &[kind, to16(8 + header.len())]);
    put32(&mut bytes, &[to32(8 + header.len() + body.len())]);
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes
}

fn put16(bytes: &mut Vec<u8>, values: &[u16]) {
    values
        .iter()
        .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
}

fn put32(bytes: &mut Vec<u8>, values: &[u32]) {
    values
        .iter()
        .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
}

/// Lengths here are of a manifest that a caller wrote by hand: they fit.
fn to16(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

fn to32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
