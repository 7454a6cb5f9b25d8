//! A second reader of binary manifests, written after `ResXMLTree`, `ResStringPool` and the attribute finder of
//! AOSP and after nothing else here. What the first one accepts, this one has to read as well, and in the same way.

/// What a device reads. A field is `None` where it depends on a resource.
#[derive(Debug, Default, PartialEq)]
pub struct Seen {
    pub package: String,
    pub version_code: Option<i32>,
    pub version_code_major: Option<i32>,
    pub min_sdk: Option<i32>,
    pub debuggable: Option<bool>,
    pub test_only: Option<bool>,
    /// Whether all elements end, without which an application's depth says nothing.
    pub closed: bool,
}

struct Pool<'a> {
    bytes: &'a [u8],
    count: usize,
    start: usize,
    end: usize,
    utf8: bool,
}

struct Tree<'a> {
    pool: Pool<'a>,
    map: &'a [u8],
    nodes: &'a [u8],
}

/// Reads a manifest, `None` where a device gives up.
pub fn read(bytes: &[u8]) -> Option<Seen> {
    let tree = tree(bytes)?;
    let mut seen = Seen { debuggable: Some(false), test_only: Some(false), min_sdk: Some(1), ..Seen::default() };
    let (mut rest, mut depth, mut root) = (tree.nodes, 0_usize, false);
    while !rest.is_empty() {
        // Behind the end of the root a device does not go on.
        if root && depth == 0 && rest.len() < 8 {
            break;
        }
        let (kind, head, size) = chunk(rest, 16)?;
        let body = &rest[head..size];
        match kind {
            0x102 => {
                let name = tree.pool.text(word(body, 4)?);
                match (depth, name.as_deref()) {
                    (0, Some("manifest")) if !root => {
                        root = true;
                        seen.package = tree.spelled(body, "package")??;
                        seen.version_code = tree.number(body, 0x0101_021b, 0)?;
                        seen.version_code_major = tree.number(body, 0x0101_0576, 0)?;
                    }
                    (0, _) if !root => return None,
                    (1, Some("uses-sdk")) => seen.min_sdk = tree.number(body, 0x0101_020c, 1).unwrap_or(None),
                    (1, Some("application")) => {
                        seen.debuggable = tree.truth(body, 0x0101_000f)?;
                        seen.test_only = tree.truth(body, 0x0101_0272)?;
                    }
                    _ => {}
                }
                depth += 1;
            }
            0x103 => depth = depth.checked_sub(1)?,
            _ => {}
        }
        rest = &rest[size..];
    }
    seen.closed = depth == 0;
    root.then_some(seen)
}

fn tree(bytes: &[u8]) -> Option<Tree<'_>> {
    let (head, size) = (usize::from(half(bytes, 2)?), word(bytes, 4)? as usize);
    let mut rest = bytes.get(head..size)?;
    let (mut pool, mut map) = (None, &[][..]);
    while !rest.is_empty() {
        let (kind, head, size) = chunk(rest, 8)?;
        match kind {
            1 => pool = Some(Pool::read(&rest[..size])?),
            0x180 => map = &rest[head..size],
            0x100..=0x17f => return Some(Tree { pool: pool?, map, nodes: rest }),
            _ => {}
        }
        rest = &rest[size..];
    }
    None
}

/// Kind, length of the header and length of the chunk at the start.
fn chunk(bytes: &[u8], least: usize) -> Option<(u16, usize, usize)> {
    let (kind, head, size) = (half(bytes, 0)?, usize::from(half(bytes, 2)?), word(bytes, 4)? as usize);
    let sound = head >= least && head <= size && (head | size) % 4 == 0 && size <= bytes.len();
    sound.then_some((kind, head, size))
}

