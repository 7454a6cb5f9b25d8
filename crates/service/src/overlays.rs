//! Which tags operators gave to which device, in memory, so that a poll asks no database.
//!
//! Only devices that have tags stand here, and equal sets of tags are kept once. A device costs 16 bytes of a table that
//! is at most seven eighths full, whatever its id: 285 MB for 10 million. That is paid for with the id's text: devices
//! are told apart by 64 bits of a hash with a key of this process's own. That a poll meets another device's entry is to be
//! expected in one of 200,000 fleets of 10 million.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_domain::{DeviceId, Overlay, Tag};
use tidegate_storage::{Store, TagCursor};
use tokio::sync::Mutex;

use crate::Error;

/// How many devices are read at once.
const READ_AT_ONCE: u32 = 5_000;

/// Into how many parts the table is divided: a poll waits for a writer only when both want the same part.
const SHARDS: usize = 256;

/// The keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Shard = RwLock<HashMap<u64, Arc<Overlay>, BuildHasherDefault<AsItIs>>>;

/// The overlays of the devices that have one.
pub(crate) struct Overlays {
    shards: Box<[Shard]>,
    key: RandomState,
    devices: AtomicUsize,
    loaded: AtomicBool,
    /// Held while reading, so that an older read never replaces a newer one.
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    cursor: TagCursor,
    known: Known,
}

/// What is kept once, however many devices have it.
#[derive(Default)]
struct Known {
    overlays: HashSet<Arc<Overlay>>,
    tags: HashSet<Tag>,
    /// At this size it is looked for sets that nobody has any more.
    sweep_at: usize,
}

/// Below this size it is not worth looking.
const LEAST_SWEPT: usize = 1_024;

impl Default for Overlays {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            key: RandomState::new(),
            devices: AtomicUsize::new(0),
            loaded: AtomicBool::new(false),
            reading: Mutex::default(),
        }
    }
}

impl Overlays {
    /// What was given to a device; `None`: nothing.
    pub(crate) fn of(&self, device: &str) -> Option<Arc<Overlay>> {
        if self.devices() == 0 {
            return None;
        }
        let (shard, key) = self.place(device);
        let entries = shard.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&key).cloned()
    }

    /// How many devices have one.
    pub(crate) fn devices(&self) -> usize {
        self.devices.load(Ordering::Relaxed)
    }

    /// Whether all of them were read since the start.
    pub(crate) fn are_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Reads what changed, up to this value of the tags' epoch at least. Cheap when nothing did.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer; what was read until then stays, and it goes on from
    /// there.
    pub(crate) async fn catch_up(&self, store: &Store, epoch: i64) -> Result<(), Error> {
        let mut reading = self.reading.lock().await;
        while !self.are_loaded() || reading.cursor.epoch() < epoch {
            let (devices, cursor) = store.tags_after(reading.cursor, READ_AT_ONCE).await?;
            if devices.is_empty() {
                // An epoch whose devices were stamped by a later one, or erased since.
                reading.cursor = cursor.at_least(epoch);
                self.loaded.store(true, Ordering::Release);
                break;
            }
            for (device, overlay) in devices {
                self.set(&device, &overlay, &mut reading.known);
            }
            reading.cursor = cursor;
        }
        Ok(())
    }

    /// Forgets a device that was erased.
    pub(crate) async fn forget(&self, device: &DeviceId) {
        let mut reading = self.reading.lock().await;
        self.set(device, Overlay::none(), &mut reading.known);
    }

    fn set(&self, device: &DeviceId, overlay: &Overlay, known: &mut Known) {
        let (shard, key) = self.place(device.as_str());
        let overlay = (!overlay.is_empty()).then(|| known.once(overlay));
        let mut entries = shard.write().unwrap_or_else(PoisonError::into_inner);
        let is_there = overlay.is_some();
        let was_there = match overlay {
            Some(overlay) => entries.insert(key, overlay).is_some(),
            None => entries.remove(&key).is_some(),
        };
        match (was_there, is_there) {
            (false, true) => _ = self.devices.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.devices.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }

    fn place(&self, device: &str) -> (&Shard, u64) {
        let key = self.key.hash_one(device);
        // Other bits than those by which the map places and tells apart its entries, which are the lowest and the highest.
        let shard = usize::try_from(key >> 40).unwrap_or(usize::MAX) % SHARDS;
        (&self.shards[shard], key)
    }
}

impl Known {
    fn once(&mut self, overlay: &Overlay) -> Arc<Overlay> {
        if let Some(known) = self.overlays.get(overlay) {
            return Arc::clone(known);
        }
        if self.overlays.len() >= self.sweep_at.max(LEAST_SWEPT) {
            self.sweep();
        }
        let tags = overlay.tags().iter().map(|tag| match self.tags.get(tag) {
            Some(known) => known.clone(),
            None => {
                self.tags.insert(tag.clone());
                tag.clone()
            }
        });
        let overlay = Arc::new(Overlay::new(tags.collect::<Vec<_>>()));
        self.overlays.insert(Arc::clone(&overlay));
        overlay
    }

    /// Forgets the sets that no device has, and the tags that are in none.
    fn sweep(&mut self) {
        self.overlays.retain(|overlay| Arc::strong_count(overlay) > 1);
        self.tags = self
            .overlays
            .iter()
            .flat_map(|overlay| overlay.tags())
            .cloned()
            .collect();
        self.sweep_at = 2 * self.overlays.len();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn device(number: usize) -> DeviceId {
        DeviceId::parse(&format!("till-{number}")).unwrap()
    }

    fn overlay(tags: &[&str]) -> Overlay {
        Overlay::new(tags.iter().map(|tag| Tag::parse(tag).unwrap()))
    }

    #[tokio::test]
    async fn equal_sets_are_kept_once_and_those_that_nobody_has_go() {
        let overlays = Overlays::default();
        let mut known = Known::default();
        for number in 0..1_000 {
            overlays.set(&device(number), &overlay(&["canary", "lab"]), &mut known);
        }
        assert_eq!(
            (overlays.devices(), known.overlays.len(), known.tags.len()),
            (1_000, 1, 2)
        );
        assert!(overlays.of("till-7").unwrap().has_tag("lab"));
        for number in 0..3_000 {
            overlays.set(&device(0), &overlay(&[&format!("ring-{number}")]), &mut known);
        }
        assert!(
            known.overlays.len() <= LEAST_SWEPT,
            "{} sets",
            known.overlays.len()
        );
        assert!(known.tags.len() <= LEAST_SWEPT + 2);
        assert_eq!(overlays.devices(), 1_000);
        assert!(overlays.of("till-0").unwrap().has_tag("ring-2999"));
        overlays.set(&device(0), Overlay::none(), &mut known);
        overlays.set(&device(0), Overlay::none(), &mut known);
        assert_eq!((overlays.devices(), overlays.of("till-0")), (999, None));
    }
}
