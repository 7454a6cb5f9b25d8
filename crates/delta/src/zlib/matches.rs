//! Where the input repeats itself: zlib's sliding window, its chains of equal hashes and its four ways to walk them.

use super::tables::{EFFORTS, Effort, FAST_LEVELS};
use super::trees::Blocks;
use super::{Settings, Strategy};

pub(super) const MIN_MATCH: usize = 3;
pub(super) const MAX_MATCH: usize = 258;
/// With less than this ahead more input is wanted first: a match of the greatest length, and the next one's begin.
const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
/// A match of three bytes costs more than three literals from this distance on.
const TOO_FAR: usize = 4096;

#[derive(Debug)]
pub(super) struct Window {
    walk: Walk,
    effort: Effort,
    filtered: bool,
    /// The size of half the buffer, and the greatest distance is a little less.
    size: usize,
    buffer: Vec<u8>,
    /// The newest place of each hash, and from each place the one before it; 0 ends a chain.
    head: Vec<u16>,
    previous: Vec<u16>,
    hash: usize,
    hash_shift: u32,
    /// Where the string to match begins, how much is there from it on, and where the current block began, which may
    /// have slid out of the window.
    start: usize,
    ahead: usize,
    block: isize,
    match_start: usize,
    match_length: usize,
    previous_length: usize,
    /// Whether the byte before `start` waits for its match, or to be sent alone.
    waiting: bool,
}

/// How matches are looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Walk {
    Fast,
    Slow,
    Rle,
    Huffman,
}

impl Walk {
    /// With less than this ahead it wants more input.
    fn appetite(self) -> usize {
        match self {
            Walk::Fast | Walk::Slow => MIN_LOOKAHEAD,
            Walk::Rle => MAX_MATCH + 1,
            Walk::Huffman => 1,
        }
    }
}

impl Window {
    pub(super) fn new(settings: Settings) -> Window {
        let size = 1 << settings.window;
        let hash_bits = u32::from(settings.memory) + 7;
        let walk = match settings.strategy {
            Strategy::HuffmanOnly => Walk::Huffman,
            Strategy::Rle => Walk::Rle,
            _ if settings.level <= FAST_LEVELS => Walk::Fast,
            _ => Walk::Slow,
        };
        Window {
            walk,
            effort: EFFORTS[usize::from(settings.level) - 1],
            filtered: settings.strategy == Strategy::Filtered,
            size,
            // A comparison may look beyond the end of what is there; what it finds is cut off.
            buffer: vec![0; 2 * size + MAX_MATCH + 8],
            head: vec![0; 1 << hash_bits],
            previous: vec![0; size],
            hash: 0,
            hash_shift: hash_bits.div_ceil(3),
            start: 0,
            ahead: 0,
            block: 0,
            match_start: 0,
            match_length: MIN_MATCH - 1,
            previous_length: MIN_MATCH - 1,
            waiting: false,
        }
    }

