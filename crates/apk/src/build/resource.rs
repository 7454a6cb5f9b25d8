//! Writes resource chunks: binary XML and a small resource table.

use crate::manifest::chunk::{
    END_ELEMENT, PACKAGE, RESOURCE_MAP, START_ELEMENT, STRING_POOL, TABLE, TYPE, XML,
};

const END_NAMESPACE: u16 = 0x0101;
const START_NAMESPACE: u16 = 0x0100;
const TYPE_SPEC: u16 = 0x0202;
const FLAG_UTF8: u32 = 1 << 8;
const NONE: u32 = u32::MAX;
const ANDROID_NAMESPACE: &str = "http://schemas.android.com/apk/res/android";

/// An attribute's value, or a resource's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i32),
    Boolean(bool),
    Text(String),
    Reference(u32),
}

/// An attribute: the resource id of its name (0 for a name without namespace), its name, its value.
pub(super) type Attribute = (u32, &'static str, Value);

/// An element with its attributes and children.
pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Element>,
}

/// A document in binary XML, its strings in UTF-8 or UTF-16.
pub(super) fn document(root: &Element, utf8: bool) -> Vec<u8> {
    let mut names = Vec::new();
    attribute_names(root, &mut names);
    // Names with ids come first: the resource map runs parallel to the start of the pool.
    names.sort_unstable();
    names.dedup();
    let mut strings = Strings {
        utf8,
        texts: names.iter().map(|(_, name)| (*name).to_owned()).collect(),
    };
    let map: Vec<u8> = names.iter().flat_map(|(id, _)| id.to_le_bytes()).collect();

    let (prefix, uri) = (strings.index("android"), strings.index(ANDROID_NAMESPACE));
    let namespace: Vec<u8> = [prefix, uri].into_iter().flat_map(u32::to_le_bytes).collect();
    let mut nodes = node(START_NAMESPACE, &namespace);
    element(root, &mut strings, &mut nodes);
    nodes.extend(node(END_NAMESPACE, &namespace));
    chunk(
        XML,
        &[],
        &[strings.pool(), chunk(RESOURCE_MAP, &[], &map), nodes].concat(),
    )
}

fn attribute_names(element: &Element, names: &mut Vec<(u32, &'static str)>) {
    names.extend(
        element
            .attributes
            .iter()
            .filter(|(id, ..)| *id != 0)
            .map(|(id, name, _)| (*id, *name)),
    );
    element
        .children
        .iter()
        .for_each(|child| attribute_names(child, names));
}

fn element(element_: &Element, strings: &mut Strings, nodes: &mut Vec<u8>) {
    let name = strings.index(element_.name);
    let mut attributes: Vec<&Attribute> = element_.attributes.iter().collect();
    // Android finds attributes by walking two sorted lists of ids.
    attributes.sort_by_key(|(id, ..)| if *id == 0 { NONE } else { *id });
    let mut body = Vec::new();
    put32(&mut body, &[NONE, name]);
    put16(&mut body, &[20, 20, to16(attributes.len()), 0, 0, 0]);
    for (id, attribute, value) in attributes {
        let namespace = if *id == 0 {
            NONE
        } else {
            strings.index(ANDROID_NAMESPACE)
        };
        let raw = if let Value::Text(text) = value {
            strings.index(text)
        } else {
            NONE
        };
        let index = strings.index(attribute);
        put32(&mut body, &[namespace, index, raw]);
        body.extend(typed(value, strings));
    }
    nodes.extend(node(START_ELEMENT, &body));
    element_
        .children
        .iter()
        .for_each(|child| element(child, strings, nodes));
    let mut end = Vec::new();
    put32(&mut end, &[NONE, name]);
    nodes.extend(node(END_ELEMENT, &end));
}

/// A resource table of package 0x7f: resource `0x7f01_0000 + n` is `values[n]`, in the default configuration.
pub(super) fn table(package: &str, values: &[Value], utf8: bool) -> Vec<u8> {
    let mut strings = Strings {
        utf8,
        texts: Vec::new(),
    };
    let mut keys = Strings {
        utf8,
        texts: Vec::new(),
    };
    let (mut offsets, mut entries) = (Vec::new(), Vec::new());
    for (number, value) in values.iter().enumerate() {
        put32(&mut offsets, &[to32(entries.len())]);
        let key = keys.index(&format!("value{number}"));
        put16(&mut entries, &[8, 0]);
        put32(&mut entries, &[key]);
        entries.extend(typed(value, &mut strings));
    }
    let count = to32(values.len());
    let types = Strings {
        utf8,
        texts: vec!["value".to_owned()],
    }
    .pool();

    let mut spec = vec![1, 0, 0, 0];
    put32(&mut spec, &[count]);
    let flags = vec![0; values.len() * 4];
    let spec = chunk(TYPE_SPEC, &spec, &flags);

    const CONFIG_BYTES: usize = 64;
    let mut header = vec![1, 0, 0, 0];
    put32(&mut header, &[count, to32(8 + 12 + CONFIG_BYTES + offsets.len())]);
    put32(&mut header, &[to32(CONFIG_BYTES)]);
    header.resize(12 + CONFIG_BYTES, 0);
    let typed = chunk(TYPE, &header, &[offsets, entries].concat());

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
    let package = chunk(PACKAGE, &header, &[types, keys.pool(), spec, typed].concat());
    chunk(TABLE, &1_u32.to_le_bytes(), &[strings.pool(), package].concat())
}

fn typed(value: &Value, strings: &mut Strings) -> Vec<u8> {
    let (kind, data) = match value {
        Value::Reference(id) => (0x01, *id),
        Value::Text(text) => (0x03, strings.index(text)),
        Value::Integer(number) => (0x10, number.cast_unsigned()),
        Value::Boolean(yes) => (0x12, if *yes { NONE } else { 0 }),
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
