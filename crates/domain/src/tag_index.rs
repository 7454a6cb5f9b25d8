//! Which rollouts of a track can take a device at all, by the tags that operators gave to it.
//!
//! Canaries and rings are tags, so of many rollouts most ask for a tag that a device does not have. Looking these up by the
//! device's few tags leaves a handful to be asked. It is never the reason for an answer: a rollout that is left out here
//! would have said that the device is not in its audience.

use std::collections::HashMap;

use crate::{Overlay, Tag, Track};

/// A set of places in [`Track::serving`], a bit for each. Places from the 65th on are in every set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places(u64);

impl Places {
    /// All of them.
    pub(crate) const ALL: Self = Self(u64::MAX);

    fn at(place: usize) -> Self {
        Self(u32::try_from(place).map_or(0, |place| 1_u64.checked_shl(place).unwrap_or(0)))
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn has(self, place: usize) -> bool {
        let bit = Self::at(place).0;
        bit == 0 || self.0 & bit != 0
    }
}

/// A track's rollouts by the tag that a device must have to be in their audience.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagIndex {
    /// Those that ask for no tag, or not for certain.
    untagged: Places,
    by_tag: HashMap<Tag, Places>,
    /// Whether an audience asks for a tag at all, be it for certain or not.
    pub(crate) asks_for_tags: bool,
    /// Those that take a version back.
    pub(crate) taking_back: Places,
    /// The place of the current base.
    pub(crate) current: Option<usize>,
}

impl TagIndex {
    pub(crate) fn of(track: &Track) -> Self {
        let mut index = Self::default();
        for (place, release) in track.serving.iter().enumerate() {
            let spec = &release.rollout.spec;
            let required = spec.settings.audience.required_tag();
            // One that has not begun says so whatever tags a device has.
            match required.filter(|_| spec.state.has_begun()) {
                Some(tag) => index.by_tag.entry(tag).or_default().add(Places::at(place)),
                None => index.untagged.add(Places::at(place)),
            }
            index.asks_for_tags |= spec.settings.audience.asks_for_tags();
            if spec.takes_back.is_some() {
                index.taking_back.add(Places::at(place));
            }
            if spec.is_current {
                index.current = Some(place);
            }
        }
        index
    }

    /// Those that may take a device with this overlay.
    pub(crate) fn candidates(&self, overlay: &Overlay) -> Places {
        let mut places = self.untagged;
        if !self.by_tag.is_empty() {
            for tag in overlay.tags() {
                places.add(self.by_tag.get(tag).copied().unwrap_or_default());
            }
        }
        places
    }
}
