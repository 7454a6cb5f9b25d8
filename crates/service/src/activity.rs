//! What polls leave behind, buffered for a second: who was seen, what was offered, how often was asked.
//!
//! A poll must not wait for a database, nor for another core. Each worker thread therefore writes to a buffer of
//! its own; its lock is only ever contended for the instant in which the flusher takes the buffer away. A crash
//! loses at most the last second of these counts; a shutdown loses none.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, DeviceId, PackageName, VersionCode};
use tidegate_storage::{Activity, Checks, Seen, Store};

use crate::Error;

/// How many polls one worker buffers, should the database be away. Polls beyond it are answered and not recorded.
pub const MAX_BUFFERED_POLLS: usize = 200_000;

const SECONDS_PER_HOUR: i64 = 3600;

/// The buffers.
pub struct ActivityBuffer {
    shards: Box<[Mutex<Shard>]>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Shard {
    seen: Vec<Seen>,
    /// Polls by build and hour.
    checks: HashMap<(BuildId, i64), u64>,
}

/// One answered poll.
pub(crate) struct Polled<'a> {
    pub device_id: &'a str,
    pub package: &'a PackageName,
    pub installed: VersionCode,
    pub current: BuildId,
    pub offered: Option<BuildId>,
    pub at: DateTime<Utc>,
}

impl ActivityBuffer {
    /// One buffer for each worker thread.
    pub fn new(workers: usize) -> Self {
        let shards = (0..workers.max(1)).map(|_| Mutex::default()).collect();
        Self {
            shards,
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, polled: &Polled<'_>) {
        let mut shard = self.own_shard().lock().unwrap_or_else(PoisonError::into_inner);
        let hour = polled.at.timestamp().div_euclid(SECONDS_PER_HOUR);
        *shard.checks.entry((polled.current, hour)).or_default() += 1;
        if shard.seen.len() >= MAX_BUFFERED_POLLS {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Ok(device) = DeviceId::parse(polled.device_id) {
            shard.seen.push(Seen {
                device,
                package: polled.package.clone(),
                installed: polled.installed,
                offered: polled.offered,
                at: polled.at,
            });
        }
    }

    fn own_shard(&self) -> &Mutex<Shard> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static WORKER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed)));
        &self.shards[WORKER.get() % self.shards.len()]
    }

    /// How many polls were answered without being recorded, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what was buffered. What cannot be written is kept for the next time.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer.
    pub async fn flush(&self, store: &Store) -> Result<(), Error> {
        let taken = self.take();
        if taken.seen.is_empty() && taken.checks.is_empty() {
            return Ok(());
        }
        let batch = Activity {
            seen: latest(&taken.seen),
            checks: taken
                .checks
                .iter()
                .map(|(&(build, hour), &count)| Checks {
                    build,
                    at: DateTime::from_timestamp(hour * SECONDS_PER_HOUR, 0).unwrap_or_default(),
                    count,
                })
                .collect(),
        };
        if let Err(error) = store.record_activity(batch).await {
            self.give_back(taken);
            return Err(error.into());
        }
        Ok(())
    }

    fn take(&self) -> Shard {
        let mut all = Shard::default();
        for shard in &self.shards {
            let taken = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            all.add(taken);
        }
        all
    }

    fn give_back(&self, taken: Shard) {
        let mut shard = self.shards[0].lock().unwrap_or_else(PoisonError::into_inner);
        shard.add(taken);
        let over = shard.seen.len().saturating_sub(MAX_BUFFERED_POLLS);
        shard.seen.truncate(MAX_BUFFERED_POLLS);
        self.dropped.fetch_add(over as u64, Ordering::Relaxed);
    }
}

impl Shard {
    fn add(&mut self, other: Self) {
        self.seen.extend(other.seen);
        for (key, count) in other.checks {
            *self.checks.entry(key).or_default() += count;
        }
    }
}

/// The last poll of each device for each package and offer: what came before it says nothing more.
fn latest(seen: &[Seen]) -> Vec<Seen> {
    let mut last: HashMap<(&str, &str, Option<BuildId>), &Seen> = HashMap::with_capacity(seen.len());
    for entry in seen {
        let key = (entry.device.as_str(), entry.package.as_str(), entry.offered);
        let slot = last.entry(key).or_insert(entry);
        if slot.at < entry.at {
            *slot = entry;
        }
    }
    last.into_values().cloned().collect()
}
