//! What telling a byte costs: an estimate of what the compressor makes of it, found by trying.

use super::alignment::Diagonal;

/// A byte that is told anew.
pub(super) const INSERTED: i64 = 4;
/// A byte that differs from the base's. Where half of them are right, telling them anew costs the same.
const DIFFERS: i64 = 8;
/// One whose difference is that of [`STRIDE`] bytes before, as in tables of numbers that all have become larger by as much.
const REPEATS: i64 = 2;
const STRIDE: usize = 4;
/// Beginning to tell bytes anew.
pub(super) const OPERATION: i64 = 48;
/// Going to another place of the base.
pub(super) const MOVE: i64 = 64;

/// Both sides.
#[derive(Clone, Copy)]
pub(super) struct Sides<'s> {
    pub(super) old: &'s [u8],
    pub(super) new: &'s [u8],
}

impl Sides<'_> {
    /// The price of the result's byte on a diagonal; none where the base has no byte.
    pub(super) fn price(&self, at: usize, diagonal: Diagonal) -> Option<i64> {
        let now = self.difference(at, diagonal)?;
        if now == 0 {
            return Some(0);
        }
        let before = at.checked_sub(STRIDE);
        let repeats = before.and_then(|before| self.difference(before, diagonal)) == Some(now);
        Some(if repeats { REPEATS } else { DIFFERS })
    }

    /// What has to be added to the base's byte.
    fn difference(&self, at: usize, diagonal: Diagonal) -> Option<u8> {
        let old = self.old.get(at.checked_add_signed(diagonal)?)?;
        Some(self.new[at].wrapping_sub(*old))
    }
}
