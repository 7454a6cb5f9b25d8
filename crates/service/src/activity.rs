//! What polls leave behind, buffered for a second: who was seen, what was offered, how often was asked.
//!
//! A poll must not wait for a database, nor for another core. Each worker thread therefore writes to a buffer of
//! its own; its lock is only ever contended for the instant in which the flusher takes the buffer away. A crash
//! loses what came since the last flush and the flush under way; a shutdown loses none.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tidegate_domain::gate::Watch;
use tidegate_domain::{BuildId, DeviceFacts, DeviceId, PackageName, Reason, RolloutId, VersionCode};
use tidegate_storage::{Activity, Checks, Seen, Standing, Store};

use crate::{Error, PerWorker};

/// How many polls one worker buffers, should the database be away. Polls beyond it are answered and not recorded.
pub const MAX_BUFFERED_POLLS: usize = 200_000;

/// How many bytes of text they may hold: a device may say a lot of itself.
const MAX_BUFFERED_BYTES: usize = 64 << 20;

const SECONDS_PER_HOUR: i64 = 3600;

/// The buffers.
pub struct ActivityBuffer {
    shards: PerWorker<Mutex<Shard>>,
    dropped: AtomicU64,
    /// Held while what was buffered is written.
    writing: tokio::sync::Mutex<()>,
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

/// What a poll leaves behind is put together without asking the allocator for anything: all text lies in one piece.
#[derive(Default)]
struct Buffered {
    text: String,
    seen: Vec<Entry>,
    /// How many polls met each.
    checks: HashMap<CheckKey, u64>,
}

/// The rollout that a poll met, its build, and the hour (since 1970) of the poll.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CheckKey {
    rollout: RolloutId,
    build: BuildId,
    hour: i64,
}

/// How many texts a poll is made of: the device's id, the package, and what the device said of itself.
const TEXTS: usize = 9;

/// One poll.
struct Entry {
    /// Where in the text this poll's begin.
    begin: usize,
    /// How long each is; `None` for what was not said.
    lengths: [Option<u16>; TEXTS],
    sdk: Option<u32>,
    protocol: u32,
    dense: bool,
    crashes: Option<u32>,
    installed: VersionCode,
    told: Standing,
    watch: Option<Watch>,
    is_member: bool,
    has_file: bool,
    at: DateTime<Utc>,
}

/// One answered poll.
pub(crate) struct Polled<'a> {
    pub device_id: &'a str,
    pub facts: &'a DeviceFacts<'a>,
    pub package: &'a str,
    pub installed: VersionCode,
    pub crashes: Option<u32>,
    /// The rollout that it is counted for, and its build; `None` while the package releases nothing.
    pub met: Option<(RolloutId, BuildId)>,
    pub told: Standing,
    pub watch: Option<Watch>,
    /// Whether a gate is known to watch the device already.
    pub is_member: bool,
    /// Whether it has the whole file of the build that it is offered.
    pub has_file: bool,
    pub at: DateTime<Utc>,
}

impl Polled<'_> {
    fn texts(&self) -> [Option<&str>; TEXTS] {
        let facts = self.facts;
        [
            Some(self.device_id),
            Some(self.package),
            facts.model.as_deref(),
            facts.manufacturer.as_deref(),
            facts.region.as_deref(),
            facts.android.as_deref(),
            facts.abis.as_deref(),
            facts.tags.as_deref(),
            facts.zone.as_deref(),
        ]
    }
}

