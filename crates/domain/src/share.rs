//! How large a part of the fleet a rollout takes, and which part.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Position};

/// The share of a fleet that a rollout takes, in percent with up to two decimals: 0 is nobody, 100 everybody. In JSON
/// it is a number, such as `10` or `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "f64")]
pub struct Percent(u16);

impl Percent {
    /// Nobody.
    pub const NOBODY: Self = Self(0);
    /// Everybody.
    pub const EVERYBODY: Self = Self(10_000);

    /// Takes a whole percentage.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `rollout_percent` outside of 0 to 100.
    pub fn new(percent: i64) -> Result<Self, Error> {
        percent
            .checked_mul(100)
            .map_or_else(|| Err(out_of_range(percent)), Self::of_hundredths)
    }

    /// Takes hundredths of a percent, 0 to 10,000.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `rollout_percent`.
    pub fn of_hundredths(hundredths: i64) -> Result<Self, Error> {
        u16::try_from(hundredths)
            .ok()
            .filter(|hundredths| *hundredths <= Self::EVERYBODY.0)
            .map(Self)
            .ok_or_else(|| out_of_range(decimal(hundredths)))
    }

    /// Takes a percentage with up to two decimals.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `rollout_percent` outside of 0 to 100, and for a third decimal.
    pub fn of_decimal(percent: f64) -> Result<Self, Error> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(out_of_range(percent));
        }
        let hundredths = (percent * 100.0).round();
        // What a decimal number is off by as a binary one is far smaller than a third decimal.
        if (percent * 100.0 - hundredths).abs() > 1e-6 {
            let fault = format!("may have up to two decimals, not {percent}");
            return Err(Error::invalid("rollout_percent", fault));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is at most 10,000")]
        Self::of_hundredths(hundredths as i64)
    }

    /// Hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// The percentage as a decimal number.
    pub fn as_decimal(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The percentage for those who know whole ones only, rounded up: whoever is taken is always below it.
    pub fn rounded_up(self) -> u8 {
        u8::try_from(self.0.div_ceil(100)).unwrap_or(100)
    }

    /// The same as a share.
    pub fn share(self) -> Share {
        Share(u32::from(self.0) * 10_000)
    }

    /// A share in hundredths of a percent, rounded down.
    pub fn of_share(share: Share) -> Self {
        Self(u16::try_from(share.0 / 10_000).unwrap_or(Self::EVERYBODY.0))
    }
}

fn out_of_range(percent: impl fmt::Display) -> Error {
    Error::invalid(
        "rollout_percent",
        format!("must be from 0.01 to 100, not {percent}"),
    )
}

#[expect(clippy::cast_precision_loss, reason = "it is shown to a person")]
fn decimal(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}

impl TryFrom<f64> for Percent {
    type Error = Error;
    fn try_from(percent: f64) -> Result<Self, Error> {
        Self::of_decimal(percent)
    }
}

/// Whole percents are written without a point, as they always were.
impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(100) {
            serializer.serialize_u16(self.0 / 100)
        } else {
            serializer.serialize_f64(self.as_decimal())
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.as_decimal())
    }
}

/// A part of the fleet in hundred-millionths: 10⁸ is everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Share(u32);

impl Share {
    /// Nobody.
    pub const NOBODY: Self = Self(0);
    /// Everybody.
    pub const WHOLE: Self = Self(Position::END);

    /// Takes hundred-millionths, 0 to 10⁸.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `width_percent`.
    pub fn new(units: i64) -> Result<Self, Error> {
        u32::try_from(units)
            .ok()
            .filter(|units| *units <= Position::END)
            .map(Self)
            .ok_or_else(|| Error::invalid("width_percent", "must be from 0.01 to 100"))
    }

    /// Hundred-millionths that are known to be of the fleet.
    pub(crate) fn within(units: u32) -> Self {
        Self(units.min(Position::END))
    }

    /// Hundred-millionths.
    pub fn get(self) -> u32 {
        self.0
    }

    /// This part of that part, rounded down.
    pub fn of(self, whole: Self) -> Self {
        let part = u64::from(self.0) * u64::from(whole.0) / u64::from(Position::END);
        Self(u32::try_from(part).unwrap_or(Position::END))
    }

    /// In percent.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl TryFrom<i64> for Share {
    type Error = Error;
    fn try_from(units: i64) -> Result<Self, Error> {
        Self::new(units)
    }
}

/// The part of all positions that a rollout has for itself: from `start` on, `width` of them, beyond the last one
/// going on with the first. Rollouts on slices that don't overlap never meet the same device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Where it begins.
    pub start: Position,
    /// How much of the fleet it is.
    pub width: Share,
}

impl Slice {
    /// All positions from the first one: what a rollout has that says nothing of slices.
    pub const WHOLE: Self = Self {
        start: Position::FIRST,
        width: Share::WHOLE,
    };

    /// A slice by the percentages that people write: its start with up to six decimals, below 100, and its width with up
    /// to six, above 0.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `slice.start` or `slice.width_percent`.
    pub fn of_percents(start: f64, width: f64) -> Result<Self, Error> {
        let start = units(start)
            .and_then(Position::new)
            .ok_or_else(|| Error::invalid("slice.start", "must be at least 0 and below 100, or \"auto\""))?;
        let width = units(width)
            .filter(|units| (1..=Position::END).contains(units))
            .map(Share)
            .ok_or_else(|| Error::invalid("slice.width_percent", "must be above 0 and at most 100"))?;
        Ok(Self { start, width })
    }

    /// Whether a rollout to this share of the slice takes the device at this position.
    pub fn takes(self, position: Position, share: Share) -> bool {
        position.distance_from(self.start) < share.of(self.width).0
    }

    /// The smallest share of this slice that takes the device at this position; none takes it where it is not in the
    /// slice.
    pub fn share_at(self, position: Position) -> Option<Share> {
        let reached = (u64::from(position.distance_from(self.start)) + 1) * u64::from(Position::END);
        let share = reached.div_ceil(u64::from(self.width.0).max(1));
        u32::try_from(share)
            .ok()
            .filter(|share| *share <= Position::END)
            .map(Share)
    }

    /// Where a slice begins that meets none of the devices which this share of this slice takes.
    pub fn after(self, share: Share) -> Position {
        self.start.advanced_by(share.of(self.width))
    }
}

fn units(percent: f64) -> Option<u32> {
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is from 0 to 10^8"
    )]
    Some((percent * 1e6).round() as u32)
}

/// As people write it, in percent.
#[derive(Serialize, Deserialize)]
struct SlicePercents {
    start_percent: f64,
    width_percent: f64,
}

impl Serialize for Slice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SlicePercents {
            start_percent: self.start.as_percent(),
            width_percent: self.width.as_percent(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Slice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percents = SlicePercents::deserialize(deserializer)?;
        Self::of_percents(percents.start_percent, percents.width_percent).map_err(serde::de::Error::custom)
    }
}

impl Default for Slice {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} % from {} % on",
            self.width.as_percent(),
            self.start.as_percent()
        )
    }
}
