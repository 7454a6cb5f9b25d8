//! How many devices are sent files at once.
//!
//! What is beyond the limit is asked to come later and not queued: a connection that waits costs as much as one that is
//! served. When to come is spread evenly, so that those that were sent away together do not return together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::{Error, Kind};

/// The shortest time after which a device that was sent away is to come again, in seconds.
const FIRST_RETRY_S: u64 = 60;

/// Over so many seconds more its return is spread. A prime, so that the steps below visit each of them.
const SPREAD_S: u64 = 127;

/// From one return to the next that is told: near the golden section of the spread, so that any few in a row lie apart.
const STEP_S: u64 = 79;

/// The places of downloads under way.
#[derive(Debug, Default)]
pub struct DownloadSlots {
    /// 0 for no limit.
    limit: usize,
    taken: AtomicUsize,
    refused: AtomicU64,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<DownloadSlots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl DownloadSlots {
    /// So many downloads at once; 0 for any number.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// How many downloads are under way.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many devices were sent away since the process began.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] with the time after which to ask again, when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Slot, Error> {
        let has_room = |taken: usize| (self.limit == 0 || taken < self.limit).then_some(taken + 1);
        match self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, has_room)
        {
            Ok(_) => Ok(Slot(Arc::clone(self))),
            Err(_) => Err(self.full()),
        }
    }

    fn full(&self) -> Error {
        let number = self.refused.fetch_add(1, Ordering::Relaxed);
        let pause = FIRST_RETRY_S + number % SPREAD_S * STEP_S % SPREAD_S;
        let message = format!(
            "{} downloads are under way, which is as many as may be",
            self.limit
        );
        Error::new(Kind::Unavailable, "downloads_busy", message).after(Duration::from_secs(pause))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let slots = Arc::new(DownloadSlots::new(2));
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        assert_eq!(slots.take().unwrap_err().code, "downloads_busy");
        drop(one);
        let three = slots.take().unwrap();
        assert!(slots.take().is_err());
        drop((two, three));
        assert_eq!((slots.taken(), slots.refused()), (0, 2));
    }

    #[test]
    fn without_a_limit_there_is_always_a_place_and_it_is_counted() {
        let slots = Arc::new(DownloadSlots::new(0));
        let taken: Vec<_> = (0..1_000).map(|_| slots.take().unwrap()).collect();
        assert_eq!(slots.taken(), taken.len());
    }

    #[test]
    fn those_that_are_sent_away_together_return_apart() {
        let slots = Arc::new(DownloadSlots::new(1));
        let _taken = slots.take().unwrap();
        let told = || slots.take().unwrap_err().retry_after.unwrap().as_secs();
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
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let slot = slots.take();
                        assert!(slots.taken() <= 3);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!(slots.taken(), 0);
    }
}
