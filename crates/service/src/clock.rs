//! Time as an argument: every expiry and schedule can be tested without waiting.

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
