//! Both files as they are compared: with the entries inflated that differ and that can be put together again.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::entries::{Entry, entries};
use super::reproduce::Reproducer;
use super::{Entries, too_large};
use crate::Error;
use crate::apply::Inflater;
use crate::header::{GREATEST_RATIO, MAX_RANGES};
use crate::plan::{Deflated, Plan};
use crate::progress::{Stage, Watch};

pub(super) struct Views {
    pub(super) plan: Plan,
    /// The inflated entries of the base, and the base behind them.
    pub(super) old: Vec<u8>,
    /// How long the inflated entries are together.
    pub(super) scratch: usize,
    /// What of `old` is worth a search: no compressed bytes whose entry is unchanged or inflated.
    pub(super) pieces: Vec<Range<usize>>,
    /// The result with its inflated entries.
    pub(super) new: Vec<u8>,
    /// The entries that are the same in both, in the result's order. No search is needed for them.
    pub(super) same: Vec<Same>,
    pub(super) entries: Entries,
}

/// Compressed bytes of the base that the result has too.
#[derive(Debug, Clone)]
pub(super) struct Same {
    /// Where they are in [`Views::new`].
    pub(super) new: Range<usize>,
    /// Where they begin in [`Views::old`].
    pub(super) old: usize,
}

/// Inflates what differs, within `memory` bytes for both files in both forms.
pub(super) fn views(
    base: Vec<u8>,
    result: &[u8],
    memory: u64,
    watch: &mut Watch<'_>,
) -> Result<Views, Error> {
    let (old_entries, new_entries) = (entries(&base), entries(result));
    let room = memory.saturating_sub((2 * base.len() + 2 * result.len()) as u64);
    let room = Room { memory, left: room };
    let mut new = NewSide::new(&base, &old_entries, result, room);
    for entry in &new_entries {
        new.add(entry)?;
        watch.tell(Stage::Inflating, entry.data.end as u64, result.len() as u64)?;
    }
    let new = new.finish();
    drop_unused(base, &old_entries, result, &new_entries, new)
}

/// How much memory may still be taken.
#[derive(Debug, Clone, Copy)]
struct Room {
    memory: u64,
    left: u64,
}

impl Room {
    fn take(&mut self, size: usize) -> Result<(), Error> {
        let size = size as u64;
        let held = self.memory - self.left;
        self.left = self
            .left
            .checked_sub(size)
            .ok_or_else(|| too_large(held + size, self.memory))?;
        Ok(())
    }
}

/// The result's view, while it is put together.
struct NewSide<'f> {
    result: &'f [u8],
    /// The compressed bytes of the base's entries, and where they begin.
    known: HashMap<&'f [u8], usize>,
    names: HashSet<&'f [u8]>,
    reproducer: Reproducer,
    inflater: Inflater,
    ranges: Vec<(Deflated, crate::zlib::Settings)>,
    view: Vec<u8>,
    /// Up to where the result is in the view.
    at: usize,
    /// The entries that both have, in the view and in the base.
    same: Vec<Same>,
    room: Room,
    /// The names of the entries that are compared as they are.
    raw: HashSet<Vec<u8>>,
    entries: Entries,
}

/// What is left of it.
struct New {
    ranges: Vec<(Deflated, crate::zlib::Settings)>,
    view: Vec<u8>,
    same: Vec<Same>,
    raw: HashSet<Vec<u8>>,
    entries: Entries,
    room: Room,
}

