//! What happened to one device, by itself and by operators, in one list.

use chrono::{DateTime, Utc};
use tidegate_domain::DeviceId;
use tidegate_storage::{AuditEntry, AuditFilter, DeviceEvent, DeviceHappening, Page};

use crate::Error;
use crate::devices::Devices;

/// One line of a device's timeline.
pub struct TimelineEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Happened,
}

/// What happened to a device.
pub enum Happened {
    /// By itself, or by the server.
    ToDevice(DeviceHappening),
    /// By somebody: an entry of the audit log.
    ByOperator(Box<AuditEntry>),
}

/// A page of a device's timeline, newest first.
pub struct DeviceTimeline {
    /// Its lines.
    pub entries: Vec<TimelineEntry>,
    /// Before which moment the next page begins, if there is one.
    pub next: Option<DateTime<Utc>>,
}

impl Devices {
    /// What happened to a device before a moment, newest first: about `limit` lines, and all of the last moment.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`]; [`crate::Kind::Invalid`] for a limit that no page has;
    /// [`crate::Kind::Unavailable`].
    pub async fn timeline(
        &self,
        id: &DeviceId,
        before: Option<DateTime<Utc>>,
        limit: u32,
    ) -> Result<DeviceTimeline, Error> {
        let events = self.store.device_timeline(id, before, limit + 1).await?;
        let filter = AuditFilter {
            target: Some(format!("device/{id}")),
            to: before,
            ..AuditFilter::default()
        };
        let entries = self
            .store
            .audit(filter, Page::new(Some(limit + 1), None)?)
            .await?;
        let to_device = |DeviceEvent { at, what }| TimelineEntry {
            at,
            what: Happened::ToDevice(what),
        };
        let by_operator = |entry: AuditEntry| TimelineEntry {
            at: entry.at,
            what: Happened::ByOperator(Box::new(entry)),
        };
        let mut all: Vec<TimelineEntry> = events.into_iter().map(to_device).collect();
        all.extend(entries.items.into_iter().map(by_operator));
        all.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        Ok(cut(all, limit))
    }
}

/// Cuts the lines after the moment of the last one that fits.
fn cut(mut entries: Vec<TimelineEntry>, limit: u32) -> DeviceTimeline {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    let last = entries.get(limit - 1).map(|entry| entry.at);
    let fits = last.map_or(entries.len(), |last| {
        entries.iter().take_while(|entry| entry.at >= last).count()
    });
    let more = entries.len() > fits;
    entries.truncate(fits);
    DeviceTimeline {
        next: last.filter(|_| more),
        entries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> TimelineEntry {
        TimelineEntry {
            at: DateTime::from_timestamp(second, 0).unwrap(),
            what: Happened::ToDevice(DeviceHappening::LastPoll),
        }
    }

    #[test]
    fn no_moment_is_split_between_two_pages() {
        let page = cut([9, 8, 8, 8, 7].map(at).into(), 2);
        assert_eq!(page.entries.len(), 4);
        assert_eq!(page.next, DateTime::from_timestamp(8, 0));
        let whole = cut([9, 8].map(at).into(), 2);
        assert_eq!((whole.entries.len(), whole.next), (2, None));
        assert_eq!(cut(vec![], 2).next, None);
    }
}
