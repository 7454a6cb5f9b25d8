//! The tags that operators give to devices.

use std::collections::BTreeSet;

use tidegate_domain::{DeviceId, Overlay, Tag};

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store};

/// A tag, and how many devices have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagCount {
    /// The tag.
    pub tag: Tag,
    /// How many devices have it, retired ones included.
    pub devices: u64,
}

/// What giving and taking a tag did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// How many devices have it now that did not.
    pub added: u64,
    /// How many had it and don't any more.
    pub removed: u64,
    /// The named devices that do not exist, by name.
    pub unknown: Vec<DeviceId>,
}

/// How far a walk along the devices has come whose tags changed, see [`Store::tags_after`]. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagCursor {
    /// The epoch of the last one.
    pub(crate) epoch: i64,
    /// Its number.
    pub(crate) device: i64,
}

impl TagCursor {
    /// The value of the tags' epoch up to which everything was read.
    pub fn epoch(self) -> i64 {
        self.epoch
    }

    /// This place, or the end of this epoch if that is later: for who found nothing more up to there.
    #[must_use]
    pub fn at_least(self, epoch: i64) -> Self {
        if self.epoch >= epoch {
            return self;
        }
        Self {
            epoch,
            device: i64::MAX,
        }
    }
}

impl Store {
    /// All tags by name, with the number of their devices.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn tags(&self, page: Page) -> Result<Paged<TagCount>, Error> {
        run!(self, read, tags::list(&page))
    }

    /// Those of these tags that no device has.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn unknown_tags(&self, mut names: BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let asked = names.clone();
        let known = run!(self, read, tags::known(&asked))?;
        names.retain(|name| !known.contains(name));
        Ok(names)
    }

    /// The devices that have a tag, in the order in which they came to the server.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown tag, [`Error::Rule`] for a page token that no page gave.
    pub async fn devices_with_tag(&self, tag: &Tag, page: Page) -> Result<Paged<DeviceId>, Error> {
        let tag = tag.clone();
        run!(self, snapshot, tags::devices(&tag, &page))
    }

    /// Gives a tag to some devices and takes it from others, in one transaction. The tag comes to be with its first
    /// device. Devices that nobody knows are left aside and told. What is as it should be already stays, so a call may be
    /// repeated; one that changes nothing leaves no audit entry. The numbers stand in the entry. The tags' epoch rises.
    ///
    /// # Errors
    /// [`Error::Rule`] when a device would have more than [`tidegate_domain::MAX_TAGS_PER_DEVICE`];
    /// [`Error::TooMany`] beyond [`tidegate_domain::MAX_TAG_NAMES`]. Nothing was written then.
    pub async fn tag_devices(
        &self,
        tag: &Tag,
        add: Vec<DeviceId>,
        remove: Vec<DeviceId>,
        audit: AuditNote,
    ) -> Result<Tagged, Error> {
        let tag = tag.clone();
        run!(self, write, tags::change(&tag, &add, &remove, &audit))
    }

    /// Gives a tag another name; policies follow it. Returns how many devices have it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Duplicate`] when there is a tag of that name, [`Error::TagInUse`] while the audience of
    /// a rollout names it that serves or that a roll-back may return to, or a change that waits for an approval.
    pub async fn rename_tag(&self, from: &Tag, to: &Tag, audit: AuditNote) -> Result<u64, Error> {
        let (from, to) = (from.clone(), to.clone());
        run!(self, write, tags::rename(&from, &to, &audit))
    }

    /// Takes a tag from all devices, and removes it. Returns how many had it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TagInUse`] while a policy names it, or a rollout as [`Store::rename_tag`] tells.
    pub async fn delete_tag(&self, tag: &Tag, audit: AuditNote) -> Result<u64, Error> {
        let tag = tag.clone();
        run!(self, write, tags::delete(&tag, &audit))
    }

    /// What operators gave to a device; nothing for an unknown one.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn overlay(&self, device: &DeviceId) -> Result<Overlay, Error> {
        let device = device.clone();
        run!(self, read, tags::of_device(&device))
    }

    /// The next devices, at most `limit`, whose tags changed after this place, with the tags that they have now, maybe
    /// none; and the place of the last of them. At the end there are none, and the place stays. Changes are stamped in the
    /// order in which they are committed, so who walks to the end again and again misses none.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn tags_after(
        &self,
        after: TagCursor,
        limit: u32,
    ) -> Result<(Vec<(DeviceId, Overlay)>, TagCursor), Error> {
        run!(self, snapshot, tags::after(after, limit))
    }
}
