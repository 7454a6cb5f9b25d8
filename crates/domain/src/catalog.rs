//! The catalog: everything that a poll's answer depends on besides the poll itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[cfg(feature = "calendars")]
use chrono::{DateTime, Utc};

use crate::gate::GateIndex;
use crate::tag_index::TagIndex;
use crate::{Build, CalendarName, CompiledCalendars, PackageName, PolicySet, Release, RolloutId, Track};

/// A snapshot of all packages that release something. Built anew on every change, never edited, so that any
/// number of polls read it without a lock.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    tracks: HashMap<PackageName, (Track, TagIndex, GateIndex)>,
    policies: PolicySet,
    calendars: CompiledCalendars,
}

impl Catalog {
    /// Takes the packages' tracks.
    pub fn new(tracks: impl IntoIterator<Item = Track>) -> Self {
        let indexed = |track: Track| {
            let index = TagIndex::of(&track);
            let gates = GateIndex::of(&track, None);
            (track.package.clone(), (track, index, gates))
        };
        Self {
            tracks: tracks.into_iter().map(indexed).collect(),
            policies: PolicySet::default(),
            calendars: CompiledCalendars::default(),
        }
    }

    /// The same with these policies.
    #[must_use]
    pub fn with_policies(self, policies: PolicySet) -> Self {
        Self { policies, ..self }
    }

    /// The same with these calendars; those that no rollout names are left out.
    #[must_use]
    pub fn with_calendars(self, calendars: CompiledCalendars) -> Self {
        let used: HashSet<&CalendarName> = self
            .releases()
            .flat_map(|release| release.rollout.spec.settings.calendars.names())
            .collect();
        let calendars = calendars.only(|name| used.contains(name));
        Self { calendars, ..self }
    }

    /// The same, where so many devices are known to have these packages. Of packages with a rollout that has a gate it is
    /// to be known: without it nobody is control.
    #[must_use]
    pub fn with_fleets(mut self, devices: &HashMap<PackageName, u64>) -> Self {
        for (package, (track, _, gates)) in &mut self.tracks {
            if !gates.is_empty()
                && let Some(devices) = devices.get(package)
            {
                *gates = GateIndex::of(track, Some(*devices));
            }
        }
        self
    }

    /// The packages of which an active rollout has a gate.
    pub fn gated_packages(&self) -> impl Iterator<Item = &PackageName> {
        let gated = self.tracks.iter().filter(|(_, (_, _, gates))| !gates.is_empty());
        gated.map(|(package, _)| package)
    }

    /// The rollouts of this package that are active and have a gate, in the order in which polls ask them.
    pub fn gated_rollouts(&self, package: &str) -> impl Iterator<Item = RolloutId> {
        let gates = self.indexed(package).map(|(_, _, gates)| gates.rollouts());
        gates.into_iter().flatten()
    }

    /// The same with its calendars worked out around this moment, with the help of an earlier catalog's.
    #[cfg(feature = "calendars")]
    #[must_use]
    pub fn with_openings(self, now: DateTime<Utc>, earlier: &CompiledCalendars) -> Self {
        if self.calendars.is_empty() {
            return self;
        }
        let calendars = self.calendars.worked_out(now, earlier);
        Self { calendars, ..self }
    }

    /// The calendars that its rollouts name.
    pub fn calendars(&self) -> &CompiledCalendars {
        &self.calendars
    }

    /// The policies.
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// Whether an answer about this package may depend on the tags that operators gave to the device.
    pub fn needs_tags(&self, package: &str) -> bool {
        self.indexed(package)
            .is_some_and(|(_, index, _)| index.asks_for_tags)
            || self.policies.need_tags(package)
    }

    /// A package's track.
    pub fn track(&self, package: &str) -> Option<&Track> {
        self.indexed(package).map(|(track, ..)| track)
    }

    pub(crate) fn indexed(&self, package: &str) -> Option<&(Track, TagIndex, GateIndex)> {
        self.tracks.get(package)
    }

    /// All tracks, in no order.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values().map(|(track, ..)| track)
    }

    /// All rollouts that serve, with their builds; those of one package in the order in which polls ask them.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        self.tracks().flat_map(|track| &track.serving)
    }

    /// All builds that devices may be offered: those that rollouts release, and those that must be taken in between.
    /// One that several rollouts offer comes several times.
    pub fn offered_builds(&self) -> impl Iterator<Item = &Arc<Build>> {
        let barriers = self.tracks().flat_map(|track| &track.barriers);
        self.releases().map(|release| &release.build).chain(barriers)
    }
}
