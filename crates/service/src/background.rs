//! The background tasks of a running server: writing what polls left behind, noticing what other replicas changed, and
//! counting the fleet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_storage::{HEARTBEAT_EVERY, Store};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::witness::Heads;
use crate::{ActivityBuffer, Authenticator, Clock, Fleet, RecordSecret, Snapshots, Witness};

/// How often buffered activity is written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// How often the database is asked whether another replica changed something. Together with the reading this
/// keeps revocations and promotions below a second on every replica.
pub const CATCH_UP_EVERY: Duration = Duration::from_millis(400);

/// How often the last writing is tried before what is left is given up.
const LAST_TRIES: u32 = 8;

/// Writes buffered activity until `stop` is canceled, then what is left.
pub async fn flush(activity: Arc<ActivityBuffer>, store: Store, stop: CancellationToken) {
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

/// Looks for other replicas' changes until `stop` is canceled. A task of its own, so that a slow write delays no
/// revocation.
pub async fn follow(snapshots: Arc<Snapshots>, stop: CancellationToken) {
    let mut rhythm = Rhythm::of(CATCH_UP_EVERY, stop);
    while rhythm.goes_on().await {
        if let Err(error) = snapshots.catch_up().await {
            tracing::warn!(%error, "the database could not be asked for changes");
        }
    }
}

/// How often it is looked whether devices' tags are to be reread, which costs nothing when they are not.
const CATCH_UP_TAGS_EVERY: Duration = Duration::from_millis(100);

/// Rereads the tags of devices that changed, until `stop` is canceled: the first time those of all. A task of its own, so
/// that many tags delay no revocation.
pub async fn follow_tags(snapshots: Arc<Snapshots>, stop: CancellationToken) {
    let mut rhythm = Rhythm::of(CATCH_UP_TAGS_EVERY, stop);
    while rhythm.goes_on().await {
        if let Err(error) = snapshots.catch_up_tags().await {
            tracing::warn!(%error, "the database could not be asked for tags");
            tokio::time::sleep(CATCH_UP_EVERY).await;
        }
    }
}

/// How often the fleets and the arms are looked at that health gates watch.
pub const CATCH_UP_GATES_EVERY: Duration = Duration::from_secs(60);

/// Counts the fleets that health gates watch and reads who is in their arms, until `stop` is canceled.
pub async fn follow_gates(snapshots: Arc<Snapshots>, stop: CancellationToken) {
    let mut rhythm = Rhythm::of(CATCH_UP_GATES_EVERY, stop);
    while rhythm.goes_on().await {
        if let Err(error) = snapshots.catch_up_gates().await {
            tracing::warn!(%error, "the database could not be asked whom health gates watch");
        }
    }
}

/// Tells the database that this server runs until `stop` is canceled, and then that it has ended: tables are not to
/// change under a server.
pub async fn announce(store: Store, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let (id, begun) = (uuid::Uuid::new_v4().to_string(), clock.now());
    let mut rhythm = Rhythm::of(HEARTBEAT_EVERY, stop);
    while rhythm.goes_on().await {
        if let Err(error) = store.announce(&id, env!("CARGO_PKG_VERSION"), begun).await {
            tracing::warn!(%error, "the database could not be told that this server runs");
        }
    }
    if let Err(error) = store.leave(&id).await {
        tracing::warn!(%error, "the database could not be told that this server has ended");
    }
}

/// How often the last uses of admin tokens are written.
pub const NOTE_USES_EVERY: Duration = Duration::from_secs(60);

/// Writes when admin tokens were used last, and which devices show credentials from before their enrolment, until `stop` is canceled, and then what is left.
pub async fn note_token_uses(authenticator: Arc<Authenticator>, store: Store, stop: CancellationToken) {
    let mut rhythm = Rhythm::of(NOTE_USES_EVERY, stop);
    let mut goes_on = true;
    while goes_on {
        goes_on = rhythm.goes_on().await;
        if let Err(error) = authenticator.note_uses(&store).await {
            tracing::warn!(%error, "when admin tokens were used last could not be written");
        }
        if let Err(error) = authenticator.note_duplicates(&store).await {
            tracing::warn!(%error, "which ids two devices share could not be written");
        }
    }
}

/// How often it is looked for hours whose enrolments are to be summed up.
pub const SUM_UP_EVERY: Duration = Duration::from_secs(60);

/// Writes the sums of enrolments into the audit log, once their hour is over, until `stop` is canceled. Those of hours
/// that ended while no server ran are written by the next one.
pub async fn sum_up_enrolments(store: Store, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut rhythm = Rhythm::of(SUM_UP_EVERY, stop);
    while rhythm.goes_on().await {
        if let Err(error) = store.sum_up_enrolments(clock.now()).await {
            tracing::warn!(%error, "an hour's enrolments could not be summed up");
        }
    }
}

/// How often the audit log's witness is told where the log stands, in minutes.
const WITNESS_MINUTES: u32 = 60;

/// Tells the audit log's witness where the log stands: now, every hour until `stop` is canceled, and then once more. What
/// failed is tried again after a minute.
pub async fn witness(
    store: Store,
    secret: Arc<RecordSecret>,
    witness: Witness,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut heads = Heads::new(store, secret, witness, clock);
    let mut rhythm = Rhythm::of(Duration::from_secs(60), stop);
    let (mut goes_on, mut minutes) = (true, WITNESS_MINUTES);
    while goes_on {
        goes_on = rhythm.goes_on().await;
        if goes_on && minutes < WITNESS_MINUTES {
            minutes += 1;
            continue;
        }
        match heads.tell().await {
            Ok(()) => minutes = 1,
            Err(error) => tracing::error!(
                event = "ota.audit.unwitnessed",
                %error,
                "the audit log's witness could not be told where the log stands"
            ),
        }
    }
}

/// The least time between two counts of the fleet.
pub const COUNT_EVERY: Duration = Duration::from_secs(1);

/// A count is followed by a pause so many times as long as it took, so that it uses at most a twentieth of a core.
const COUNT_PAUSES: u32 = 19;

/// Counts the fleet until `stop` is canceled.
pub async fn count(fleet: Arc<Fleet>, stop: CancellationToken) {
    loop {
        #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
        let begun = Instant::now();
        if let Err(error) = fleet.count().await {
            tracing::warn!(%error, "the fleet could not be counted");
        }
        let pause = COUNT_EVERY.max(begun.elapsed() * COUNT_PAUSES);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// A period that ends when it is time to stop.
pub(crate) struct Rhythm {
    ticks: Interval,
    stop: CancellationToken,
}

impl Rhythm {
    pub(crate) fn of(period: Duration, stop: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next tick; false when it is time to stop.
    pub(crate) async fn goes_on(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => true,
            () = self.stop.cancelled() => false,
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
