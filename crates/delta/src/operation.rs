//! What the control part is made of: numbers, whose lowest two bits are the kind.

/// Takes as many bytes from the old side as they are.
pub(crate) const COPY: u64 = 0;
/// Takes as many bytes from the old side, and adds the difference part's to them.
#[cfg(feature = "make")]
pub(crate) const ADD: u64 = 1;
/// Takes as many bytes from the extra part.
pub(crate) const INSERT: u64 = 2;
/// Moves on the old side, by a signed number.
pub(crate) const MOVE: u64 = 3;

/// Kind and value.
pub(crate) fn split(number: u64) -> (u64, u64) {
    (number & 3, number >> 2)
}

/// The reverse of [`split`].
#[cfg(feature = "make")]
pub(crate) fn join(kind: u64, value: u64) -> u64 {
    (value << 2) | kind
}
