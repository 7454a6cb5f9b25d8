//! Ramps that are given as a rate: at most so many devices an hour.
//!
//! A ramp is a duration, since only the share moves with time and nobody counts devices while it does. So a rate is turned
//! into the duration once, by how many devices the step adds as the fleet is known then.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{MAX_SPAN, Plan, Span};
use crate::Error;

/// The seconds of an hour.
const HOUR: u128 = 3_600;

/// How many devices an hour a ramp may take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DevicesPerHour(NonZeroU32);

impl DevicesPerHour {
    /// Takes a number of devices, 1 to 4,294,967,295.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan`.
    pub fn new(devices: i64) -> Result<Self, Error> {
        let devices = u32::try_from(devices).ok().and_then(NonZeroU32::new);
        devices.map(Self).ok_or_else(|| {
            let fault = format!("has a devices_per_hour that is not from 1 to {}", u32::MAX);
            Error::invalid("plan", fault)
        })
    }

    /// How long a ramp takes that adds so many devices: whole seconds, rounded up, so that the rate is kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan` where that is more than [`MAX_SPAN`].
    pub fn ramp(self, added: u64) -> Result<Span, Error> {
        let seconds = (u128::from(added) * HOUR).div_ceil(u128::from(self.0.get()));
        let seconds = u64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds <= MAX_SPAN.as_secs());
        let Some(seconds) = seconds else {
            let fault = format!("adds {added} devices, which takes more than 365 days at {self}");
            return Err(Error::invalid("plan", fault));
        };
        Span::new(Duration::from_secs(seconds))
    }
}

impl fmt::Display for DevicesPerHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} devices an hour", self.0)
    }
}

impl Plan {
    /// The same plan with the ramps that these rates come to. `rates` and `added`, how many devices each step adds, go by
    /// its steps; one without a rate keeps its ramp.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan` for a ramp that would be longer than [`MAX_SPAN`].
    pub fn paced(&self, rates: &[Option<DevicesPerHour>], added: &[u64]) -> Result<Self, Error> {
        let mut paced = self.clone();
        let counted = rates.iter().zip(added);
        for (number, (step, (rate, added))) in (1..).zip(paced.steps.iter_mut().zip(counted)) {
            let Some(rate) = rate else { continue };
            let numbered = |fault: Error| Error::invalid("plan", format!("step {number}: {fault}"));
            step.over = rate.ramp(*added).map_err(numbered)?;
        }
        Ok(paced)
    }
}
