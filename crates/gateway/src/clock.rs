//! A server's time that somebody else drives: `tidegate serve --clock PATH`, and the demo's own.
//!
//! Part of the feature `demo` alone: who sets a production server's time decides which tokens hold.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_service::{Clock, SystemClock};
use tidegate_simulator::clock::{Now, Peer, Reading, Running};

/// The pause between two tries to reach the driver.
const CONNECT_EVERY: Duration = Duration::from_millis(100);

/// How long the driver may take to tell the time when a server starts.
const FIRST_READING_LIMIT: Duration = Duration::from_secs(10);

/// A clock that is set from outside. It never goes back and, standing still, gains a microsecond each time that it is
/// read: of two events, such as a poll and the report that follows, the later one is the one with the later time.
pub struct DrivenClock {
    running: RwLock<Running>,
    /// The latest time that it showed, in microseconds since 1970.
    shown: AtomicI64,
}

impl DrivenClock {
    /// A clock that begins with this.
    pub fn set_to(reading: Reading) -> Self {
        Self {
            running: RwLock::new(Running::set(reading)),
            shown: AtomicI64::new(reading.at.timestamp_micros()),
        }
    }

    /// How it goes at the moment.
    pub fn running(&self) -> Running {
        *self.running.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it. Set back, it all but stands still until the new time has caught up.
    pub fn set(&self, reading: Reading) {
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Running::set(reading);
    }

    /// A clock that is driven over the socket at this path. If the driver listens already, its time is in force when this
    /// returns; otherwise the system's time is, until the driver comes.
    pub async fn follow(path: PathBuf) -> Arc<Self> {
        let system = Reading {
            at: SystemClock.now(),
            rate: 1,
        };
        let clock = Arc::new(Self::set_to(system));
        let driver = match tokio::time::timeout(FIRST_READING_LIMIT, clock.connect(&path)).await {
            Ok(Ok(driver)) => Some(driver),
            Ok(Err(error)) => waits(&path, &error),
            Err(_) => waits(&path, &io::ErrorKind::TimedOut.into()),
        };
        tokio::spawn(Arc::clone(&clock).keep_following(path, driver));
        clock
    }

    async fn keep_following(self: Arc<Self>, path: PathBuf, mut driver: Option<Peer>) {
        loop {
            if let Some(driver) = driver {
                let Err(error) = self.obey(driver).await;
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    now = %self.now(),
                    rate = self.running().rate(),
                    "the clock's driver is gone; time goes on from here at the same rate"
                );
            }
            tokio::time::sleep(CONNECT_EVERY).await;
            driver = self.connect(&path).await.ok();
        }
    }

    /// Connects, and takes over the driver's time.
    async fn connect(&self, path: &Path) -> io::Result<Peer> {
        let mut driver = Peer::connect(path).await?;
        driver.say(&Now(self.now())).await?;
        self.take(&mut driver).await?;
        tracing::info!(path = %path.display(), now = %self.now(), "the clock is driven");
        Ok(driver)
    }

    async fn obey(&self, mut driver: Peer) -> Result<std::convert::Infallible, io::Error> {
        loop {
            self.take(&mut driver).await?;
        }
    }

    /// Waits for a reading, takes it over and says so.
    async fn take(&self, driver: &mut Peer) -> io::Result<()> {
        self.set(driver.hear().await?);
        driver.say(&Now(self.now())).await
    }
}

fn waits(path: &Path, error: &io::Error) -> Option<Peer> {
    tracing::warn!(
        path = %path.display(),
        %error,
        "nobody drives the clock yet; it shows the system's time until somebody does"
    );
    None
}

impl Clock for DrivenClock {
    fn now(&self) -> DateTime<Utc> {
        let now = self.running().now().timestamp_micros();
        let later = |shown: i64| now.max(shown + 1);
        let before = self
            .shown
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |shown| Some(later(shown)));
        DateTime::from_timestamp_micros(later(before.unwrap_or(now))).unwrap_or_default()
    }

    fn passes_in(&self, real: TimeDelta) -> TimeDelta {
        let rate = i32::try_from(self.running().rate().max(1)).unwrap_or(i32::MAX);
        real.checked_mul(rate).unwrap_or(TimeDelta::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64, rate: u32) -> Reading {
        let at = DateTime::from_timestamp(1_796_000_400 + hour * 3_600, 0).unwrap();
        Reading { at, rate }
    }

    /// What it shows, in whole seconds.
    fn seconds(clock: &DrivenClock) -> i64 {
        clock.now().timestamp()
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_readings_the_second_is_later_also_while_it_stands() {
        let clock = DrivenClock::set_to(at(0, 0));
        let (first, second) = (clock.now(), clock.now());
        assert!(at(0, 0).at < first && first < second && second < at(0, 0).at + TimeDelta::seconds(1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_goes_back_and_goes_on_when_it_is_caught_up() {
        let clock = DrivenClock::set_to(at(0, 3_600));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(seconds(&clock), at(5, 0).at.timestamp());
        clock.set(at(3, 3_600));
        assert_eq!(seconds(&clock), at(5, 0).at.timestamp(), "not back");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(seconds(&clock), at(6, 0).at.timestamp());
        clock.set(at(9, 0));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(seconds(&clock), at(9, 0).at.timestamp(), "it stands");
    }

    #[tokio::test]
    async fn what_is_real_time_for_people_is_more_on_a_fast_clock_and_the_same_on_one_that_stands() {
        for (rate, hours) in [(0, 1), (1, 1), (24, 24)] {
            let clock = DrivenClock::set_to(at(0, rate));
            assert_eq!(clock.passes_in(TimeDelta::hours(1)), TimeDelta::hours(hours));
        }
    }
}