impl ActivityBuffer {
    /// One buffer for each worker thread.
    pub fn new(workers: usize) -> Self {
        Self {
            shards: PerWorker::new(workers),
            dropped: AtomicU64::new(0),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Notes a poll and what it was told.
    pub(crate) fn record(&self, polled: &Polled<'_>) {
        let mut shard = self.shards.own().lock().unwrap_or_else(PoisonError::into_inner);
        shard.decided.count(polled.told);
        if !shard.buffered.push(polled) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
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

    /// Writes what was buffered; when it returns, all that was recorded before the call is written. What cannot be
    /// written is kept for the next time.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer.
    pub async fn flush(&self, store: &Store) -> Result<(), Error> {
        let _one_at_a_time = self.writing.lock().await;
        let taken = self.take();
        if taken.checks.is_empty() && taken.seen.is_empty() {
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
        let over = shard.truncate();
        self.dropped.fetch_add(over as u64, Ordering::Relaxed);
    }
}

impl Decisions {
    fn count(&mut self, told: Standing) {
        let slot = match told {
            Standing::Offered { .. } => &mut self.offered,
            // A test holds the order of the variants to that of the list.
            Standing::Refused(reason) => &mut self.refused[reason as usize],
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

impl Buffered {
    /// Takes a poll in; false when there is no more room for what it said.
    fn push(&mut self, polled: &Polled<'_>) -> bool {
        if let Some((rollout, build)) = polled.met {
            let hour = polled.at.timestamp().div_euclid(SECONDS_PER_HOUR);
            let check = CheckKey { rollout, build, hour };
            *self.checks.entry(check).or_default() += 1;
        }
        if self.seen.len() >= MAX_BUFFERED_POLLS || self.text.len() >= MAX_BUFFERED_BYTES {
            return false;
        }
        let begin = self.text.len();
        let lengths = polled.texts().map(|text| {
            let text = text?;
            let length = u16::try_from(text.len()).ok()?;
            self.text.push_str(text);
            Some(length)
        });
        self.seen.push(Entry {
            begin,
            lengths,
            sdk: polled.facts.sdk,
            protocol: polled.facts.protocol,
            dense: polled.facts.dense,
            crashes: polled.crashes,
            installed: polled.installed,
            told: polled.told,
            watch: polled.watch,
            is_member: polled.is_member,
            has_file: polled.has_file,
            at: polled.at,
        });
        true
    }

    fn add(&mut self, other: Self) {
        let begin = self.text.len();
        self.text.push_str(&other.text);
        self.seen.extend(other.seen.into_iter().map(|entry| Entry {
            begin: begin + entry.begin,
            ..entry
        }));
        for (key, polls) in other.checks {
            *self.checks.entry(key).or_default() += polls;
        }
    }

    /// Drops what is beyond the bounds, and returns how many polls that were.
    fn truncate(&mut self) -> usize {
        let fits = self
            .seen
            .partition_point(|entry| entry.begin < MAX_BUFFERED_BYTES);
        let kept = fits.min(MAX_BUFFERED_POLLS);
        let over = self.seen.len().saturating_sub(kept);
        if let Some(first) = self.seen.get(kept) {
            self.text.truncate(first.begin);
        }
        self.seen.truncate(kept);
        over
    }

    /// What a poll said, in the order of [`Polled::texts`].
    fn texts(&self, entry: &Entry) -> [Option<&str>; TEXTS] {
        let mut at = entry.begin;
        entry.lengths.map(|length| {
            let begin = at;
            at += usize::from(length?);
            self.text.get(begin..at)
        })
    }

    /// The device and the package.
    fn names(&self, entry: &Entry) -> (&str, &str) {
        let [device, package, ..] = self.texts(entry);
        (device.unwrap_or_default(), package.unwrap_or_default())
    }

    fn facts(&self, entry: &Entry) -> DeviceFacts<'static> {
        let [_, _, model, manufacturer, region, android, abis, tags, zone] =
            self.texts(entry).map(|text| text.map(Cow::Borrowed));
        let facts = DeviceFacts {
            sdk: entry.sdk,
            model,
            manufacturer,
            region,
            android,
            abis,
            tags,
            zone,
            protocol: entry.protocol,
            dense: entry.dense,
        };
        facts.into_owned()
    }

    fn to_write(&self) -> Activity {
        let checks = self.checks.iter().map(|(key, polls)| Checks {
            rollout: key.rollout,
            build: key.build,
            at: DateTime::from_timestamp(key.hour * SECONDS_PER_HOUR, 0).unwrap_or_default(),
            count: *polls,
        });
        Activity {
            seen: self.latest(),
            checks: checks.collect(),
        }
    }

    /// The last poll of each device for each package and answer: what came before it says nothing more.
    fn latest(&self) -> Vec<Seen> {
        let mut last: HashMap<((&str, &str), Standing), &Entry> = HashMap::with_capacity(self.seen.len());
        for entry in &self.seen {
            let slot = last.entry((self.names(entry), entry.told)).or_insert(entry);
            if slot.at < entry.at {
                *slot = entry;
            }
        }
        let seen = last.into_iter().filter_map(|(((device, package), told), entry)| {
            Some(Seen {
                // A device that was let in has an id that is one, and a poll that was decided a package's name.
                device: DeviceId::parse(device).ok()?,
                facts: self.facts(entry),
                package: PackageName::parse(package).ok()?,
                installed: entry.installed,
                crashes: entry.crashes,
                told,
                watch: entry.watch,
                is_member: entry.is_member,
                has_file: entry.has_file,
                at: entry.at,
            })
        });
        seen.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polled<'a>(device_id: &'a str, facts: &'a DeviceFacts<'a>, told: Standing, second: i64) -> Polled<'a> {
        Polled {
            device_id,
            facts,
            package: "com.example.app",
            installed: VersionCode::new(1).unwrap(),
            crashes: None,
            met: Some((RolloutId(3), BuildId(7))),
            told,
            watch: None,
            is_member: false,
            has_file: false,
            at: DateTime::from_timestamp(second, 0).unwrap(),
        }
    }

    #[test]
    fn each_decision_is_counted_as_its_own() {
        let buffer = ActivityBuffer::new(2);
        let facts = DeviceFacts::default();
        for (times, reason) in (1..).zip(Reason::ALL) {
            for _ in 0..times {
                buffer.record(&polled("a", &facts, Standing::Refused(reason), 0));
            }
        }
        let offered = Standing::Offered {
            rollout: RolloutId(3),
            build: BuildId(7),
        };
        buffer.record(&polled("a", &facts, offered, 0));
        let counted = buffer.decisions();
        assert_eq!(counted.offered, 1);
        let each: Vec<u64> = (1..).take(Reason::ALL.len()).collect();
        assert_eq!(counted.refused[..], each);
        let kept = buffer.take().to_write().seen;
        assert_eq!(
            kept.len(),
            Reason::ALL.len() + 1,
            "one poll of each answer is kept"
        );
    }

    #[test]
    fn a_poll_for_what_is_not_released_is_kept_and_is_no_check() {
        let buffer = ActivityBuffer::new(1);
        let facts = DeviceFacts::default();
        let told = Standing::Refused(Reason::NoCurrentBuild);
        buffer.record(&Polled {
            met: None,
            ..polled("a", &facts, told, 1)
        });
        let written = buffer.take().to_write();
        assert_eq!(written.checks, []);
        let seen: Vec<_> = written
            .seen
            .iter()
            .map(|seen| (seen.device.as_str(), seen.package.as_str(), seen.told))
            .collect();
        assert_eq!(seen, [("a", "com.example.app", told)]);
    }

    #[test]
    fn what_could_not_be_written_keeps_its_devices_and_the_bound() {
        let buffer = ActivityBuffer::new(1);
        let facts = DeviceFacts {
            sdk: Some(34),
            region: Some("eu".into()),
            tags: Some(String::new().into()),
            protocol: 2,
            ..DeviceFacts::default()
        };
        let poll = |device_id: &str, second: i64| {
            let told = Standing::Refused(Reason::NotInCohort);
            buffer.record(&polled(device_id, &facts, told, second));
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
        assert!(written.seen.iter().all(|seen| seen.facts == facts), "{written:?}");

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
