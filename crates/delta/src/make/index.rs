//! Finds where the base has what the result goes on with.

use libsais::SuffixArrayConstruction;

use super::Search;
use super::views::Views;

/// A place in the pieces put together, which four bytes must hold.
const MOST: usize = i32::MAX as usize;
/// What a block index looks up.
const BLOCK: usize = 24;

pub(super) struct Index<'v> {
    old: &'v [u8],
    /// The pieces of `old` put together.
    text: Vec<u8>,
    /// Where each piece begins in `text`, and in `old`.
    starts: Vec<(usize, usize)>,
    places: Places,
}

enum Places {
    Suffixes {
        sorted: Vec<i32>,
        buckets: Vec<u32>,
    },
    /// By hash, one more than the number of a block; 0 for none.
    Blocks(Vec<u32>),
}

impl<'v> Index<'v> {
    /// `None`: no index fits into so much memory.
    pub(super) fn new(views: &'v Views, memory: u64) -> Option<Index<'v>> {
        let length: usize = views.pieces.iter().map(ExactSizeIterator::len).sum();
        let suffixes = (length * 5 + BUCKETS * 4) as u64;
        if Index::least(views) > memory || length > MOST {
            return None;
        }
        let mut text = Vec::with_capacity(length);
        let mut starts = Vec::with_capacity(views.pieces.len());
        for piece in &views.pieces {
            starts.push((text.len(), piece.start));
            text.extend_from_slice(&views.old[piece.clone()]);
        }
        let sorted = (suffixes <= memory).then(|| sorted(&text)).flatten();
        let places = match sorted {
            Some(sorted) => Places::Suffixes {
                buckets: buckets(&text),
                sorted,
            },
            None => Places::Blocks(blocks(&text)),
        };
        Some(Index {
            old: &views.old,
            text,
            starts,
            places,
        })
    }

    /// The memory that the smallest index takes.
    pub(super) fn least(views: &Views) -> u64 {
        let length: usize = views.pieces.iter().map(ExactSizeIterator::len).sum();
        (length + slots(length) * 4) as u64
    }

    pub(super) fn search(&self) -> Search {
        match self.places {
            Places::Suffixes { .. } => Search::Suffixes,
            Places::Blocks(_) => Search::Blocks,
        }
    }

    /// Where `old` has the longest beginning of `wanted`.
    pub(super) fn find(&self, wanted: &[u8]) -> Option<usize> {
        let place = match &self.places {
            Places::Suffixes { sorted, buckets } => nearest(&self.text, sorted, buckets, wanted),
            Places::Blocks(table) => block(&self.text, table, wanted),
        }?;
        let piece = self.starts.partition_point(|(start, _)| *start <= place) - 1;
        let (start, old) = self.starts[piece];
        Some(old + place - start).filter(|place| *place < self.old.len())
    }
}

fn sorted(text: &[u8]) -> Option<Vec<i32>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let construction = SuffixArrayConstruction::for_text(text)
        .in_owned_buffer32()
        .single_threaded();
    Some(construction.run().ok()?.into_vec())
}

/// How many beginnings of two bytes there are, and an end.
const BUCKETS: usize = 65_537;

/// Where the suffixes begin that start with two bytes; the one of a single byte is left out.
fn buckets(text: &[u8]) -> Vec<u32> {
    let mut counts = vec![0_u32; BUCKETS];
    for pair in text.array_windows::<2>() {
        counts[usize::from(u16::from_be_bytes(*pair)) + 1] += 1;
    }
    if let Some(last) = text.last() {
        // It comes before all others of its first byte.
        counts[usize::from(*last) << 8] += 1;
    }
    let mut sum = 0;
    for count in &mut counts {
        sum += *count;
        *count = sum;
    }
    counts
}

/// The place of the suffix that has the most in common with what is wanted.
fn nearest(text: &[u8], sorted: &[i32], buckets: &[u32], wanted: &[u8]) -> Option<usize> {
    let suffix = |rank: usize| usize::try_from(sorted[rank]).unwrap_or(0);
    let bucket = usize::from(u16::from_be_bytes(*wanted.first_chunk()?));
    let (mut low, mut high) = (buckets[bucket] as usize, buckets[bucket + 1] as usize);
    if text
        .last()
        .is_some_and(|last| usize::from(*last) << 8 == bucket + 1)
    {
        // The suffix of a single byte, which is in no bucket.
        high -= 1;
    }
    if low == high {
        return None;
    }
    let wanted = &wanted[..wanted.len().min(super::matching::REACH)];
    // Everything below `low` is smaller, from `high` on nothing is; what both sides share with it both share.
    let (mut left, mut right) = (2, 2);
    let (mut best, mut longest) = (suffix(low), 0);
    while low < high {
        let middle = low + (high - low) / 2;
        let place = suffix(middle);
        let shared = left.min(right);
        let length = shared + common(&text[place + shared..], &wanted[shared..]);
        if length > longest {
            (best, longest) = (place, length);
        }
        if length == wanted.len() {
            break;
        }
        if text.get(place + length).is_none_or(|byte| *byte < wanted[length]) {
            (low, left) = (middle + 1, length);
        } else {
            (high, right) = (middle, length);
        }
    }
    Some(best)
}

/// How many of the first bytes are equal.
pub(super) fn common(left: &[u8], right: &[u8]) -> usize {
    let words = left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
    let mut at = 0;
    for (left, right) in words {
        let differs = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if differs != 0 {
            return at + (differs.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = left[at..].iter().zip(&right[at..]);
    at + rest.take_while(|(left, right)| left == right).count()
}

fn slots(length: usize) -> usize {
    (length / BLOCK * 2).next_power_of_two().max(1024)
}

fn blocks(text: &[u8]) -> Vec<u32> {
    let mut table = vec![0; slots(text.len())];
    for (number, bytes) in (1..).zip(text.as_chunks::<BLOCK>().0) {
        let slot = &mut table[slot(bytes, slots(text.len()))];
        // The first of equal ones.
        if *slot == 0 {
            *slot = number;
        }
    }
    table
}

fn slot(bytes: &[u8; BLOCK], slots: usize) -> usize {
    let words = bytes.as_chunks::<8>().0.iter();
    let hash = words.fold(0_u64, |hash, word| {
        (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    #[expect(clippy::cast_possible_truncation, reason = "it is below the number of slots")]
    let slot = (hash >> (64 - slots.ilog2())) as usize;
    slot
}

fn block(text: &[u8], table: &[u32], wanted: &[u8]) -> Option<usize> {
    let bytes = wanted.first_chunk::<BLOCK>()?;
    let number = table[slot(bytes, table.len())].checked_sub(1)?;
    let place = number as usize * BLOCK;
    (text.get(place..place + BLOCK)? == bytes).then_some(place)
}