impl<'f> NewSide<'f> {
    fn new(base: &'f [u8], old: &[Entry], result: &'f [u8], room: Room) -> NewSide<'f> {
        NewSide {
            result,
            known: old
                .iter()
                .map(|entry| (&base[entry.data.clone()], entry.data.start))
                .collect(),
            names: old.iter().map(|entry| &base[entry.name.clone()]).collect(),
            reproducer: Reproducer::default(),
            inflater: Inflater::new(),
            ranges: Vec::new(),
            view: Vec::new(),
            at: 0,
            same: Vec::new(),
            room,
            raw: HashSet::new(),
            entries: Entries::default(),
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Error> {
        let packed = &self.result[entry.data.clone()];
        if let Some(old) = self.known.get(packed) {
            self.entries.unchanged += 1;
            let start = self.view.len() + (entry.data.start - self.at);
            self.same.push(Same {
                new: start..start + packed.len(),
                old: *old,
            });
            return Ok(());
        }
        let plain = inflated(&mut self.inflater, self.result, entry, self.room)?;
        let full = self.ranges.len() as u64 == MAX_RANGES;
        let plain = plain.filter(|plain| !plain.is_empty() && !full);
        let settings = match &plain {
            Some(plain) => self.reproducer.find(plain, packed)?,
            None => None,
        };
        let Some((settings, plain)) = settings.zip(plain) else {
            self.entries.raw += 1;
            let name = &self.result[entry.name.clone()];
            if self.names.contains(name) {
                self.raw.insert(name.to_vec());
            }
            return Ok(());
        };
        self.entries.reproduced += 1;
        self.room.take(plain.len())?;
        self.view
            .extend_from_slice(&self.result[self.at..entry.data.start]);
        self.view.extend_from_slice(&plain);
        self.at = entry.data.end;
        self.ranges.push((deflated(entry, plain.len()), settings));
        Ok(())
    }

    fn finish(mut self) -> New {
        self.view.extend_from_slice(&self.result[self.at..]);
        New {
            ranges: self.ranges,
            view: self.view,
            same: self.same,
            raw: self.raw,
            entries: self.entries,
            room: self.room,
        }
    }
}

/// The base's view: entries that the result has unchanged stay as they are, and so do those whose successor does.
fn drop_unused(
    base: Vec<u8>,
    old_entries: &[Entry],
    result: &[u8],
    new_entries: &[Entry],
    new: New,
) -> Result<Views, Error> {
    let unchanged: HashSet<&[u8]> = new_entries
        .iter()
        .map(|entry| &result[entry.data.clone()])
        .collect();
    let mut room = new.room;
    let mut inflater = Inflater::new();
    let mut old = Vec::new();
    let mut plan = Plan {
        base: Vec::new(),
        result: new.ranges,
    };
    // Compressed bytes that nothing will be found in.
    let mut useless = Vec::new();
    for entry in old_entries {
        if unchanged.contains(&base[entry.data.clone()]) {
            useless.push(entry.data.clone());
            continue;
        }
        let raw = new.raw.contains(&base[entry.name.clone()]);
        if raw || plan.result.is_empty() || plan.base.len() as u64 == MAX_RANGES {
            continue;
        }
        let Some(plain) = inflated(&mut inflater, &base, entry, room)?.filter(|plain| !plain.is_empty())
        else {
            continue;
        };
        room.take(plain.len())?;
        old.extend_from_slice(&plain);
        plan.base.push(deflated(entry, plain.len()));
        useless.push(entry.data.clone());
    }
    let scratch = old.len();
    old.extend_from_slice(&base);
    drop(base);
    let same = new.same.into_iter();
    let same = same.map(|same| Same {
        old: scratch + same.old,
        ..same
    });
    Ok(Views {
        plan,
        pieces: pieces(scratch, old.len(), &useless),
        old,
        scratch,
        new: new.view,
        same: same.collect(),
        entries: new.entries,
    })
}

/// The scratch as a whole, then what lies between the useless parts of the base.
fn pieces(scratch: usize, end: usize, useless: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut pieces: Vec<_> = std::iter::once(0..scratch).collect();
    let mut at = scratch;
    for range in useless {
        pieces.push(at..scratch + range.start);
        at = scratch + range.end;
    }
    pieces.push(at..end);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// `None`: its bytes are no deflate stream of that length.
fn inflated(
    inflater: &mut Inflater,
    file: &[u8],
    entry: &Entry,
    room: Room,
) -> Result<Option<Vec<u8>>, Error> {
    let size = entry.plain as usize;
    if size as u64 > entry.data.len() as u64 * GREATEST_RATIO {
        return Ok(None);
    }
    let mut after = room;
    after.take(size)?;
    let mut plain = Vec::with_capacity(size);
    let whole = inflater.inflate(file, deflated(entry, size), |bytes| {
        plain.extend_from_slice(bytes);
        Ok(())
    });
    Ok(whole.is_ok().then_some(plain))
}

fn deflated(entry: &Entry, plain: usize) -> Deflated {
    Deflated {
        offset: entry.data.start as u64,
        packed: entry.data.len() as u64,
        plain: plain as u64,
    }
}