    /// Takes input until the window is full; what is left comes back.
    pub(super) fn take<'i>(&mut self, input: &'i [u8]) -> &'i [u8] {
        let end = self.start + self.ahead;
        let (taken, left) = input.split_at(input.len().min(2 * self.size - end));
        self.buffer[end..end + taken.len()].copy_from_slice(taken);
        self.ahead += taken.len();
        if self.ahead >= MIN_MATCH {
            self.hash = usize::from(self.buffer[self.start]);
            self.update_hash(self.start + 1);
        }
        left
    }

    pub(super) fn is_full(&self) -> bool {
        self.start + self.ahead == 2 * self.size
    }

    /// Drops the older half.
    pub(super) fn slide(&mut self) {
        let size = self.size;
        self.buffer.copy_within(size..2 * size, 0);
        self.start -= size;
        self.match_start = self.match_start.wrapping_sub(size);
        self.block -= size.cast_signed();
        for place in self.head.iter_mut().chain(&mut self.previous) {
            *place = u16::try_from(usize::from(*place).saturating_sub(size)).unwrap_or(0);
        }
    }

    /// Walks until more input is wanted, or to the end.
    pub(super) fn compress(&mut self, blocks: &mut Blocks, output: &mut Vec<u8>, last: bool) {
        let appetite = if last { 1 } else { self.walk.appetite() };
        while self.ahead >= appetite {
            // As zlib does where it asks for more, even when there is no more.
            if last && self.ahead < self.walk.appetite() && self.start >= self.size + self.reach() {
                self.slide();
            }
            let full = match self.walk {
                Walk::Fast => self.step_fast(blocks),
                Walk::Slow => self.step_slow(blocks, output),
                Walk::Rle => self.step_rle(blocks),
                Walk::Huffman => self.step_literal(blocks),
            };
            if full {
                self.flush(blocks, output, false);
            }
        }
        if last && self.waiting {
            blocks.literal(self.buffer[self.start - 1]);
            self.waiting = false;
        }
    }

    /// Ends the current block.
    pub(super) fn flush(&mut self, blocks: &mut Blocks, output: &mut Vec<u8>, last: bool) {
        let length = self.start.cast_signed() - self.block;
        let length = usize::try_from(length).unwrap_or(0);
        let stored = usize::try_from(self.block)
            .ok()
            .map(|from| &self.buffer[from..from + length]);
        blocks.flush(stored, length, last, output);
        self.block = self.start.cast_signed();
    }

    fn update_hash(&mut self, at: usize) {
        let mask = self.head.len() - 1;
        self.hash = ((self.hash << self.hash_shift) ^ usize::from(self.buffer[at])) & mask;
    }

    /// Remembers the string at `at`, and says where the last one of its hash is.
    fn insert(&mut self, at: usize) -> usize {
        self.update_hash(at + MIN_MATCH - 1);
        let found = std::mem::replace(&mut self.head[self.hash], place(at));
        self.previous[at & (self.size - 1)] = found;
        usize::from(found)
    }

    /// The string at `start`, if enough is there for one: where the last one of its hash is, 0 for nowhere.
    fn insert_start(&mut self) -> usize {
        if self.ahead < MIN_MATCH {
            return 0;
        }
        self.insert(self.start)
    }

    /// The greatest distance.
    fn reach(&self) -> usize {
        self.size - MIN_LOOKAHEAD
    }

    fn in_reach(&self, found: usize) -> bool {
        found != 0 && self.start - found <= self.reach()
    }

    /// The byte at `start` on its own. Each step says whether the block is full.
    fn step_literal(&mut self, blocks: &mut Blocks) -> bool {
        let full = blocks.literal(self.buffer[self.start]);
        self.start += 1;
        self.ahead -= 1;
        full
    }

    /// Takes each match as it comes.
    fn step_fast(&mut self, blocks: &mut Blocks) -> bool {
        let found = self.insert_start();
        if self.in_reach(found) {
            self.match_length = self.longest_match(found);
        }
        if self.match_length < MIN_MATCH {
            return self.step_literal(blocks);
        }
        let length = std::mem::replace(&mut self.match_length, 0);
        let full = blocks.repeat(self.start - self.match_start, length);
        self.ahead -= length;
        if length <= self.effort.lazy && self.ahead >= MIN_MATCH {
            for at in self.start + 1..self.start + length {
                self.insert(at);
            }
            self.start += length;
        } else {
            self.start += length;
            self.hash = usize::from(self.buffer[self.start]);
            self.update_hash(self.start + 1);
        }
        full
    }

    /// Takes a match only when the one at the next byte isn't longer.
    fn step_slow(&mut self, blocks: &mut Blocks, output: &mut Vec<u8>) -> bool {
        let found = self.insert_start();
        self.previous_length = self.match_length;
        let previous_start = self.match_start;
        self.match_length = MIN_MATCH - 1;
        if self.previous_length < self.effort.lazy && self.in_reach(found) {
            self.match_length = self.longest_match(found);
            let far = self.match_length == MIN_MATCH && self.start - self.match_start > TOO_FAR;
            if self.match_length <= 5 && (self.filtered || far) {
                self.match_length = MIN_MATCH - 1;
            }
        }
        if self.previous_length >= MIN_MATCH && self.match_length <= self.previous_length {
            return self.take_previous(blocks, previous_start);
        }
        if self.waiting {
            let full = blocks.literal(self.buffer[self.start - 1]);
            if full {
                // Before the byte at `start` counts as part of the block.
                self.flush(blocks, output, false);
            }
        }
        self.waiting = true;
        self.start += 1;
        self.ahead -= 1;
        false
    }

    /// The match that began at the byte before `start`.
    fn take_previous(&mut self, blocks: &mut Blocks, previous_start: usize) -> bool {
        let last_insert = (self.start + self.ahead).saturating_sub(MIN_MATCH);
        // Its start may lie before the window by now; the distance is what counts.
        let distance = (self.start - 1).wrapping_sub(previous_start);
        let full = blocks.repeat(distance, self.previous_length);
        self.ahead -= self.previous_length - 1;
        let end = self.start + self.previous_length - 1;
        for at in self.start + 1..end {
            if at <= last_insert {
                self.insert(at);
            }
        }
        self.waiting = false;
        self.match_length = MIN_MATCH - 1;
        self.start = end;
        full
    }

    /// Only repetitions of the byte before.
    fn step_rle(&mut self, blocks: &mut Blocks) -> bool {
        if self.ahead < MIN_MATCH || self.start == 0 {
            return self.step_literal(blocks);
        }
        let byte = self.buffer[self.start - 1];
        let most = self.ahead.min(MAX_MATCH);
        let run = self.buffer[self.start..self.start + most].iter();
        let length = run.take_while(|other| **other == byte).count();
        if length < MIN_MATCH {
            return self.step_literal(blocks);
        }
        self.start += length;
        self.ahead -= length;
        blocks.repeat(1, length)
    }

    /// The longest match of the string at `start`, longer than the previous one; of equally long ones the nearest. What
    /// comes back is never more than is ahead.
    fn longest_match(&mut self, mut found: usize) -> usize {
        let (start, mask) = (self.start, self.size - 1);
        let limit = start.saturating_sub(self.reach());
        let mut best = self.previous_length;
        let nice = self.effort.nice.min(self.ahead);
        let mut chain = self.effort.chain;
        if self.previous_length >= self.effort.good {
            chain >>= 2;
        }
        let scan: &[u8; MAX_MATCH + 1] = self.buffer[start..].first_chunk().unwrap_or(&[0; MAX_MATCH + 1]);
        let mut end = [scan[best - 1], scan[best]];
        loop {
            let other = &self.buffer[found..found + MAX_MATCH + 1];
            if other[best - 1..=best] == end && other[..2] == scan[..2] {
                let length = common(scan, other);
                if length > best {
                    self.match_start = found;
                    best = length;
                    if length >= nice {
                        break;
                    }
                    end = [scan[best - 1], scan[best]];
                }
            }
            found = usize::from(self.previous[found & mask]);
            chain -= 1;
            if found <= limit || chain == 0 {
                break;
            }
        }
        best.min(self.ahead)
    }
}

/// How many of the first bytes are equal, [`MAX_MATCH`] at most.
fn common(left: &[u8; MAX_MATCH + 1], right: &[u8]) -> usize {
    let mut at = 0;
    for (left, right) in left[..256]
        .as_chunks::<8>()
        .0
        .iter()
        .zip(right.as_chunks::<8>().0)
    {
        let differs = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if differs != 0 {
            return at + (differs.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < MAX_MATCH && left[at] == right[at] {
        at += 1;
    }
    at
}

/// A place in the window, of which there are at most 65,536.
#[expect(clippy::cast_possible_truncation, reason = "the window has 65,536 places")]
fn place(at: usize) -> u16 {
    at as u16
}
