//! What the server said that a rollout would do, beside what it then did.
//!
//! The forecast is asked for a moment before the rollout is made, with the very body that makes it. At the end each device's
//! first offer is looked up in what went over the wire: to which step the device belongs its position says, and when it was
//! offered the build, the server's own `Date`.

use serde::{Deserialize, Serialize};

/// By how much a time may differ from what was said, as a part of it.
const TOLERATED: f64 = 0.15;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Told {
    devices: u64,
    sampled: bool,
    steps: Vec<ToldStep>,
    times: ToldTimes,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ToldStep {
    new_devices: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct ToldTimes {
    half_after_s: Option<i64>,
    ninety_after_s: Option<i64>,
}

/// Something that was forecast, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// What the server had said.
    pub forecast: i64,
    /// What was.
    pub happened: i64,
}

/// What the forecast was worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForecastBooks {
    /// How many devices the server knew.
    pub devices: u64,
    /// Whether it asked a sample only.
    pub sampled: bool,
    /// The devices of each step.
    pub steps: Vec<Compared>,
    /// After how many seconds half of the devices had been offered the build.
    pub half_s: Compared,
    /// The same of 90 of 100.
    pub ninety_s: Compared,
}

impl Compared {
    /// Whether they differ by no more than may be.
    fn is_near(self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "some days in seconds")]
        let (forecast, happened) = (self.forecast as f64, self.happened as f64);
        (forecast - happened).abs() <= TOLERATED * happened
    }
}

impl ForecastBooks {
    /// Beside what happened: of each device that was offered the build its step, from 0, and after how many seconds.
    pub(crate) fn of(told: &Told, mut offers: Vec<(usize, i64)>) -> Self {
        let steps = told.steps.iter().enumerate().map(|(number, step)| Compared {
            forecast: i64::try_from(step.new_devices).unwrap_or(i64::MAX),
            happened: i64::try_from(offers.iter().filter(|(of, _)| *of == number).count())
                .unwrap_or(i64::MAX),
        });
        let steps = steps.collect();
        offers.sort_unstable_by_key(|(_, after)| *after);
        let after = |hundredths: usize| {
            let place = (offers.len() * hundredths).div_ceil(100).saturating_sub(1);
            offers.get(place).map_or(0, |(_, after)| *after)
        };
        Self {
            devices: told.devices,
            sampled: told.sampled,
            steps,
            half_s: Compared {
                forecast: told.times.half_after_s.unwrap_or(0),
                happened: after(50),
            },
            ninety_s: Compared {
                forecast: told.times.ninety_after_s.unwrap_or(0),
                happened: after(90),
            },
        }
    }

    /// Whether the devices of each step are exact, and the times within 15 %.
    pub fn hold(&self) -> bool {
        let exact = self.steps.iter().all(|step| step.forecast == step.happened);
        !self.sampled && exact && self.half_s.is_near() && self.ninety_s.is_near()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(steps: &[u64], half: i64, ninety: i64) -> Told {
        Told {
            devices: steps.iter().sum(),
            sampled: false,
            steps: steps
                .iter()
                .map(|new_devices| ToldStep {
                    new_devices: *new_devices,
                })
                .collect(),
            times: ToldTimes {
                half_after_s: Some(half),
                ninety_after_s: Some(ninety),
            },
        }
    }

    #[test]
    fn one_device_more_or_a_time_too_far_off_is_not_what_was_said() {
        let offers: Vec<(usize, i64)> = (1..=10).map(|at| (usize::from(at > 3), at * 100)).collect();
        let books = |told| ForecastBooks::of(&told, offers.clone());
        assert!(books(told(&[3, 7], 500, 900)).hold());
        assert!(books(told(&[3, 7], 570, 800)).hold());
        assert!(!books(told(&[4, 6], 500, 900)).hold());
        assert!(!books(told(&[3, 7], 580, 900)).hold());
        assert!(!books(told(&[3, 7], 500, 760)).hold());
    }
}
