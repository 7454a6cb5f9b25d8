//! The pause that FCM asks the whole project to make. It is kept by the clock by which deliveries are due, so that both
//! end together.

use chrono::{DateTime, TimeDelta, Utc};

/// After this many refusals in a row that ask to come back later, nothing is sent until the wait is over. Fewer may
/// be about single devices, which have quotas of their own.
const IN_A_ROW: u32 = 10;

/// Counts refusals in a row.
#[derive(Debug, Default)]
pub(super) struct ProjectBackoff {
    in_a_row: u32,
    until: Option<DateTime<Utc>>,
}

impl ProjectBackoff {
    /// FCM answered without asking for a wait.
    pub(super) fn answered(&mut self) {
        self.in_a_row = 0;
    }

    /// FCM refused and asked for this wait, in the clock's time.
    pub(super) fn refused(&mut self, wait: TimeDelta, now: DateTime<Utc>) {
        self.in_a_row += 1;
        if self.in_a_row >= IN_A_ROW {
            self.until = self.until.max(Some(now + wait));
        }
    }

    /// Whether to send nothing now.
    pub(super) fn is_waiting(&mut self, now: DateTime<Utc>) -> bool {
        if self.until.is_some_and(|until| now < until) {
            return true;
        }
        // After the wait one refusal is enough to wait again.
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
    fn ten_refusals_in_a_row_pause_the_project_and_any_other_answer_starts_the_count_anew() {
        let (mut backoff, now) = (ProjectBackoff::default(), DateTime::UNIX_EPOCH);
        let wait = TimeDelta::seconds(60);
        for _ in 0..IN_A_ROW - 1 {
            backoff.refused(wait, now);
        }
        backoff.answered();
        backoff.refused(wait, now);
        assert!(!backoff.is_waiting(now));
        for _ in 0..IN_A_ROW {
            backoff.refused(wait, now);
        }
        assert!(backoff.is_waiting(now + TimeDelta::seconds(59)));
        assert!(!backoff.is_waiting(now + TimeDelta::seconds(60)));
        backoff.refused(wait, now + TimeDelta::seconds(61));
        assert!(backoff.is_waiting(now + TimeDelta::seconds(62)));
    }
}
