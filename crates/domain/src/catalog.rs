//! The catalog: everything that a poll's answer depends on besides the poll itself.

use std::collections::HashMap;

use crate::{PackageName, Track};

/// A snapshot of all packages that release something. Built anew on every change, never edited, so that any
/// number of polls read it without a lock.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    tracks: HashMap<PackageName, Track>,
}

impl Catalog {
    /// Takes the packages' tracks.
    pub fn new(tracks: impl IntoIterator<Item = Track>) -> Self {
        let tracks = tracks.into_iter().map(|track| (track.package.clone(), track));
        Self {
            tracks: tracks.collect(),
        }
    }

    /// A package's track.
    pub fn track(&self, package: &str) -> Option<&Track> {
        self.tracks.get(package)
    }

    /// All tracks, in no order.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values()
    }
}
