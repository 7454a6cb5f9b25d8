//! The parts of a patch, as they are written.

use super::index::common;
use crate::number;
use crate::operation::{self, ADD, COPY, INSERT, MOVE};

/// From this length on equal bytes are an operation of their own; shorter ones are zeros among the differences.
const EXACT: usize = 64;

/// The parts of a patch, unpacked.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) control: Vec<u8>,
    pub(super) difference: Vec<u8>,
    pub(super) extra: Vec<u8>,
    /// Where the old side's reader is.
    cursor: usize,
}

impl Parts {
    /// So many bytes from the old side, with what differs.
    pub(super) fn add(&mut self, old: &[u8], new: &[u8], from: usize, to: usize, length: usize) {
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

    pub(super) fn insert(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.operation(INSERT, bytes.len() as u64);
            self.extra.extend_from_slice(bytes);
        }
    }

    fn operation(&mut self, kind: u64, value: u64) {
        number::write(operation::join(kind, value), &mut self.control);
    }
}
