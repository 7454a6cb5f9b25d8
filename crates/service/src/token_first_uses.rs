//! Polls that leave nothing behind but that their device's token was used, which ends the time in which its enrolment may
//! be repeated without a key.

use chrono::{DateTime, Utc};
use tidegate_domain::DeviceId;

use crate::MAX_BUFFERED_POLLS;

/// The devices, all ids in one text, as a poll asks the allocator for nothing.
#[derive(Default)]
pub(crate) struct TokenFirstUses {
    text: String,
    uses: Vec<(usize, DateTime<Utc>)>,
}

impl TokenFirstUses {
    pub(crate) fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// Notes a use; beyond the bound it is left out.
    pub(crate) fn push(&mut self, device_id: &str, at: DateTime<Utc>) {
        if self.uses.len() < MAX_BUFFERED_POLLS {
            self.text.push_str(device_id);
            self.uses.push((self.text.len(), at));
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (device_id, at) in other.iter() {
            self.push(device_id, at);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&str, DateTime<Utc>)> {
        let begins = std::iter::once(0).chain(self.uses.iter().map(|(end, _)| *end));
        begins
            .zip(&self.uses)
            .filter_map(|(begin, (end, at))| Some((self.text.get(begin..*end)?, *at)))
    }

    /// The uses with the devices' ids.
    pub(crate) fn to_write(&self) -> Vec<(DeviceId, DateTime<Utc>)> {
        self.iter()
            // A device that was let in has an id that is one.
            .filter_map(|(device_id, at)| Some((DeviceId::parse(device_id).ok()?, at)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_keep_their_devices_when_they_are_put_together() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let (mut all, mut other) = (TokenFirstUses::default(), TokenFirstUses::default());
        all.push("a", at(1));
        other.push("bb", at(2));
        other.push("ccc", at(3));
        all.add(&other);
        let written = all.to_write();
        let read: Vec<_> = written.iter().map(|(id, at)| (id.as_str(), *at)).collect();
        assert_eq!(read, [("a", at(1)), ("bb", at(2)), ("ccc", at(3))]);
        for _ in 0..MAX_BUFFERED_POLLS {
            all.push("d", at(4));
        }
        assert_eq!(all.to_write().len(), MAX_BUFFERED_POLLS);
    }
}
