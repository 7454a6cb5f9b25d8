//! Device tokens of earlier generations that are still shown, kept in memory until they are written once a minute. When
//! the device has enrolled again since, two phones share its id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tidegate_domain::DeviceId;

/// How many devices are kept between two writings. Those beyond it are not noted.
const MAX_NOTED: usize = 10_000;

/// The last time of each device, and the generation that it showed.
#[derive(Default)]
pub(crate) struct OutdatedTokens(Mutex<HashMap<DeviceId, (u32, DateTime<Utc>)>>);

impl OutdatedTokens {
    pub(crate) fn note(&self, device: DeviceId, generation: u32, now: DateTime<Utc>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < MAX_NOTED || noted.contains_key(&device) {
            noted.insert(device, (generation, now));
        }
    }

    pub(crate) fn take(&self) -> Vec<(DeviceId, u32, DateTime<Utc>)> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *noted).into_iter();
        taken
            .map(|(device, (generation, at))| (device, generation, at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_is_taken_once_and_there_is_a_bound() {
        let (noted, now) = (OutdatedTokens::default(), DateTime::UNIX_EPOCH);
        let device = |name: &str| DeviceId::parse(name).unwrap();
        noted.note(device("a"), 1, now);
        noted.note(device("a"), 2, now);
        assert_eq!(noted.take(), [(device("a"), 2, now)]);
        for number in 0..=MAX_NOTED {
            noted.note(device(&number.to_string()), 1, now);
        }
        assert_eq!(noted.take().len(), MAX_NOTED);
        assert_eq!(noted.take(), []);
    }
}
