//! What the result takes from the base.
//!
//! Along the result anchors are found, bytes that the base has too. From one long anchor to the next, where each byte is
//! best taken from is decided at once.

use super::alignment::{Anchor, Diagonal, Piece, align};
use super::index::{Index, common};
use super::parts::Parts;
use super::prices::Sides;
use super::views::{Same, Views};
use crate::Error;
use crate::progress::{Stage, Watch};

/// How far a match is looked at: a longer one is found in pieces. Without it, files that repeat themselves would cost
/// the square of their length.
pub(super) const REACH: usize = 4096;
/// What goes on so far where it is isn't looked for elsewhere.
const GOES_ON: usize = 32;
/// Shorter matches are chance.
const SHORTEST: usize = 9;
/// An anchor that is longer is always worth going to; shorter ones wait until the next such.
const SHORT: usize = 128;
/// How many wait at most.
const WAITING: usize = 256;
/// After so many bytes in a row without any match some are skipped, more and more: compressed data.
const BARREN: usize = 256;
const LONGEST_SKIP: usize = 64;

pub(super) struct Matcher<'v> {
    old: &'v [u8],
    new: &'v [u8],
    index: &'v Index<'v>,
    same: &'v [Same],
    parts: Parts,
    /// A long anchor, and the short ones behind it that wait for the next.
    anchors: Vec<Anchor>,
    /// What is told next, when its end is known.
    piece: Piece,
}

impl<'v> Matcher<'v> {
    pub(super) fn new(views: &'v Views, index: &'v Index<'v>) -> Matcher<'v> {
        let beginning = Anchor {
            new: 0,
            length: 0,
            diagonal: 0,
        };
        Matcher {
            old: &views.old,
            new: &views.new,
            index,
            same: &views.same,
            parts: Parts::default(),
            anchors: vec![beginning],
            piece: Piece {
                start: 0,
                diagonal: Some(0),
            },
        }
    }

    pub(super) fn run(mut self, watch: &mut Watch<'_>) -> Result<Parts, Error> {
        let mut at = 0;
        while let Some(anchor) = self.next(at, watch)? {
            at = anchor.end();
            self.anchors.push(anchor);
            if anchor.length > SHORT || self.anchors.len() > WAITING {
                self.settle(false);
            }
        }
        self.settle(true);
        Ok(self.parts)
    }

    /// The next anchor from `at` on.
    fn next(&self, mut at: usize, watch: &mut Watch<'_>) -> Result<Option<Anchor>, Error> {
        let mut barren = 0;
        while at < self.new.len() {
            watch.tell(Stage::Matching, at as u64, self.new.len() as u64)?;
            if let Some(anchor) = self.anchor_at(at) {
                return Ok(Some(anchor));
            }
            barren += 1;
            at += (1 + barren / BARREN).min(LONGEST_SKIP);
        }
        Ok(None)
    }

    /// What begins at `at`: the longest match, but rather where the last anchors are.
    fn anchor_at(&self, at: usize) -> Option<Anchor> {
        let wanted = &self.new[at..self.new.len().min(at + REACH)];
        let on = |diagonal: Diagonal| {
            let old = at.checked_add_signed(diagonal);
            Anchor {
                new: at,
                length: old
                    .and_then(|old| self.old.get(old..))
                    .map_or(0, |old| common(old, wanted)),
                diagonal,
            }
        };
        if let Some(same) = self.same_at(at).map(on) {
            return Some(same);
        }
        let held = on(self.anchors[0].diagonal);
        if held.length >= GOES_ON {
            return Some(held);
        }
        let last = self.anchors.last().map_or(held, |last| on(last.diagonal));
        let held = if last.length > held.length { last } else { held };
        if held.length >= GOES_ON {
            return Some(held);
        }
        let found = self
            .index
            .find(wanted)
            .map(|old| on(old.cast_signed() - at.cast_signed()));
        let best = found.filter(|found| found.length > held.length).unwrap_or(held);
        (best.length >= SHORTEST).then_some(best)
    }

    /// Where the base has the entry that this byte is in, if it is the same in both.
    fn same_at(&self, at: usize) -> Option<Diagonal> {
        let next = self.same.partition_point(|same| same.new.start <= at);
        let same = self.same.get(next.checked_sub(1)?)?;
        let diagonal = same.old.cast_signed() - same.new.start.cast_signed();
        same.new.contains(&at).then_some(diagonal)
    }

    /// Tells what lies behind the first anchor up to the last, or to the result's end.
    fn settle(&mut self, ends: bool) {
        let sides = Sides {
            old: self.old,
            new: self.new,
        };
        for piece in align(sides, &self.anchors, ends) {
            self.go_on(piece);
        }
        if ends {
            let end = Piece {
                start: self.new.len(),
                diagonal: None,
            };
            self.go_on(end);
        }
        self.anchors.drain(..self.anchors.len() - 1);
    }

    /// Tells the piece at hand up to where the next one begins.
    fn go_on(&mut self, next: Piece) {
        if next.diagonal == self.piece.diagonal && next.diagonal.is_some() {
            return;
        }
        let told = self.piece.start..next.start;
        match self.piece.diagonal {
            Some(diagonal) => {
                let old = told.start.saturating_add_signed(diagonal);
                self.parts.add(self.old, self.new, old, told.start, told.len());
            }
            None => self.parts.insert(&self.new[told]),
        }
        self.piece = next;
    }
}