impl<'a> Pool<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        chunk(bytes, 28)?;
        let [count, styles, flags, strings, spans] = [8, 12, 16, 20, 24].map(|at| word(bytes, at));
        let [count, styles, strings, spans] = [count?, styles?, strings?, spans?].map(|number| number as usize);
        let head = usize::from(half(bytes, 2)?);
        if head + 4 * (count + styles) > bytes.len() {
            return None;
        }
        let utf8 = flags? & 0x100 != 0;
        let end = if styles == 0 { bytes.len() } else { spans };
        if count > 0 && (strings + 2 >= bytes.len() || end <= strings || end > bytes.len()) {
            return None;
        }
        let unit = if utf8 { 1 } else { 2 };
        let end = if count == 0 { strings } else { strings + (end - strings) / unit * unit };
        if count > 0 && bytes[end - unit..end].iter().any(|byte| *byte != 0) {
            return None;
        }
        Some(Self { bytes, count, start: strings, end, utf8 })
    }

    fn text(&self, index: u32) -> Option<String> {
        let index = usize::try_from(index).ok().filter(|index| *index < self.count)?;
        let head = usize::from(half(self.bytes, 2)?);
        let offset = word(self.bytes, head + 4 * index)? as usize;
        if self.utf8 {
            let data = self.bytes.get(self.start + offset..self.end)?;
            let (units, used) = short(data)?;
            let (len, more) = short(&data[used..])?;
            let text = data.get(used + more..used + more + len)?;
            let text = std::str::from_utf8(text).ok()?;
            let closed = data.get(used + more + len) == Some(&0);
            return (closed && text.encode_utf16().count() == units).then(|| text.to_owned());
        }
        let data = self.bytes.get(self.start + offset / 2 * 2..self.end)?;
        let first = usize::from(half(data, 0)?);
        let (len, used) = if first & 0x8000 == 0 {
            (first, 2)
        } else {
            ((first & 0x7fff) << 16 | usize::from(half(data, 2)?), 4)
        };
        let units: Option<Vec<u16>> = (0..len).map(|unit| half(data, used + 2 * unit)).collect();
        (half(data, used + 2 * len)? == 0).then(|| String::from_utf16(&units?).ok())?
    }
}

fn short(data: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*data.first()?);
    if first & 0x80 == 0 {
        return Some((first, 1));
    }
    Some(((first & 0x7f) << 8 | usize::from(*data.get(1)?), 2))
}

impl Tree<'_> {
    fn attributes<'b>(&self, body: &'b [u8]) -> Option<Vec<&'b [u8]>> {
        let (start, size, count) = (half(body, 8)?, half(body, 10)?, half(body, 12)?);
        let all = body.get(usize::from(start)..)?.get(..usize::from(size) * usize::from(count))?;
        (0..usize::from(count)).map(|index| all.get(index * usize::from(size)..)?.get(..20)).collect()
    }

    /// The value that the walk over two sorted lists of ids finds: type and data.
    fn value(&self, body: &[u8], id: u32) -> Option<Option<(u8, u32)>> {
        for attribute in self.attributes(body)? {
            let name = word(attribute, 4)? as usize;
            let own = name.checked_mul(4).and_then(|at| word(self.map, at)).unwrap_or(0);
            if own >= id {
                return Some(if own == id { Some((attribute[15], word(attribute, 16)?)) } else { None });
            }
        }
        Some(None)
    }

    /// A number as `TypedArray.getInteger` gives it; the inner `None` is a resource, the outer one an exception.
    fn number(&self, body: &[u8], id: u32, otherwise: i32) -> Option<Option<i32>> {
        match self.value(body, id)? {
            None | Some((0, _)) => Some(Some(otherwise)),
            Some((1 | 7, 0)) => Some(Some(otherwise)),
            Some((1 | 7, _)) => Some(None),
            Some((0x10..=0x1f, data)) => Some(Some(data.cast_signed())),
            Some(_) => None,
        }
    }

    /// A truth as `TypedArray.getBoolean` gives it.
    fn truth(&self, body: &[u8], id: u32) -> Option<Option<bool>> {
        match self.value(body, id)? {
            Some((1 | 7, data)) if data != 0 => Some(None),
            Some((0x10..=0x1f, data)) => Some(Some(data != 0)),
            Some((3, text)) => Some(Some(matches!(self.pool.text(text).as_deref(), Some("1" | "true" | "TRUE")))),
            _ => Some(Some(false)),
        }
    }

    /// An attribute without namespace as it is spelled.
    fn spelled(&self, body: &[u8], wanted: &str) -> Option<Option<String>> {
        for attribute in self.attributes(body)? {
            if word(attribute, 0)? == u32::MAX && self.pool.text(word(attribute, 4)?).as_deref() == Some(wanted) {
                return Some(self.pool.text(word(attribute, 8)?));
            }
        }
        Some(None)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
