//! What polls leave behind, buffered for a second: who was seen, what was offered, how often was asked.
//!
//! A poll must not wait for a database, nor for another core. Each worker thread therefore writes to a buffer of
//! its own; its lock is only ever contended for the instant in which the flusher takes the buffer away. A crash
//! loses what came since the last flush and the flush under way; a shutdown loses none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, DeviceId, PackageName, Reason, VersionCode};
use tidegate_storage::{Activity, Checks, Seen, Store};

use crate::{Error, PerWorker};

/// How many polls one worker buffers, should the database be away. Polls beyond it are answered and not recorded.
pub const MAX_BUFFERED_POLLS: usize = 200_000;

const SECONDS_PER_HOUR: i64 = 3600;

/// The buffers.
pub struct ActivityBuffer {
    shards: PerWorker<Mutex<Shard>>,
    dropped: AtomicU64,
}

/// What one worker writes to.
#[derive(Default)]
struct Shard {
    buffered: Buffered,
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

/// What a poll leaves behind is put together without asking the allocator for anything: the text of all ids lies in
/// one piece, and a package is named once for all the polls that found the same build current.
#[derive(Default)]
struct Buffered {
    ids: String,
    seen: Vec<Entry>,
    checks: HashMap<CheckKey, CheckCount>,
}

/// A build that was current, and the hour (since 1970) in which it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CheckKey {
    build: BuildId,
    hour: i64,
}

/// How many polls found it current.
struct CheckCount {
    package: PackageName,
    polls: u64,
}

