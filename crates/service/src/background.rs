//! The two chores of a running server: writing what polls left behind, and noticing what other replicas changed.

use std::sync::Arc;
use std::time::Duration;

use tidegate_storage::Store;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use crate::{ActivityBuffer, Live};

/// How often buffered activity is written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// How often the database is asked whether another replica changed something. Together with the reading this
/// keeps revocations and promotions below a second on every replica.
pub const CATCH_UP_EVERY: Duration = Duration::from_millis(400);

/// How often the last writing is tried before what is left is given up.
const LAST_TRIES: u32 = 8;

/// Writes buffered activity until `stop` becomes true, then what is left.
pub async fn flush(activity: Arc<ActivityBuffer>, store: Store, stop: watch::Receiver<bool>) {
    let mut rhythm = Rhythm::of(FLUSH_EVERY, stop);
    while rhythm.goes_on().await {
        write(&activity, &store).await;
    }
    for _ in 0..LAST_TRIES {
        if write(&activity, &store).await {
            return;
        }
        tokio::time::sleep(FLUSH_EVERY).await;
    }
}

/// Looks for other replicas' changes until `stop` becomes true. A task of its own, so that a slow write delays no
/// revocation.
pub async fn follow(live: Arc<Live>, stop: watch::Receiver<bool>) {
    let mut rhythm = Rhythm::of(CATCH_UP_EVERY, stop);
    while rhythm.goes_on().await {
        if let Err(error) = live.catch_up().await {
            tracing::warn!(%error, "the database could not be asked for changes");
        }
    }
}

struct Rhythm {
    ticks: Interval,
    stop: watch::Receiver<bool>,
}

impl Rhythm {
    fn of(period: Duration, stop: watch::Receiver<bool>) -> Self {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next tick; false when it is time to stop.
    async fn goes_on(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => true,
            _ = self.stop.wait_for(|stop| *stop) => false,
        }
    }
}

/// Whether nothing is left to write.
async fn write(activity: &ActivityBuffer, store: &Store) -> bool {
    let written = activity.flush(store).await;
    if let Err(error) = &written {
        tracing::warn!(%error, "poll counters could not be written and are kept for the next time");
    }
    written.is_ok()
}
