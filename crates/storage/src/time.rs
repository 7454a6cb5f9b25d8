//! Times in tables: unix microseconds, UTC. Both engines hold them alike, and they compare as numbers.

use chrono::{DateTime, Utc};

use crate::Error;

const HOUR: i64 = 3_600_000_000;

const MINUTE: i64 = 60_000_000;

pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

pub(crate) fn moment(micros: i64) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| Error::corrupt("a time", micros))
}

pub(crate) fn moment_if(micros: Option<i64>) -> Result<Option<DateTime<Utc>>, Error> {
    micros.map(moment).transpose()
}

/// The beginning of the minute.
pub(crate) fn minute(micros: i64) -> i64 {
    micros - micros.rem_euclid(MINUTE)
}

/// The beginning of the hour.
pub(crate) fn hour(micros: i64) -> i64 {
    micros - micros.rem_euclid(HOUR)
}
