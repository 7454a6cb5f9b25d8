//! How many messages may be sent now.

use std::time::{Duration, Instant};

/// Messages that were not sent can be caught up for at most this time.
const BURST: Duration = Duration::from_millis(100);

/// Limits messages a second. The limit rises from zero to its full value; Firebase asks senders to take at least a
/// minute for that. After a pause that is longer than the rise it starts from zero again.
#[derive(Clone, Copy, Debug)]
pub struct RateLimiter {
    per_second: f64,
    rise: Duration,
    begun: Option<Instant>,
    last: Option<Instant>,
    /// Messages that may go now.
    credit: f64,
}

impl RateLimiter {
    /// At most this many messages a second, reached after `rise`.
    pub fn new(per_second: u32, rise: Duration) -> Self {
        Self {
            per_second: f64::from(per_second.max(1)),
            rise,
            begun: None,
            last: None,
            credit: 0.0,
        }
    }

    /// Messages a second at this moment.
    pub fn rate(&self, now: Instant) -> f64 {
        let Some(begun) = self.begun else { return 0.0 };
        self.per_second * self.risen(now.saturating_duration_since(begun))
    }

    fn risen(&self, since: Duration) -> f64 {
        if since >= self.rise {
            return 1.0;
        }
        since.as_secs_f64() / self.rise.as_secs_f64()
    }

    /// How many of the wanted messages may be sent now. They count as sent.
    pub fn take(&mut self, wanted: u32, now: Instant) -> u32 {
        if wanted == 0 {
            return 0;
        }
        self.gather(now);
        let mut granted = 0;
        while granted < wanted && self.credit >= 1.0 {
            self.credit -= 1.0;
            granted += 1;
        }
        granted
    }

    fn gather(&mut self, now: Instant) {
        let idle = self.last.map(|last| now.saturating_duration_since(last));
        let (Some(begun), Some(idle)) = (self.begun.filter(|_| idle <= Some(self.rise.max(BURST))), idle)
        else {
            // The first message does not wait.
            (self.begun, self.last, self.credit) = (Some(now), Some(now), 1.0);
            return;
        };
        let since = now.saturating_duration_since(begun);
        // The rate rises evenly, so the mean over this time is that of its ends.
        let mean = (self.risen(since.saturating_sub(idle)) + self.risen(since)) / 2.0 * self.per_second;
        let most = (self.rate(now) * BURST.as_secs_f64()).max(1.0);
        self.credit = (self.credit + mean * idle.as_secs_f64()).min(most);
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as much as it may every 10 ms.
    fn sent(rate_limiter: &mut RateLimiter, from: Instant, until: Duration) -> u32 {
        let ticks = until.as_millis() / 10;
        let mut now = from;
        (0..ticks)
            .map(|_| {
                now += Duration::from_millis(10);
                rate_limiter.take(u32::MAX, now)
            })
            .sum()
    }

    #[test]
    fn the_rate_rises_over_a_minute_and_stays_there() {
        let begin = Instant::now();
        let mut rate_limiter = RateLimiter::new(9000, Duration::from_secs(60));
        let rising = sent(&mut rate_limiter, begin, Duration::from_secs(60));
        assert!((268_000..272_000).contains(&rising), "{rising}");
        let full = sent(
            &mut rate_limiter,
            begin + Duration::from_secs(60),
            Duration::from_secs(10),
        );
        assert!((89_500..=90_500).contains(&full), "{full}");
    }

    #[test]
    fn a_single_message_goes_at_once() {
        let mut rate_limiter = RateLimiter::new(1, Duration::from_secs(60));
        let now = Instant::now();
        assert_eq!(rate_limiter.take(5, now), 1);
        assert_eq!(rate_limiter.take(5, now), 0);
    }

    #[test]
    fn a_pause_saves_nothing_up_and_a_long_one_begins_anew() {
        let mut rate_limiter = RateLimiter::new(1000, Duration::from_secs(10));
        let begin = Instant::now();
        sent(&mut rate_limiter, begin, Duration::from_secs(10));
        let after_a_pause = begin + Duration::from_secs(15);
        assert_eq!(rate_limiter.take(u32::MAX, after_a_pause), 100);
        assert_eq!(
            rate_limiter.take(u32::MAX, after_a_pause + Duration::from_secs(11)),
            1
        );
    }
}
