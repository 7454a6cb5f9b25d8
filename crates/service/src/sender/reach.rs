//! Whether anybody is reached at all.
//!
//! A delivery whose connection fails is tried again for an hour, which is right for a network that is away for a while. Where
//! nobody is ever reached, such as behind a firewall or with a mistyped endpoint, an operator would look at a campaign that
//! stands still without a word. So the log says it soon and then every minute, and the campaign is suspended when it lasts.

use std::time::{Duration, Instant};

/// How often it is logged.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The time since when nobody was reached.
#[derive(Debug, Default)]
pub(super) struct Reach {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Reach {
    /// Somebody answered, whatever they said.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// A connection failed, or nobody answered in time. Returns how long nothing else has happened.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        now - *self.since.get_or_insert(now)
    }

    /// Whether this is the time to log it.
    pub(super) fn is_to_be_told(&mut self, now: Instant) -> bool {
        let is_due = self.told.is_none_or(|told| now - told >= TELL_EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_runs_from_the_first_failure_after_an_answer_and_is_told_once_a_minute() {
        let (mut reach, begun) = (Reach::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(reach.failed(at(0)), Duration::ZERO);
        assert!(reach.is_to_be_told(at(0)) && !reach.is_to_be_told(at(59)));
        assert_eq!(reach.failed(at(60)), Duration::from_secs(60));
        assert!(reach.is_to_be_told(at(60)));
        reach.answered();
        assert_eq!(reach.failed(at(70)), Duration::ZERO);
        assert!(reach.is_to_be_told(at(70)));
    }
}
