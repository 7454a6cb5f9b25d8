//! The two chores of a running server: writing what polls left behind, and noticing what other replicas changed.

use std::sync::Arc;
use std::time::Duration;

use tidegate_storage::Store;
use tokio::sync::watch;

use crate::{ActivityBuffer, Live};

/// How often buffered activity is written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// How often the database is asked whether another replica changed something. Together with the reading this
/// keeps revocations and promotions below a second on every replica.
pub const CATCH_UP_EVERY: Duration = Duration::from_millis(400);

/// Does the chores until `stop` becomes true, then writes what is left.
pub async fn run(
    live: Arc<Live>,
    activity: Arc<ActivityBuffer>,
    store: Store,
    mut stop: watch::Receiver<bool>,
) {
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    let mut catch_up = tokio::time::interval(CATCH_UP_EVERY);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    catch_up.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            _ = flush.tick() => write(&activity, &store).await,
            _ = catch_up.tick() => {
                if let Err(error) = live.catch_up().await {
                    tracing::warn!(%error, "the database could not be asked for changes");
                }
            }
            () = &mut stopped => break,
        }
    }
    write(&activity, &store).await;
}

async fn write(activity: &ActivityBuffer, store: &Store) {
    if let Err(error) = activity.flush(store).await {
        tracing::warn!(%error, "poll counters could not be written and are kept for the next time");
    }
}
