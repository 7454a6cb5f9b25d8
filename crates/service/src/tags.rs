//! Tags: the labels by which operators tell devices apart.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_domain::{DeviceId, MAX_TAGGED_AT_ONCE, Role, Tag};
use tidegate_storage::{Page, Paged, Store, TagCount, Tagged};

use crate::{Actor, Clock, Error, Kind, Snapshots};

/// Gives tags to devices, and takes them away.
pub struct Tags {
    store: Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

/// Which devices get a tag, and which lose it: at most [`MAX_TAGGED_AT_ONCE`] together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Those that get it.
    pub add: Vec<DeviceId>,
    /// Those that lose it.
    pub remove: Vec<DeviceId>,
}

impl TagChange {
    fn check(&self) -> Result<(), Error> {
        let named = self.add.len() + self.remove.len();
        if named == 0 {
            return Err(Error::invalid("add", "or remove must name a device"));
        }
        if named > MAX_TAGGED_AT_ONCE {
            let message =
                format!("{named} devices are named, and one call takes {MAX_TAGGED_AT_ONCE}: send several");
            return Err(Error::new(Kind::TooLarge, "too_large", message));
        }
        let add: HashSet<&DeviceId> = self.add.iter().collect();
        match self.remove.iter().find(|id| add.contains(id)) {
            Some(id) => Err(Error::invalid("remove", format!("names {id}, as add does"))),
            None => Ok(()),
        }
    }

    fn action(&self) -> &'static str {
        match (self.add.is_empty(), self.remove.is_empty()) {
            (_, true) => "tag.add",
            (true, false) => "tag.remove",
            (false, false) => "tag.change",
        }
    }
}

impl Tags {
    /// Over this database, refreshing these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            snapshots,
            clock,
        }
    }

    /// All tags by name, with the number of their devices.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, page: Page) -> Result<Paged<TagCount>, Error> {
        Ok(self.store.tags(page).await?)
    }

    /// The devices that have a tag.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn devices(&self, tag: &Tag, page: Page) -> Result<Paged<DeviceId>, Error> {
        Ok(self.store.devices_with_tag(tag, page).await?)
    }

    /// Gives a tag to some devices and takes it from others, all at once. Devices that nobody knows are told, and the
    /// others are done. May be repeated.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`]; [`crate::Kind::Invalid`] when nobody is named or somebody twice with two wishes, and
    /// when a device would have too many tags; [`crate::Kind::TooLarge`]; [`crate::Kind::Conflict`] beyond the number of
    /// tags; [`crate::Kind::Unavailable`]. Nothing was changed then.
    pub async fn change(&self, actor: &Actor, tag: &Tag, change: TagChange) -> Result<Tagged, Error> {
        actor.require(Role::Operator)?;
        change.check()?;
        let note = actor
            .on_record(self.clock.now())
            .note(change.action(), format!("tag/{tag}"));
        let tagged = self
            .store
            .tag_devices(tag, change.add, change.remove, note)
            .await?;
        self.snapshots.follow_own_tags().await;
        tracing::info!(
            event = "ota.tag.change",
            actor = actor.subject,
            tag = tag.as_str(),
            added = tagged.added,
            removed = tagged.removed,
            unknown = tagged.unknown.len(),
        );
        Ok(tagged)
    }

    /// Gives a tag another name, on all devices and in all policies. Returns how many devices have it.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Exists`] when there is one of that name,
    /// [`crate::Kind::Unavailable`].
    pub async fn rename(&self, actor: &Actor, tag: &Tag, to: &Tag) -> Result<u64, Error> {
        actor.require(Role::Operator)?;
        let note = actor
            .on_record(self.clock.now())
            .note("tag.rename", format!("tag/{tag}"));
        let devices = self.store.rename_tag(tag, to, note).await?;
        self.snapshots.follow_own_tags().await;
        tracing::info!(
            event = "ota.tag.rename",
            actor = actor.subject,
            tag = tag.as_str(),
            to = to.as_str(),
            devices,
        );
        Ok(devices)
    }

    /// Takes a tag from all devices and removes it. Returns how many had it.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`]; [`crate::Kind::Conflict`] while a policy hangs on it, which
    /// would concern nobody from then on; [`crate::Kind::Unavailable`].
    pub async fn delete(&self, actor: &Actor, tag: &Tag) -> Result<u64, Error> {
        actor.require(Role::Operator)?;
        let note = actor
            .on_record(self.clock.now())
            .note("tag.delete", format!("tag/{tag}"));
        let devices = self.store.delete_tag(tag, note).await?;
        self.snapshots.follow_own_tags().await;
        tracing::info!(
            event = "ota.tag.delete",
            actor = actor.subject,
            tag = tag.as_str(),
            devices
        );
        Ok(devices)
    }
}
