//! Which bytes of a file went out to a device, added up over all requests that fetch it.
//!
//! A device fetches a large file in several requests: its connection is cut and it resumes, or a proxy asks for one
//! part after the other. No request alone says whether the device has the file. So the ranges of all of them are kept,
//! and the file is complete when they cover it.
//!
//! They are kept in this process's memory only. A file whose parts came from different replicas, or from before and
//! after a restart, is complete in none of them; the device's own report counts it then. A database would know all
//! parts, at the price of a write for each request.
//!
//! The memory is bounded by two generations. What is added goes to the newer one; when that is full or a
//! [`GENERATION`] old, it becomes the older one, and what the older one held is forgotten. What grows is moved to the
//! newer one, so that the downloads that were idle longest are forgotten first, without a search for them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{BuildId, DeviceId};

/// How many unfinished downloads are remembered at most.
pub const MAX_UNFINISHED_DOWNLOADS: usize = 100_000;

/// How many separate ranges of one download are remembered at most. What would be one more is not, so that the
/// download counts when it is fetched again or the device reports it.
pub const MAX_RANGES_PER_DOWNLOAD: usize = 32;

/// How long a generation is. A download of which nothing is fetched through two of them is forgotten.
const GENERATION: TimeDelta = TimeDelta::hours(24);

/// What is fetched by whom: the requests of which the ranges are added up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fetch {
    pub device: DeviceId,
    pub build: BuildId,
    /// The build that a patch is made from; `None`: the whole file.
    pub base: Option<BuildId>,
}

/// The ranges of all unfinished downloads.
#[derive(Default)]
pub(crate) struct SentBytes(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    newer: HashMap<Fetch, Ranges>,
    older: HashMap<Fetch, Ranges>,
    /// When the newer one began.
    begun: DateTime<Utc>,
}

/// Ranges in order that neither overlap nor touch.
#[derive(Default)]
struct Ranges(Vec<Range<u64>>);

impl SentBytes {
    /// Adds bytes that went out. True when all of the file's `size` bytes have gone out with them; it then begins
    /// anew.
    pub(crate) fn complete(&self, fetch: Fetch, sent: Range<u64>, size: u64, now: DateTime<Utc>) -> bool {
        if sent.is_empty() {
            return false;
        }
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ranges = generations.take(&fetch);
        ranges.add(sent);
        if ranges.cover(size) {
            return true;
        }
        generations.put(fetch, ranges, now);
        false
    }
}

impl Generations {
    fn take(&mut self, fetch: &Fetch) -> Ranges {
        let older = self.older.remove(fetch);
        self.newer.remove(fetch).or(older).unwrap_or_default()
    }

    fn put(&mut self, fetch: Fetch, ranges: Ranges, now: DateTime<Utc>) {
        if self.newer.len() >= MAX_UNFINISHED_DOWNLOADS / 2 || now - self.begun >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
            self.begun = now;
        }
        self.newer.insert(fetch, ranges);
    }
}

impl Ranges {
    /// Adds a range that is not empty, and makes one of those that it overlaps or touches.
    fn add(&mut self, mut added: Range<u64>) {
        let apart = |range: &Range<u64>| range.end < added.start || added.end < range.start;
        let (mut ranges, joined): (Vec<_>, Vec<_>) = self.0.drain(..).partition(apart);
        for range in joined {
            added = added.start.min(range.start)..added.end.max(range.end);
        }
        if ranges.len() < MAX_RANGES_PER_DOWNLOAD {
            let place = ranges.partition_point(|range| range.start < added.start);
            ranges.insert(place, added);
        }
        self.0 = ranges;
    }

    fn cover(&self, size: u64) -> bool {
        self.0
            .first()
            .is_some_and(|first| first.start == 0 && first.end >= size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100;

    fn fetch(device: &str) -> Fetch {
        Fetch {
            device: DeviceId::parse(device).unwrap(),
            build: BuildId(7),
            base: None,
        }
    }

    fn hour(hour: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hour)
    }

    /// Whether these ranges, fetched one after the other by one device, complete the file, and with which of them.
    fn completed_by(ranges: &[Range<u64>]) -> Option<usize> {
        let sent = SentBytes::default();
        ranges
            .iter()
            .position(|range| sent.complete(fetch("one"), range.clone(), SIZE, hour(0)))
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
    fn a_file_is_complete_when_its_ranges_cover_it() {
        let table: [(&[Range<u64>], Option<usize>); 11] = [
            (&[0..100], Some(0)),
            (&[99..100], None),
            (&[0..99], None),
            (&[0..50, 50..100], Some(1)),
            (&[50..100, 0..50], Some(1)),
            (&[0..60, 40..100], Some(1)),
            (&[0..50, 0..50, 0..50], None),
            (&[50..100, 50..100], None),
            (&[0..50, 51..100], None),
            (&[0..20, 40..60, 80..100, 20..40, 60..80], Some(4)),
            (&[0..0, 100..100, 0..50], None),
        ];
        for (ranges, expected) in table {
            assert_eq!(completed_by(ranges), expected, "{ranges:?}");
        }
    }

    #[test]
    fn what_was_complete_begins_anew() {
        let sent = SentBytes::default();
        let halves = [0..50, 50..100, 50..100, 0..50];
        let complete = halves.map(|half| sent.complete(fetch("one"), half, SIZE, hour(0)));
        assert_eq!(complete, [false, true, false, true]);
    }

    #[test]
    fn the_parts_of_two_devices_are_not_added_up() {
        let sent = SentBytes::default();
        assert!(!sent.complete(fetch("one"), 0..50, SIZE, hour(0)));
        assert!(!sent.complete(fetch("two"), 50..100, SIZE, hour(0)));
    }

    #[test]
    fn what_is_idle_is_forgotten_and_what_goes_on_is_not() {
        let sent = SentBytes::default();
        sent.complete(fetch("idle"), 0..50, SIZE, hour(0));
        sent.complete(fetch("slow"), 0..50, SIZE, hour(0));
        sent.complete(fetch("slow"), 50..60, SIZE, hour(24));
        sent.complete(fetch("slow"), 60..70, SIZE, hour(48));
        assert!(!sent.complete(fetch("idle"), 50..100, SIZE, hour(49)));
        assert!(sent.complete(fetch("slow"), 70..100, SIZE, hour(71)));
    }

    #[test]
    fn devices_without_end_are_not_memory_without_end() {
        let sent = SentBytes::default();
        for number in 0..2 * MAX_UNFINISHED_DOWNLOADS {
            sent.complete(fetch(&format!("device-{number}")), 0..50, SIZE, hour(0));
        }
        let generations = sent.0.lock().unwrap();
        assert!(generations.newer.len() + generations.older.len() <= MAX_UNFINISHED_DOWNLOADS);
        assert!(generations.newer.contains_key(&fetch("device-199999")));
    }

    #[test]
    fn ranges_without_end_are_not_memory_without_end() {
        let mut ranges = Ranges::default();
        for number in (0..1000).rev() {
            ranges.add(2 * number..2 * number + 1);
        }
        assert_eq!(ranges.0.len(), MAX_RANGES_PER_DOWNLOAD);
        ranges.add(0..2000);
        assert!(ranges.cover(2000));
    }
}
