//! How many devices are sent files at once.
//!
//! What is beyond the limit is asked to come later and not queued: a connection that waits costs as much as one that is
//! served. When to come is spread evenly, so that those that were sent away together do not return together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_domain::DeviceId;

use crate::{Error, Kind};

/// The shortest time after which a device that was sent away is to come again, in seconds.
const FIRST_RETRY_S: u64 = 60;

/// Over so many seconds more its return is spread. A prime, so that the steps below visit each of them.
const SPREAD_S: u64 = 127;

/// From one return to the next that is told: near the golden section of the spread, so that any few in a row lie apart.
const STEP_S: u64 = 79;

/// How many requests of one device share its place: one that resumes is not refused for what is left of its own downloads
/// that the network cut, and none takes more than a few connections.
const MAX_PER_DEVICE: usize = 4;

/// The places of devices that are sent files: one for each, however many requests it has under way.
#[derive(Debug, Default)]
pub struct DownloadSlots {
    /// 0 for no limit.
    limit: usize,
    /// The requests that each of them has under way.
    devices: Mutex<HashMap<DeviceId, usize>>,
    refused: AtomicU64,
}

/// A request's share of its device's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<DownloadSlots>,
    device: DeviceId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut devices = self.slots.devices();
        if let Some(requests) = devices.get_mut(&self.device) {
            *requests -= 1;
            if *requests == 0 {
                devices.remove(&self.device);
            }
        }
    }
}

impl DownloadSlots {
    /// So many devices at once; 0 for any number.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// How many devices are sent files.
    pub fn taken(&self) -> usize {
        self.devices().len()
    }

    /// How many requests were sent away since the process began.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes a place for the device, or a share of the one that it has.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] with the time after which to ask again, when all are taken, or the device's own by
    /// [`MAX_PER_DEVICE`] requests.
    pub(crate) fn take(self: &Arc<Self>, device: &DeviceId) -> Result<Slot, Error> {
        let mut devices = self.devices();
        let under_way = devices.get(device).copied().unwrap_or(0);
        if self.limit > 0 {
            if under_way == 0 && devices.len() >= self.limit {
                let fault = format!(
                    "{} devices are sent files, which is as many as may be",
                    self.limit
                );
                return Err(self.busy(fault));
            }
            if under_way >= MAX_PER_DEVICE {
                let fault =
                    format!("{under_way} downloads of this device are under way, which is as many as may be");
                return Err(self.busy(fault));
            }
        }
        devices.insert(device.clone(), under_way + 1);
        Ok(Slot {
            slots: Arc::clone(self),
            device: device.clone(),
        })
    }

    /// No holder of the lock leaves it half changed.
    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, usize>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self, message: String) -> Error {
        let number = self.refused.fetch_add(1, Ordering::Relaxed);
        let pause = FIRST_RETRY_S + number % SPREAD_S * STEP_S % SPREAD_S;
        Error::new(Kind::Unavailable, "downloads_busy", message).after(Duration::from_secs(pause))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn device(number: usize) -> DeviceId {
        DeviceId::parse(&format!("phone-{number}")).unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let slots = Arc::new(DownloadSlots::new(2));
        let take = |number| slots.take(&device(number));
        let (one, two) = (take(1).unwrap(), take(2).unwrap());
        assert_eq!(take(3).unwrap_err().code, "downloads_busy");
        drop(one);
        let three = take(3).unwrap();
        assert!(take(1).is_err());
        drop((two, three));
        assert_eq!((slots.taken(), slots.refused()), (0, 2));
    }

    #[test]
    fn a_device_has_one_place_for_a_few_requests() {
        let slots = Arc::new(DownloadSlots::new(2));
        let take = |number| slots.take(&device(number));
        let mut own: Vec<_> = (0..MAX_PER_DEVICE).map(|_| take(1).unwrap()).collect();
        assert_eq!(take(1).unwrap_err().code, "downloads_busy");
        let other = take(2).unwrap();
        assert_eq!(slots.taken(), 2);
        own.pop();
        own.push(take(1).unwrap());
        drop(other);
        own.truncate(1);
        assert_eq!(slots.taken(), 1, "it keeps its place until its last request ends");
        own.clear();
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn without_a_limit_there_is_always_a_place_and_it_is_counted() {
        let slots = Arc::new(DownloadSlots::new(0));
        let taken: Vec<_> = (0..1_000)
            .flat_map(|number| (0..6).map(move |_| number))
            .map(|number| slots.take(&device(number)).unwrap())
            .collect();
        assert_eq!((slots.taken(), taken.len()), (1_000, 6_000));
    }

    #[test]
    fn those_that_are_sent_away_together_return_apart() {
        let slots = Arc::new(DownloadSlots::new(1));
        let _taken = slots.take(&device(0)).unwrap();
        let told = || slots.take(&device(1)).unwrap_err().retry_after.unwrap().as_secs();
        let pauses: BTreeSet<u64> = (0..SPREAD_S).map(|_| told()).collect();
        let all: BTreeSet<u64> = (FIRST_RETRY_S..FIRST_RETRY_S + SPREAD_S).collect();
        assert_eq!(pauses, all, "each second once");
        let few: Vec<u64> = (0..10).map(|_| told()).collect();
        for (at, pause) in few.iter().enumerate() {
            let apart = |other: &u64| other.abs_diff(*pause) >= 3;
            assert!(few[..at].iter().all(apart), "{few:?}");
        }
    }

    #[test]
    fn threads_never_take_more_places_than_there_are() {
        let slots = Arc::new(DownloadSlots::new(3));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (slots, device) = (&slots, device(number));
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        let slot = slots.take(&device);
                        assert!(slots.taken() <= 3);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!(slots.taken(), 0);
    }
}
