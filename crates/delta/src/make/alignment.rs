//! Where in the base each byte of the result is best taken from.
//!
//! Anchors say which places of the base come into question, diagonals, as aligners of genomes call them. Byte for byte the
//! cheapest way is kept that ends on each of them, and one that tells bytes anew (Viterbi's algorithm). So a match by chance
//! is passed over where the place at hand has nearly as much right, however long it takes until that shows, and an end of one
//! place and the beginning of another are where together they cost least.

use super::prices::{INSERTED, MOVE, OPERATION, Sides};

/// How the base is read: so many bytes further on than the result.
pub(super) type Diagonal = isize;

/// Bytes that are equal on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    /// Where they begin in the result.
    pub(super) new: usize,
    pub(super) length: usize,
    pub(super) diagonal: Diagonal,
}

impl Anchor {
    pub(super) fn end(&self) -> usize {
        self.new + self.length
    }
}

/// A part of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins. It ends where the next one does.
    pub(super) start: usize,
    /// Where the base has it; none where it is told anew.
    pub(super) diagonal: Option<Diagonal>,
}

/// How many anchors before and behind a byte have their diagonals tried.
const NEAR: usize = 8;

/// The cheapest way that ends on a diagonal, or tells bytes anew.
#[derive(Clone, Copy)]
struct Way {
    cost: i64,
    piece: Piece,
    /// The piece before it, of [`Alignment::pieces`].
    before: usize,
    /// Which one it is itself, once another way goes on from it.
    number: Option<usize>,
    /// The last anchor that asked for its diagonal.
    anchor: usize,
}

/// The ways at a byte of the result.
struct Alignment<'s> {
    sides: Sides<'s>,
    anchors: &'s [Anchor],
    /// The first anchor that begins behind the byte.
    next: usize,
    ways: Vec<Way>,
    anew: Way,
    /// The pieces that others go on from, each with the one before it.
    pieces: Vec<(Piece, usize)>,
}

/// The pieces from the first anchor's end up to the last anchor's beginning, or to the result's end. The first of them is on the
/// first anchor's diagonal, and the last, if there is a last anchor, on that one's.
pub(super) fn align(sides: Sides<'_>, anchors: &[Anchor], ends: bool) -> Vec<Piece> {
    let (Some(first), Some(last)) = (anchors.first(), anchors.last()) else {
        return vec![];
    };
    let end = if ends { sides.new.len() } else { last.new };
    let mut alignment = Alignment::new(sides, anchors, *first);
    if !ends {
        alignment.try_diagonal(last.diagonal, usize::MAX);
    }
    for at in first.end()..end {
        alignment.come_to(at);
        alignment.pass(at);
    }
    alignment.come_to(end);
    let wanted = if ends { None } else { Some(last.diagonal) };
    alignment.pieces_to(wanted)
}

impl<'s> Alignment<'s> {
    fn new(sides: Sides<'s>, anchors: &'s [Anchor], first: Anchor) -> Self {
        let begun = Piece {
            start: first.end(),
            diagonal: Some(first.diagonal),
        };
        let on_first = Way {
            cost: 0,
            piece: begun,
            before: 0,
            number: Some(0),
            anchor: usize::MAX,
        };
        let mut alignment = Self {
            sides,
            anchors,
            next: 1,
            ways: vec![on_first],
            anew: Way {
                cost: i64::MAX,
                piece: Piece {
                    diagonal: None,
                    ..begun
                },
                number: None,
                ..on_first
            },
            pieces: vec![(begun, 0)],
        };
        for (number, anchor) in anchors.iter().enumerate().take(NEAR).skip(1) {
            alignment.try_diagonal(anchor.diagonal, number);
        }
        alignment
    }

    /// Has a diagonal tried from here on.
    fn try_diagonal(&mut self, diagonal: Diagonal, anchor: usize) {
        let known = self
            .ways
            .iter_mut()
            .find(|way| way.piece.diagonal == Some(diagonal));
        if let Some(way) = known {
            way.anchor = way.anchor.max(anchor);
            return;
        }
        self.ways.push(Way {
            cost: i64::MAX,
            piece: Piece {
                start: 0,
                diagonal: Some(diagonal),
            },
            before: 0,
            number: None,
            anchor,
        });
    }

    /// Before this byte another place may be gone to.
    fn come_to(&mut self, at: usize) {
        while self.anchors.get(self.next).is_some_and(|anchor| anchor.new <= at) {
            self.next += 1;
            self.slide();
        }
        let best = self.best();
        let (cost, on, before) = (
            best.cost,
            best.piece.diagonal,
            self.number_of(best.piece.diagonal),
        );
        let over = (on.is_none())
            .then(|| self.pieces[self.pieces[before].1].0.diagonal)
            .flatten();
        for way in &mut self.ways {
            let moved = if way.piece.diagonal == over {
                cost
            } else {
                cost.saturating_add(MOVE)
            };
            if way.cost > moved {
                (way.cost, way.piece.start, way.before, way.number) = (moved, at, before, None);
            }
        }
        if self.anew.cost > cost.saturating_add(OPERATION) {
            let anew = &mut self.anew;
            (anew.cost, anew.piece.start, anew.before, anew.number) = (cost + OPERATION, at, before, None);
        }
    }

    /// The anchors near the byte have changed.
    fn slide(&mut self) {
        let least = self.best().cost;
        let (oldest, newest) = (self.next.saturating_sub(NEAR), self.next + NEAR - 1);
        // Whoever is as dear as a move can be come to again.
        self.ways
            .retain(|way| way.anchor >= oldest || way.cost < least.saturating_add(MOVE));
        if let Some(anchor) = self.anchors.get(newest) {
            self.try_diagonal(anchor.diagonal, newest);
        }
    }

    fn best(&self) -> Way {
        let ways = self.ways.iter().chain([&self.anew]);
        ways.copied().min_by_key(|way| way.cost).unwrap_or(self.anew)
    }

    /// The number of the piece that a way is in.
    fn number_of(&mut self, diagonal: Option<Diagonal>) -> usize {
        let mut ways = self.ways.iter_mut().chain([&mut self.anew]);
        let Some(way) = ways.find(|way| way.piece.diagonal == diagonal) else {
            return 0;
        };
        *way.number.get_or_insert_with(|| {
            self.pieces.push((way.piece, way.before));
            self.pieces.len() - 1
        })
    }

    /// Takes a byte.
    fn pass(&mut self, at: usize) {
        for way in &mut self.ways {
            let price = way
                .piece
                .diagonal
                .and_then(|diagonal| self.sides.price(at, diagonal));
            way.cost = price.map_or(i64::MAX, |price| way.cost.saturating_add(price));
        }
        self.anew.cost = self.anew.cost.saturating_add(INSERTED);
    }

    /// The pieces of the way that ends on a diagonal, or of the cheapest.
    fn pieces_to(mut self, diagonal: Option<Diagonal>) -> Vec<Piece> {
        let diagonal = match diagonal {
            Some(diagonal) => Some(diagonal),
            None => self.best().piece.diagonal,
        };
        let mut at = self.number_of(diagonal);
        let mut pieces = vec![self.pieces[at].0];
        while at != self.pieces[at].1 {
            at = self.pieces[at].1;
            pieces.push(self.pieces[at].0);
        }
        pieces.reverse();
        pieces
    }
}
