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
use tidegate_domain::{BuildId, DeviceId, PackageName, Reason, VersionCode};
use tidegate_storage::{Activity, Checks, Seen, Store};

use crate::Error;

/// How many polls one worker buffers, should the database be away. Polls beyond it are answered and not recorded.
pub const MAX_BUFFERED_POLLS: usize = 200_000;

const SECONDS_PER_HOUR: i64 = 3600;

/// The buffers.
pub struct ActivityBuffer {
    shards: Box<[Mutex<Desk>]>,
    dropped: AtomicU64,
}

/// What one worker writes to.
#[derive(Default)]
struct Desk {
    buffered: Shard,
    decided: Decisions,
}

/// How often each decision was made since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// A build was offered.
    pub offered: u64,
    /// Nothing was, in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
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

    /// Notes what a poll was told, and the poll itself if its package releases something.
    pub(crate) fn record(&self, reason: Option<Reason>, polled: Option<&Polled<'_>>) {
        let mut desk = self.own_desk().lock().unwrap_or_else(PoisonError::into_inner);
        desk.decided.count(reason);
        let Some(polled) = polled else { return };
        let shard = &mut desk.buffered;
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

    fn own_desk(&self) -> &Mutex<Desk> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static WORKER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed)));
        &self.shards[WORKER.get() % self.shards.len()]
    }

    /// How many polls were answered without being recorded, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What polls were told, since the start.
    pub fn decisions(&self) -> Decisions {
        let mut sum = Decisions::default();
        for desk in &self.shards {
            sum.add(&desk.lock().unwrap_or_else(PoisonError::into_inner).decided);
        }
        sum
    }

    /// How many polls wait to be written.
    pub fn buffered(&self) -> usize {
        let waiting = |desk: &Mutex<Desk>| {
            let desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
            desk.buffered.seen.len()
        };
        self.shards.iter().map(waiting).sum()
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
        for desk in &self.shards {
            let taken = std::mem::take(&mut desk.lock().unwrap_or_else(PoisonError::into_inner).buffered);
            all.add(taken);
        }
        all
    }

    fn give_back(&self, taken: Shard) {
        let mut desk = self.shards[0].lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut desk.buffered;
        shard.add(taken);
        let over = shard.seen.len().saturating_sub(MAX_BUFFERED_POLLS);
        shard.seen.truncate(MAX_BUFFERED_POLLS);
        self.dropped.fetch_add(over as u64, Ordering::Relaxed);
    }
}

impl Decisions {
    /// What a poll was told: the reason, or `None` for an offer.
    fn count(&mut self, reason: Option<Reason>) {
        let slot = match reason {
            None => &mut self.offered,
            // A test holds the order of the variants to that of the list.
            Some(reason) => &mut self.refused[reason as usize],
        };
        *slot += 1;
    }

    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        for (sum, more) in self.refused.iter_mut().zip(other.refused) {
            *sum += more;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_is_counted_as_its_own() {
        let buffer = ActivityBuffer::new(2);
        for (times, reason) in (1..).zip(Reason::ALL) {
            for _ in 0..times {
                buffer.record(Some(reason), None);
            }
        }
        buffer.record(None, None);
        let counted = buffer.decisions();
        assert_eq!(counted.offered, 1);
        assert_eq!(counted.refused, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(buffer.buffered(), 0);
    }
}
