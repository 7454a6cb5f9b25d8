//! A clock that only tests move.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_service::Clock;

/// 2026-11-23T12:00:00Z, in microseconds since 1970.
const NOON: i64 = 1_795_435_200_000_000;

/// Stands still but for a microsecond each time that it is read, so that no two events happen at once.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Default for ManualClock {
    /// Noon of a Monday.
    fn default() -> Self {
        Self(AtomicI64::new(NOON))
    }
}

impl ManualClock {
    /// A clock that shows this time.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self(AtomicI64::new(time.timestamp_micros()))
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// For more than 292,000 years.
    pub fn advance(&self, time: TimeDelta) {
        let micros = time.num_microseconds().expect("too long for a clock");
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    /// The time, as the server sees it.
    pub fn read(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.fetch_add(1, Ordering::Relaxed)).unwrap_or_default()
    }

    /// Sets it to this time, unless that is past.
    pub fn set(&self, at: DateTime<Utc>) {
        self.0.fetch_max(at.timestamp_micros(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.read()
    }
}
