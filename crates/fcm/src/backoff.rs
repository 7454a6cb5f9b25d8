//! How long to wait before the next try.

use std::time::Duration;

/// Exponential back-off with full jitter: messages that failed together are not tried again together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest wait. Firebase asks for at least ten seconds.
    pub first: Duration,
    /// The most that jitter adds to the wait.
    pub most: Duration,
}

impl Default for Backoff {
    /// Ten seconds, and up to ten minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            most: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// The wait after this many failed tries (1 after the first); `random` is from 0 to 1. Never shorter than what FCM
    /// asked for, nor than [`Backoff::first`].
    pub fn wait(&self, failed: u32, asked: Option<Duration>, random: f64) -> Duration {
        let doublings = failed.saturating_sub(1).min(20);
        let window = self.first.saturating_mul(1 << doublings).min(self.most);
        let base = asked.unwrap_or_default().max(self.first);
        base + window.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_spread_and_obey() {
        let backoff = Backoff::default();
        let seconds = |failed, asked: Option<u64>, random| {
            backoff
                .wait(failed, asked.map(Duration::from_secs), random)
                .as_secs()
        };
        assert_eq!(seconds(1, None, 0.0), 10);
        assert_eq!(seconds(1, None, 0.5), 15);
        assert_eq!(seconds(3, None, 0.5), 30);
        assert_eq!(seconds(60, None, 1.0), 610);
        assert_eq!(seconds(1, Some(60), 0.0), 60);
        assert_eq!(seconds(1, Some(3), 0.0), 10);
        assert_eq!(seconds(0, None, f64::NAN.max(0.0)), 10);
    }
}
