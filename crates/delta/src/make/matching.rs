//! What the result takes from the base, after Colin Percival's bsdiff: exact matches are found, and grow in both
//! directions over what differs in a few bytes, as code does whose addresses have shifted.

use super::index::{Index, common};
use super::views::Views;
use crate::Error;
use crate::number;
use crate::operation::{self, ADD, COPY, INSERT, MOVE};
use crate::progress::{Stage, Watch};

/// How far a match is looked at: a longer one is found in pieces. Without it, files that repeat themselves would cost
/// the square of their length.
pub(super) const REACH: usize = 4096;
/// A continuation of this length isn't compared with what the index knows.
const CONTINUED: usize = 32;
/// A new place must match so many bytes more than the current one.
const ADVANTAGE: usize = 8;
/// From this length on equal bytes are an operation of their own; shorter ones are zeros among the differences.
const EXACT: usize = 64;
/// After so many bytes in a row without any match some are skipped, more and more: compressed data.
const BARREN: usize = 256;
const LONGEST_SKIP: usize = 64;

/// The parts of a patch, unpacked.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) control: Vec<u8>,
    pub(super) difference: Vec<u8>,
    pub(super) extra: Vec<u8>,
    /// Where the old side's reader is.
    cursor: usize,
}

pub(super) struct Matcher<'v> {
    old: &'v [u8],
    new: &'v [u8],
    index: &'v Index<'v>,
    parts: Parts,
    /// Up to where the result is told, and where that is on the old side.
    told: usize,
    told_old: usize,
    /// How many bytes in a row had no match.
    barren: usize,
}

/// Where something of the result is on the old side.
#[derive(Debug, Clone, Copy)]
struct Match {
    old: usize,
    length: usize,
}

