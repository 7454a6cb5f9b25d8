//! A time to act at that notices when the clock was set back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::backoff::MAX_WAIT;

/// A time to act at, with the length of the wait that was meant when it was set.
///
/// The time that is left can only shrink. When more is left than the whole wait and a tenth of it, the clock has been
/// set back, by minutes or by years, and the deadline was set by a clock that was ahead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub(crate) struct Deadline {
    pub(crate) at: DateTime<Utc>,
    wait_ms: u64,
}

/// The forms in which state files hold a deadline.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    /// An early agent wrote the time alone.
    Time(DateTime<Utc>),
    TimeAndWait {
        at: DateTime<Utc>,
        wait_ms: u64,
    },
}

impl From<Stored> for Deadline {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Time(at) => Self {
                at,
                wait_ms: millis(MAX_WAIT),
            },
            Stored::TimeAndWait { at, wait_ms } => Self { at, wait_ms },
        }
    }
}

impl Deadline {
    /// Due now.
    pub(crate) fn now(now: DateTime<Utc>) -> Self {
        Self { at: now, wait_ms: 0 }
    }

    /// Due after this wait.
    pub(crate) fn after(now: DateTime<Utc>, wait: Duration) -> Self {
        Self {
            at: after(now, wait),
            wait_ms: millis(wait),
        }
    }

    /// The earlier of the two.
    pub(crate) fn min(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// Makes it due now if the clock was set back since it was set.
    pub(crate) fn expire_if_clock_went_back(&mut self, now: DateTime<Utc>) {
        if self.clock_went_back(now) {
            *self = Self::now(now);
        }
    }

    /// Starts the whole wait again if the clock was set back since it was set. For a wait that must not be shortened.
    pub(crate) fn restart_if_clock_went_back(&mut self, now: DateTime<Utc>) {
        if self.clock_went_back(now) {
            *self = Self::after(now, Duration::from_millis(self.wait_ms));
        }
    }

    fn clock_went_back(self, now: DateTime<Utc>) -> bool {
        self.at > after(now, Duration::from_millis(self.wait_ms).mul_f64(1.1))
    }
}

/// The time after this wait.
fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = TimeDelta::from_std(wait.min(MAX_WAIT * 2)).unwrap_or(TimeDelta::zero());
    now.checked_add_signed(wait).unwrap_or(now)
}

/// Whether a time has come.
pub(crate) fn is_due(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at <= now
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::POLL_INTERVAL;

    #[test]
    fn a_deadline_is_due_when_the_clock_was_set_back() {
        let set: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        for wait in [Duration::from_secs(1), POLL_INTERVAL, MAX_WAIT] {
            let deadline = Deadline::after(set, wait);
            let seen_at = |now| {
                let mut seen = deadline;
                seen.expire_if_clock_went_back(now);
                seen.at
            };
            let back = |share: f64| set - TimeDelta::from_std(wait.mul_f64(share)).unwrap();
            for now in [set, back(0.09), deadline.at, after(set, wait * 3)] {
                assert_eq!(seen_at(now), deadline.at, "{wait:?}");
            }
            for now in [back(0.11), back(1.0), set - TimeDelta::days(10_000)] {
                assert_eq!(seen_at(now), now, "{wait:?}");
            }
            let mut kept = deadline;
            kept.restart_if_clock_went_back(back(1.0));
            assert_eq!(kept, Deadline::after(back(1.0), wait));
        }
    }

    #[test]
    fn a_deadline_is_read_as_an_early_agent_wrote_it() {
        let at: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let read: Deadline = serde_json::from_str("\"2026-11-23T12:00:00Z\"").unwrap();
        assert_eq!(
            read,
            Deadline {
                at,
                wait_ms: millis(MAX_WAIT)
            }
        );
        let deadline = Deadline::after(at, POLL_INTERVAL);
        let text = serde_json::to_string(&deadline).unwrap();
        assert_eq!(serde_json::from_str::<Deadline>(&text).unwrap(), deadline);
    }
}
