//! Android platform versions, by API level.

use serde::Serialize;

/// A range of SDK levels, both ends included: the devices that a file has to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct SdkRange {
    /// The lowest level.
    pub min: u32,
    /// The highest level; [`SdkRange::OPEN`] for all that will ever come.
    pub max: u32,
}

impl SdkRange {
    /// The upper end of a range without an upper end; the platform's own numbers are signed.
    pub const OPEN: u32 = i32::MAX.unsigned_abs();

    /// From `min` on, without an upper end.
    #[must_use]
    pub fn from(min: u32) -> Self {
        Self { min, max: Self::OPEN }
    }

    /// Whether `level` is in the range.
    #[must_use]
    pub fn contains(self, level: u32) -> bool {
        (self.min..=self.max).contains(&level)
    }
}

impl std::fmt::Display for SdkRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (min, Self::OPEN) => write!(f, "{min}+"),
            (min, max) if min == max => write!(f, "{min}"),
            (min, max) => write!(f, "{min}-{max}"),
        }
    }
}
