//! `resources.arsc`, as far as a manifest's attributes refer to it: simple values, in every configuration.
//! Source: `ResourceTypes.h` of AOSP.

use std::collections::VecDeque;

use super::chunk::{self, Chunk};
use super::strings::Strings;
use super::value::Value;
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Rule};

const PLACE: &str = "resources.arsc";
/// References to references: how many are followed.
const MAX_STEPS: usize = 32;
/// How many values one resource may have. Languages and screens together make some hundreds.
const MAX_CONFIGURATIONS: usize = 1024;
const PACKAGE_HEADER_BYTES: usize = 284;
/// Type header up to, and without, its configuration.
const TYPE_HEADER_BYTES: usize = 20;
const FLAG_SPARSE: u8 = 1;
const FLAG_OFFSET16: u8 = 2;
const ENTRY_COMPLEX: u16 = 1;
const ENTRY_COMPACT: u16 = 8;
const ENTRY_BYTES: usize = 8;

/// A resource table.
pub(crate) struct Resources<'a> {
    strings: Strings<'a>,
    body: &'a [u8],
}

impl<'a> Resources<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let table = Chunk::first(bytes, PLACE)?;
        if table.kind != chunk::TABLE {
            let detail = format!("starts with chunk {:#06x}: not a resource table", table.kind);
            return Err(Error::manifest(Rule::MalformedXml, PLACE, detail));
        }
        let pool = chunk::all(table.body, PLACE).find_map(|part| match part {
            Ok(part) if part.kind == chunk::STRING_POOL => Some(Ok(part)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let strings = pool
            .transpose()?
            .map(|pool| Strings::parse(&pool, PLACE))
            .transpose()?;
        Ok(Self {
            strings: strings.unwrap_or_default(),
            body: table.body,
        })
    }

    /// The values of a resource in all configurations, that of the default one first, following references.
    /// Never empty.
    pub(crate) fn resolve(&self, id: u32) -> Result<Vec<Value>, Error> {
        let (mut open, mut values) = (VecDeque::from([id]), Vec::new());
        for _ in 0..MAX_STEPS {
            let Some(current) = open.pop_front() else {
                return Ok(values);
            };
            let found = self.lookup(current)?;
            if found.is_empty() {
                return Err(unresolved(id, "is not in the table, or has no simple value"));
            }
            for value in found {
                match value {
                    Value::Reference(next) => open.push_back(next),
                    value => values.push(value),
                }
            }
        }
        Err(unresolved(id, "leads to more references than are followed"))
    }

    /// What the table says of one resource, by configuration, the default one first.
    fn lookup(&self, id: u32) -> Result<Vec<Value>, Error> {
        let package = id >> 24;
        let mut found = Vec::new();
        for part in chunk::all(self.body, PLACE) {
            let part = part?;
            if part.kind != chunk::PACKAGE
                || u32_at(part.header_of(PACKAGE_HEADER_BYTES - 4, PLACE)?, 8) != package
            {
                continue;
            }
            for inner in chunk::all(part.body, PLACE) {
                let inner = inner?;
                if inner.kind != chunk::TYPE {
                    continue;
                }
                let header = inner.header_of(TYPE_HEADER_BYTES, PLACE)?;
                if u32::from(header[8]) != id >> 16 & 0xff {
                    continue;
                }
                let Some(value) = self.entry(&inner, id & 0xffff)? else {
                    continue;
                };
                if found.len() == MAX_CONFIGURATIONS {
                    return Err(unresolved(id, "has more configurations than are read"));
                }
                if is_default(&header[TYPE_HEADER_BYTES..]) {
                    found.insert(0, value);
                } else {
                    found.push(value);
                }
            }
        }
        Ok(found)
    }

    /// The simple value of entry `index` in one type chunk.
    fn entry(&self, part: &Chunk<'_>, index: u32) -> Result<Option<Value>, Error> {
        let cut = || Error::manifest(Rule::MalformedXml, PLACE, "a type's entries reach beyond it");
        let Some(offset) = entry_offset(part, index).ok_or_else(cut)? else {
            return Ok(None);
        };
        let start = usize::try_from(u32_at(part.header, 16))
            .ok()
            .and_then(|start| start.checked_add(offset));
        let entry = start
            .and_then(|start| part.whole.get(start..))
            .filter(|rest| rest.len() >= ENTRY_BYTES);
        let entry = entry.ok_or_else(cut)?;
        let (size, flags) = (usize::from(u16_at(entry, 0)), u16_at(entry, 2));
        if flags & ENTRY_COMPACT != 0 {
            let [_, kind] = flags.to_le_bytes();
            return Value::decode(kind, u32_at(entry, 4), &self.strings, PLACE).map(Some);
        }
        if flags & ENTRY_COMPLEX != 0 {
            return Ok(None);
        }
        let value = entry.get(size..).ok_or_else(cut)?;
        Value::of_resource(value, &self.strings, PLACE).map(Some)
    }
}

/// Where entry `index` starts; the outer `None` is a table that is cut off, the inner one an absent entry.
#[expect(clippy::option_option, reason = "cut off and absent are two answers")]
fn entry_offset(part: &Chunk<'_>, index: u32) -> Option<Option<usize>> {
    let (flags, count) = (part.header[9], usize::try_from(u32_at(part.header, 12)).ok()?);
    let index = usize::try_from(index).ok()?;
    if flags & FLAG_SPARSE != 0 {
        let table = part.body.get(..count.checked_mul(4)?)?;
        let found = table
            .chunks_exact(4)
            .find(|pair| usize::from(u16_at(pair, 0)) == index);
        return Some(found.map(|pair| usize::from(u16_at(pair, 2)) * 4));
    }
    if index >= count {
        return Some(None);
    }
    if flags & FLAG_OFFSET16 != 0 {
        let offset = u16_at(part.body.get(index * 2..index * 2 + 2)?, 0);
        return Some((offset != u16::MAX).then(|| usize::from(offset) * 4));
    }
    let offset = u32_at(part.body.get(index * 4..index * 4 + 4)?, 0);
    if offset == u32::MAX {
        Some(None)
    } else {
        usize::try_from(offset).ok().map(Some)
    }
}

/// A configuration is the default one when nothing but its size is set.
fn is_default(config: &[u8]) -> bool {
    config.iter().skip(4).all(|&byte| byte == 0)
}

fn unresolved(id: u32, why: &str) -> Error {
    Error::manifest(Rule::Unresolved, PLACE, format!("resource {id:#010x} {why}"))
}
