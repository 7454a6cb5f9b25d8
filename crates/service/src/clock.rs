//! Time as an argument: every expiry and schedule can be tested without waiting.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// How much of this clock's time passes in so much real time: as much, unless it is a compressed one.
    ///
    /// For what depends on people and networks, which no clock makes faster: how long a login holds, how long an
    /// answer of FCM's may take.
    fn passes_in(&self, real: TimeDelta) -> TimeDelta {
        real
    }

    /// Learns what the database said of the time, in an answer that took so long. A clock that nobody is to correct
    /// takes no notice.
    fn compare(&self, _database: DateTime<Utc>, _took: Duration) {}

    /// By how much it was corrected.
    fn ahead(&self) -> TimeDelta {
        TimeDelta::zero()
    }
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The database's time, told from this machine's clock and what the database last said. Servers whose own clocks differ
/// agree by it: a plan's share is a line in time, and all are to read it at the same place.
#[derive(Debug, Default)]
pub struct DatabaseClock<C = SystemClock> {
    own: C,
    /// By how much the database's clock is ahead of this one, in microseconds.
    ahead: AtomicI64,
}

impl<C: Clock> DatabaseClock<C> {
    /// Over a clock of this machine, which holds until the database was asked.
    pub fn over(own: C) -> Self {
        Self {
            own,
            ahead: AtomicI64::new(0),
        }
    }
}

impl<C: Clock> Clock for DatabaseClock<C> {
    fn now(&self) -> DateTime<Utc> {
        self.own.now() + TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed))
    }

    fn passes_in(&self, real: TimeDelta) -> TimeDelta {
        self.own.passes_in(real)
    }

    fn compare(&self, database: DateTime<Utc>, took: Duration) {
        // It was so late there at some moment of the question: by now it is that, and at most as much more as it took.
        let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX / 4);
        let least = (database - self.own.now()).num_microseconds().unwrap_or(0);
        let most = least + took + DATABASE_TICK;
        let before = self.ahead.load(Ordering::Relaxed);
        self.ahead.store(before.clamp(least, most), Ordering::Relaxed);
    }

    fn ahead(&self) -> TimeDelta {
        TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed))
    }
}

/// What SQLite cuts off the time that it tells, in microseconds.
const DATABASE_TICK: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is wrong by so many seconds.
    struct Wrong(i64);

    impl Clock for Wrong {
        fn now(&self) -> DateTime<Utc> {
            at(1_000 + self.0)
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn servers_whose_clocks_differ_by_ten_minutes_agree() {
        for wrong in [-600, 0, 600] {
            let clock = DatabaseClock::over(Wrong(wrong));
            assert_eq!(clock.now(), at(1_000 + wrong), "nobody was asked yet");
            clock.compare(at(1_000), Duration::from_millis(3));
            let off = (clock.now() - at(1_000)).num_milliseconds();
            assert!((0..=4).contains(&off), "{wrong} became {off} ms");
        }
    }

    #[test]
    fn a_slow_answer_says_little_and_moves_nothing_that_it_does_not_contradict() {
        let clock = DatabaseClock::over(Wrong(0));
        clock.compare(at(1_000), Duration::from_millis(2));
        let before = clock.now();
        clock.compare(at(970), Duration::from_secs(60));
        assert_eq!(clock.now(), before, "it may have been asked 30 seconds ago");
        clock.compare(at(1_100), Duration::from_secs(60));
        assert_eq!(clock.now(), at(1_100), "it can't be earlier there");
        clock.compare(at(900), Duration::from_secs(60));
        assert_eq!(
            clock.ahead(),
            TimeDelta::microseconds(-40_000_000 + DATABASE_TICK)
        );
    }
}