impl<'v> Matcher<'v> {
    pub(super) fn new(views: &'v Views, index: &'v Index<'v>) -> Matcher<'v> {
        Matcher {
            old: &views.old,
            new: &views.new,
            index,
            parts: Parts::default(),
            told: 0,
            told_old: 0,
            barren: 0,
        }
    }

    pub(super) fn run(mut self, watch: &mut Watch<'_>) -> Result<Parts, Error> {
        let total = self.new.len() as u64;
        let (mut at, mut length) = (0, 0);
        while at < self.new.len() {
            at += length;
            let (next, found, goes_on) = self.advance(at, watch)?;
            if !goes_on || next == self.new.len() {
                self.tell(next, found);
            }
            (at, length) = (next, found.length);
            watch.tell(Stage::Matching, at as u64, total)?;
        }
        Ok(self.parts)
    }

    /// From `at` on, where a match begins that is worth it, and whether it only continues the current place. At the
    /// end of the result there is none.
    fn advance(&mut self, mut at: usize, watch: &mut Watch<'_>) -> Result<(usize, Match, bool), Error> {
        // How many of the bytes from `at` to `scored` the current place has right.
        let (mut score, mut scored) = (0, at);
        while at < self.new.len() {
            let found = self.look(at);
            while scored < at + found.length {
                score += usize::from(self.continues(scored));
                scored += 1;
            }
            if found.length > 0 && found.length == score {
                return Ok((at, found, true));
            }
            if found.length > score + ADVANTAGE {
                return Ok((at, found, false));
            }
            let end = (at + self.step(found)).min(self.new.len());
            for passed in at..end.min(scored) {
                score -= usize::from(self.continues(passed));
            }
            at = end;
            if scored < at {
                (score, scored) = (0, at);
            }
            watch.tell(Stage::Matching, at as u64, self.new.len() as u64)?;
        }
        let nothing = Match { old: 0, length: 0 };
        Ok((at, nothing, false))
    }

    /// How far to go on when a match isn't worth it.
    fn step(&mut self, found: Match) -> usize {
        if found.length >= ADVANTAGE {
            self.barren = 0;
        } else {
            self.barren += 1;
        }
        (1 + self.barren / BARREN).min(LONGEST_SKIP)
    }

    /// The best match for what begins at `at`.
    fn look(&self, at: usize) -> Match {
        let wanted = &self.new[at..self.new.len().min(at + REACH)];
        let matches = |old: usize| Match {
            old,
            length: self.old.get(old..).map_or(0, |old| common(old, wanted)),
        };
        let current = (at + self.told_old).checked_sub(self.told).map(matches);
        let current = current.unwrap_or(Match { old: 0, length: 0 });
        if current.length >= CONTINUED {
            return current;
        }
        let other = self.index.find(wanted).map(matches);
        other
            .filter(|other| other.length > current.length)
            .unwrap_or(current)
    }

    /// Whether the current place has the byte at `at`.
    fn continues(&self, at: usize) -> bool {
        let old = (at + self.told_old).checked_sub(self.told);
        old.and_then(|old| self.old.get(old)) == self.new.get(at)
    }

    /// Writes what is before `at`, where `found` begins.
    fn tell(&mut self, at: usize, found: Match) {
        let mut forward = self.forward(at);
        let mut backward = self.backward(at, found);
        let (end, begin) = (self.told + forward, at - backward);
        if end > begin {
            let kept = self.divide(begin, end, found.old - backward);
            forward -= end - begin - kept;
            backward -= kept;
        }
        self.parts
            .add(self.old, self.new, self.told_old, self.told, forward);
        self.parts.insert(&self.new[self.told + forward..at - backward]);
        self.told = at - backward;
        self.told_old = found.old - backward;
    }

    /// How far the current place is worth going on, up to `end`.
    fn forward(&self, end: usize) -> usize {
        let old = self.old.get(self.told_old..).unwrap_or(&[]);
        longest(old.iter().zip(&self.new[self.told..end]))
    }

    /// How far before `at` the new place is worth beginning.
    fn backward(&self, at: usize, found: Match) -> usize {
        if found.length == 0 {
            return 0;
        }
        let (old, new) = (&self.old[..found.old], &self.new[self.told..at]);
        longest(old.iter().rev().zip(new.iter().rev()))
    }

    /// Both places claim `begin` to `end`; the new one has `old` for its beginning. How much the current one keeps.
    fn divide(&self, begin: usize, end: usize, old: usize) -> usize {
        let current = self.told_old + (begin - self.told);
        let (mut lead, mut best, mut kept) = (0_isize, 0, 0);
        for step in 0..end - begin {
            let byte = self.new[begin + step];
            lead += isize::from(self.old[current + step] == byte);
            lead -= isize::from(self.old[old + step] == byte);
            if lead > best {
                (best, kept) = (lead, step + 1);
            }
        }
        kept
    }
}

/// The length at which the most of the pairs are equal, beyond half of them.
fn longest<'b>(pairs: impl Iterator<Item = (&'b u8, &'b u8)>) -> usize {
    let (mut lead, mut best, mut length) = (0_isize, 0, 0);
    for (at, (left, right)) in pairs.enumerate() {
        lead += if left == right { 1 } else { -1 };
        if lead > best {
            (best, length) = (lead, at + 1);
        }
    }
    length
}

impl Parts {
    /// So many bytes from the old side, with what differs.
    fn add(&mut self, old: &[u8], new: &[u8], from: usize, to: usize, length: usize) {
        if length == 0 {
            return;
        }
        let shift = from.cast_signed() - self.cursor.cast_signed();
        if shift != 0 {
            self.operation(MOVE, number::unsigned(shift as i64));
        }
        self.cursor = from + length;
        let (old, new) = (&old[from..from + length], &new[to..to + length]);
        let mut told = 0;
        let mut at = 0;
        while at < length {
            let equal = common(&old[at..], &new[at..]);
            if equal >= EXACT {
                self.differ(&old[told..at], &new[told..at]);
                self.operation(COPY, equal as u64);
                told = at + equal;
            }
            at += equal.max(1);
        }
        self.differ(&old[told..], &new[told..]);
    }

    fn differ(&mut self, old: &[u8], new: &[u8]) {
        if new.is_empty() {
            return;
        }
        self.operation(ADD, new.len() as u64);
        let changes = old.iter().zip(new).map(|(old, new)| new.wrapping_sub(*old));
        self.difference.extend(changes);
    }

    fn insert(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.operation(INSERT, bytes.len() as u64);
            self.extra.extend_from_slice(bytes);
        }
    }

    fn operation(&mut self, kind: u64, value: u64) {
        number::write(operation::join(kind, value), &mut self.control);
    }
}
