//! Which polls are logged.
//!
//! A large fleet's polls would fill a disk and are counted anyway, so that only so many are logged each second. A small
//! fleet sees every one of its polls, and a large one is told how many lines it does not see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate_service::PerWorker;
use tokio_util::sync::CancellationToken;

/// How often a line tells how many polls were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The counters of what is left out; threads beyond them share some.
const SHARDS: usize = 16;

/// Logs so many polls a second.
///
/// Once a second's lines are used up, a poll reads one number that nobody writes to any more and counts itself in a
/// place of its own thread, so that cores don't wait for each other.
pub struct PollLog {
    per_second: u32,
    begun: Instant,
    /// The second since the beginning in the upper half, and how many lines it has had in the lower.
    lines: AtomicU64,
    left_out: PerWorker<AtomicU64>,
}

impl PollLog {
    /// At most so many polls a second; 0 for none, of which nothing is told then.
    pub fn at_most(per_second: u32) -> Self {
        Self {
            per_second,
            begun: now(),
            lines: AtomicU64::new(0),
            left_out: PerWorker::new(SHARDS),
        }
    }

    /// Whether a poll of this moment is to be logged.
    pub(crate) fn takes(&self, now: Instant) -> bool {
        if self.per_second == 0 {
            return false;
        }
        let second = now.saturating_duration_since(self.begun).as_secs();
        let next = |lines: u64| match lines >> 32 {
            this if this == second => {
                (lines & u64::from(u32::MAX) < u64::from(self.per_second)).then_some(lines + 1)
            }
            // A thread that was held up since it looked at the clock doesn't turn it back.
            this if this > second => None,
            _ => Some(second << 32 | 1),
        };
        let takes = self
            .lines
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok();
        if !takes {
            self.left_out.own().fetch_add(1, Ordering::Relaxed);
        }
        takes
    }

    /// How many were left out since this was last asked.
    fn left_out(&self) -> u64 {
        let taken = self.left_out.iter().map(|count| count.swap(0, Ordering::Relaxed));
        taken.sum()
    }

    fn tell(&self) {
        let polls = self.left_out();
        if polls > 0 {
            tracing::info!(
                event = "ota.manifest.left_out",
                polls,
                per_second = self.per_second,
                "polls beyond log_polls_per_second were answered and not logged"
            );
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a second of the log is a real one")]
fn now() -> Instant {
    Instant::now()
}

/// Tells every second how many polls were left out of the log, if any, until `stop` is canceled; then once more.
pub async fn tell_left_out_polls(log: Arc<PollLog>, stop: CancellationToken) {
    loop {
        let stopped = tokio::time::timeout(TELL_EVERY, stop.cancelled()).await;
        log.tell();
        if stopped.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these moments, in milliseconds, are logged, and how many were left out.
    fn logged(per_second: u32, moments: &[u64]) -> (usize, u64) {
        let log = PollLog::at_most(per_second);
        let takes = |moment: &&u64| log.takes(log.begun + Duration::from_millis(**moment));
        (moments.iter().filter(takes).count(), log.left_out())
    }

    #[test]
    fn so_many_polls_are_logged_each_second_and_the_rest_is_told() {
        let table: [(u32, &[u64], (usize, u64)); 6] = [
            (3, &[0, 1, 2], (3, 0)),
            (3, &[0, 1, 2, 998, 999], (3, 2)),
            (3, &[0, 1, 2, 999, 1000, 1001, 1002, 1003], (6, 2)),
            (1, &[5000, 5000, 9000, 8999, 9000], (2, 3)),
            (0, &[0, 1, 2], (0, 0)),
            (u32::MAX, &[0, 1, 2], (3, 0)),
        ];
        for (per_second, moments, expected) in table {
            assert_eq!(logged(per_second, moments), expected, "{per_second}: {moments:?}");
        }
    }

    #[test]
    fn threads_share_the_seconds_lines() {
        let log = PollLog::at_most(10);
        let polls = || (0..100).filter(|_| log.takes(log.begun)).count();
        let logged: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(polls)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((logged, log.left_out(), log.left_out()), (10, 390, 0));
    }
}