/// One poll.
struct Entry {
    /// Where in the text its device's id begins, and how long it is.
    id: (usize, usize),
    checks: CheckKey,
    installed: VersionCode,
    offered: Option<BuildId>,
    at: DateTime<Utc>,
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
        Self {
            shards: PerWorker::new(workers),
            dropped: AtomicU64::new(0),
        }
    }

    /// Notes what a poll was told, and the poll itself if its package releases something.
    pub(crate) fn record(&self, reason: Option<Reason>, polled: Option<&Polled<'_>>) {
        let mut shard = self.shards.own().lock().unwrap_or_else(PoisonError::into_inner);
        shard.decided.count(reason);
        let Some(polled) = polled else { return };
        let shard = &mut shard.buffered;
        let checks = CheckKey {
            build: polled.current,
            hour: polled.at.timestamp().div_euclid(SECONDS_PER_HOUR),
        };
        shard
            .checks
            .entry(checks)
            .or_insert_with(|| CheckCount::of(polled.package))
            .polls += 1;
        if shard.seen.len() >= MAX_BUFFERED_POLLS {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let id = (shard.ids.len(), polled.device_id.len());
        shard.ids.push_str(polled.device_id);
        shard.seen.push(Entry {
            id,
            checks,
            installed: polled.installed,
            offered: polled.offered,
            at: polled.at,
        });
    }

    /// How many polls were answered without being recorded, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What polls were told, since the start.
    pub fn decisions(&self) -> Decisions {
        let mut sum = Decisions::default();
        for shard in self.shards.iter() {
            sum.add(&shard.lock().unwrap_or_else(PoisonError::into_inner).decided);
        }
        sum
    }

    /// How many polls wait to be written.
    pub fn buffered(&self) -> usize {
        let waiting = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.buffered.seen.len()
        };
        self.shards.iter().map(waiting).sum()
    }

    /// Writes what was buffered. What cannot be written is kept for the next time.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer.
    pub async fn flush(&self, store: &Store) -> Result<(), Error> {
        let taken = self.take();
        if taken.checks.is_empty() {
            return Ok(());
        }
        let batch = taken.to_write();
        if let Err(error) = store.record_activity(batch).await {
            self.give_back(taken);
            return Err(error.into());
        }
        Ok(())
    }

    fn take(&self) -> Buffered {
        let mut all = Buffered::default();
        for shard in self.shards.iter() {
            let taken = std::mem::take(&mut shard.lock().unwrap_or_else(PoisonError::into_inner).buffered);
            all.add(taken);
        }
        all
    }

    fn give_back(&self, taken: Buffered) {
        let mut shard = self.shards.own().lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut shard.buffered;
        shard.add(taken);
        let over = shard.seen.len().saturating_sub(MAX_BUFFERED_POLLS);
        shard.truncate(MAX_BUFFERED_POLLS);
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

impl CheckCount {
    fn of(package: &PackageName) -> Self {
        Self {
            package: package.clone(),
            polls: 0,
        }
    }
}

impl Buffered {
    fn add(&mut self, other: Self) {
        let begin = self.ids.len();
        self.ids.push_str(&other.ids);
        self.seen.extend(other.seen.into_iter().map(|entry| Entry {
            id: (begin + entry.id.0, entry.id.1),
            ..entry
        }));
        for (checks, count) in other.checks {
            self.checks
                .entry(checks)
                .or_insert_with(|| CheckCount::of(&count.package))
                .polls += count.polls;
        }
    }

    fn truncate(&mut self, polls: usize) {
        self.seen.truncate(polls);
        let end = self.seen.last().map_or(0, |last| last.id.0 + last.id.1);
        self.ids.truncate(end);
    }

    fn device(&self, entry: &Entry) -> &str {
        let (begin, length) = entry.id;
        &self.ids[begin..begin + length]
    }

    fn to_write(&self) -> Activity {
        let checks = self.checks.iter().map(|(checks, count)| Checks {
            build: checks.build,
            at: DateTime::from_timestamp(checks.hour * SECONDS_PER_HOUR, 0).unwrap_or_default(),
            count: count.polls,
        });
        Activity {
            seen: self.latest(),
            checks: checks.collect(),
        }
    }

    /// The last poll of each device for each package and offer: what came before it says nothing more.
    fn latest(&self) -> Vec<Seen> {
        let mut last: HashMap<(&str, &PackageName, Option<BuildId>), &Entry> =
            HashMap::with_capacity(self.seen.len());
        for entry in &self.seen {
            let package = &self.checks[&entry.checks].package;
            let slot = last
                .entry((self.device(entry), package, entry.offered))
                .or_insert(entry);
            if slot.at < entry.at {
                *slot = entry;
            }
        }
        let seen = last
            .into_iter()
            .filter_map(|((device, package, offered), entry)| {
                Some(Seen {
                    // A device that was let in has an id that is one.
                    device: DeviceId::parse(device).ok()?,
                    package: package.clone(),
                    installed: entry.installed,
                    offered,
                    at: entry.at,
                })
            });
        seen.collect()
    }
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

    #[test]
    fn what_could_not_be_written_keeps_its_devices_and_the_bound() {
        let buffer = ActivityBuffer::new(1);
        let package = PackageName::parse("com.example.app").unwrap();
        let poll = |device_id: &str, second: i64| {
            let polled = Polled {
                device_id,
                package: &package,
                installed: VersionCode::new(1).unwrap(),
                current: BuildId(7),
                offered: None,
                at: DateTime::from_timestamp(second, 0).unwrap(),
            };
            buffer.record(Some(Reason::NotInCohort), Some(&polled));
        };
        poll("old", 1);
        let taken = buffer.take();
        poll("a-new-one", 2);
        poll("old", 3);
        buffer.give_back(taken);
        let written = buffer.take().to_write();
        assert_eq!(written.checks.iter().map(|checks| checks.count).sum::<u64>(), 3);
        let mut seen: Vec<_> = written
            .seen
            .iter()
            .map(|seen| (seen.device.as_str(), seen.at.timestamp()))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [("a-new-one", 2), ("old", 3)]);

        for second in 0..=MAX_BUFFERED_POLLS {
            poll("many", i64::try_from(second).unwrap());
        }
        assert_eq!((buffer.buffered(), buffer.dropped()), (MAX_BUFFERED_POLLS, 1));
        let taken = buffer.take();
        poll("kept", 1);
        buffer.give_back(taken);
        assert_eq!((buffer.buffered(), buffer.dropped()), (MAX_BUFFERED_POLLS, 2));
        let last = buffer.take().to_write().seen;
        assert!(
            last.iter()
                .all(|seen| ["kept", "many"].contains(&seen.device.as_str()))
        );
    }
}
