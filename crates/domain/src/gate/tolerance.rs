//! The share of devices that may fail.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The share of devices that a build may fail on before it counts as bad: 0.01 to 50 percent, with up to two decimals. In
/// JSON it is a number in percent, such as `2` or `0.2`.
///
/// Below a hundredth of a percent no fleet tells a bad build from a good one in time, and above a half "bad" has lost its
/// sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Tolerance(u16);

impl Tolerance {
    /// What may fail of installations unless the gate says otherwise: 2 %.
    pub const FAILED: Self = Self(200);
    /// What may arrive damaged unless the gate says otherwise: 0.2 %.
    pub const CORRUPT: Self = Self(20);

    const LOWEST: u16 = 1;
    const HIGHEST: u16 = 5_000;

    /// Takes a percentage; `field` is its name in the protocol.
    ///
    /// # Errors
    /// [`Error::Invalid`] with that field, outside of 0.01 to 50 and for a third decimal.
    pub fn of_percent(field: &'static str, percent: f64) -> Result<Self, Error> {
        if !(0.01..=50.0).contains(&percent) {
            return Err(Error::invalid(
                field,
                format!("must be from 0.01 to 50, not {percent}"),
            ));
        }
        let hundredths = (percent * 100.0).round();
        // What a decimal number is off by as a binary one is far smaller than a third decimal.
        if (percent * 100.0 - hundredths).abs() > 1e-6 {
            let fault = format!("may have up to two decimals, not {percent}");
            return Err(Error::invalid(field, fault));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 1 to 5,000"
        )]
        Ok(Self((hundredths as u16).clamp(Self::LOWEST, Self::HIGHEST)))
    }

    /// In percent.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// As a fraction: 0.0001 to 0.5.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// How many of so many devices it is, rounded down.
    pub fn of(self, devices: u64) -> u64 {
        let devices = u128::from(devices) * u128::from(self.0) / 10_000;
        u64::try_from(devices).unwrap_or(u64::MAX)
    }
}

impl TryFrom<f64> for Tolerance {
    type Error = Error;
    fn try_from(percent: f64) -> Result<Self, Error> {
        Self::of_percent("tolerance", percent)
    }
}

impl From<Tolerance> for f64 {
    fn from(tolerance: Tolerance) -> Self {
        tolerance.as_percent()
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.as_percent())
    }
}
