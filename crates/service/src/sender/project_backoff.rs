//! Whether FCM as a whole wants to be left alone.

use std::time::{Duration, Instant};

/// After so many refusals in a row that ask to come back later, nothing is sent for a while. Fewer may be a matter
/// of single devices, which have quotas of their own.
const IN_A_ROW: u32 = 10;

/// Counters refusals that no other answer came between.
#[derive(Debug, Default)]
pub(super) struct ProjectBackoff {
    in_a_row: u32,
    until: Option<Instant>,
}

impl ProjectBackoff {
    /// An answer that asks for no wait.
    pub(super) fn answered(&mut self) {
        self.in_a_row = 0;
    }

    /// A refusal that asks for this wait.
    pub(super) fn refused(&mut self, wait: Duration, now: Instant) {
        self.in_a_row += 1;
        if self.in_a_row >= IN_A_ROW {
            self.until = self.until.max(Some(now + wait));
        }
    }

    /// Whether nothing is to be sent now.
    pub(super) fn holds_off(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| now < until) {
            return true;
        }
        // A single message finds out whether it is over; the next refusal holds off again.
        if self.until.take().is_some() {
            self.in_a_row = IN_A_ROW - 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_refusals_holds_off_and_another_answer_ends_the_row() {
        let (mut backoff, now) = (ProjectBackoff::default(), Instant::now());
        let wait = Duration::from_secs(60);
        for _ in 0..IN_A_ROW - 1 {
            backoff.refused(wait, now);
        }
        backoff.answered();
        backoff.refused(wait, now);
        assert!(!backoff.holds_off(now));
        for _ in 0..IN_A_ROW {
            backoff.refused(wait, now);
        }
        assert!(backoff.holds_off(now + Duration::from_secs(59)));
        assert!(!backoff.holds_off(now + Duration::from_secs(60)));
        backoff.refused(wait, now + Duration::from_secs(61));
        assert!(backoff.holds_off(now + Duration::from_secs(62)));
    }
}
