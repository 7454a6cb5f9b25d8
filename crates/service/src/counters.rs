//! What happened since the process began, counted where it happens and read when somebody asks for the metrics.
//!
//! These are counters of this process: they begin at zero with it, as Prometheus expects of counters, and the sums over
//! all servers are the fleet's. The statistics of a build, which outlive a process, are in the database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_domain::{Build, BuildId, PatchOutcome, ReportStatus, VersionCode};
use tidegate_storage::PatchCounted;

/// How many builds are counted apart. Beyond it the oldest one is forgotten, so that no number of uploads makes the
/// metrics grow without end.
pub const MAX_COUNTED_BUILDS: usize = 100;

/// The counters. Nothing in here is on a poll's way.
#[derive(Debug, Default)]
pub struct Counters {
    reports: [AtomicU64; ReportStatus::ALL.len()],
    uploaded_bytes: AtomicU64,
    nudges: [AtomicU64; 3],
    removed: [AtomicU64; RemovedKind::ALL.len()],
    patch_outcomes: [AtomicU64; PatchOutcome::ALL.len()],
    patch_saved_bytes: AtomicU64,
    patches_made: AtomicU64,
    patch_making_ms: AtomicU64,
    /// In seconds since 1970; 0 for never.
    retention_ran_at: AtomicI64,
    builds: Mutex<BTreeMap<BuildId, BuildCounts>>,
}

/// What is removed after its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedKind {
    /// Reports.
    Reports,
    /// Finished campaigns and their deliveries.
    Campaigns,
    /// Hourly statistics.
    StatHours,
    /// Stories of retired devices; counted are the devices.
    Stories,
    /// Members of health gates that nobody watches any more.
    GateMembers,
    /// Who changed devices' tags.
    TagChanges,
}

impl RemovedKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Reports,
        Self::Campaigns,
        Self::StatHours,
        Self::Stories,
        Self::GateMembers,
        Self::TagChanges,
    ];

    /// Its word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Campaigns => "campaigns",
            Self::StatHours => "stat_hours",
            Self::Stories => "stories",
            Self::GateMembers => "gate_members",
            Self::TagChanges => "tag_changes",
        }
    }
}

/// What became of one build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuildCounts {
    /// The build's version, once a file of it went out.
    pub version_code: Option<VersionCode>,
    /// Files of which every byte went out to a device.
    pub downloads: u64,
    /// Reports of an installation.
    pub installed: u64,
    /// Reports of a failed installation.
    pub failed: u64,
}

impl Counters {
    /// A report was written that was not a repetition.
    pub(crate) fn reported(&self, build: BuildId, status: ReportStatus) {
        // A test holds the order of the variants to that of the list.
        self.reports[status as usize].fetch_add(1, Ordering::Relaxed);
        match status {
            ReportStatus::InstallSuccess => self.of_build(build, |counters| counters.installed += 1),
            ReportStatus::InstallFailed => self.of_build(build, |counters| counters.failed += 1),
            ReportStatus::Downloaded | ReportStatus::VerifyFailed | ReportStatus::Deferred => {}
        }
    }

    /// Every byte of a build's file went out to a device.
    pub(crate) fn downloaded(&self, build: &Build) {
        self.of_build(build.id, |counters| {
            counters.version_code = Some(build.facts.version_code);
            counters.downloads += 1;
        });
    }

    /// Bytes of an upload came in, whatever becomes of it.
    pub(crate) fn uploaded(&self, bytes: usize) {
        self.uploaded_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Nudges came back from FCM: taken, given up, to be tried again.
    pub(crate) fn nudged(&self, sent: u64, failed: u64, retried: u64) {
        for (slot, more) in self.nudges.iter().zip([sent, failed, retried]) {
            slot.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Nudges that FCM took (`sent`), that were given up (`failed`) and that were put off (`retried`).
    pub fn nudges(&self) -> [(&'static str, u64); 3] {
        let [sent, failed, retried] = &self.nudges;
        [("sent", sent), ("failed", failed), ("retried", retried)]
            .map(|(status, count)| (status, count.load(Ordering::Relaxed)))
    }

    /// So much was removed after its time.
    pub(crate) fn removed(&self, kind: RemovedKind, more: u64) {
        self.removed[kind as usize].fetch_add(more, Ordering::Relaxed);
    }

    /// A device's word about a patch was counted.
    pub(crate) fn patched(&self, counted: PatchCounted) {
        self.patch_outcomes[counted.outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.patch_saved_bytes
            .fetch_add(counted.saved_bytes, Ordering::Relaxed);
    }

    /// A patch was made here, whether or not it is worth offering.
    pub(crate) fn made_patch(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.patches_made.fetch_add(1, Ordering::Relaxed);
        self.patch_making_ms.fetch_add(millis, Ordering::Relaxed);
    }

    /// What devices said of patches: once for each attempt of a device.
    pub fn patch_outcomes(&self) -> [(PatchOutcome, u64); PatchOutcome::ALL.len()] {
        PatchOutcome::ALL.map(|outcome| {
            let count = self.patch_outcomes[outcome as usize].load(Ordering::Relaxed);
            (outcome, count)
        })
    }

    /// Bytes that devices did not have to fetch because a patch gave them the file.
    pub fn patch_saved_bytes(&self) -> u64 {
        self.patch_saved_bytes.load(Ordering::Relaxed)
    }

    /// How many patches this server made, and how long that took in all.
    pub fn patches_made(&self) -> (u64, Duration) {
        let millis = self.patch_making_ms.load(Ordering::Relaxed);
        (
            self.patches_made.load(Ordering::Relaxed),
            Duration::from_millis(millis),
        )
    }

    /// A pass of the retention has ended.
    pub(crate) fn retention_ran(&self, now: DateTime<Utc>) {
        self.retention_ran_at.store(now.timestamp(), Ordering::Relaxed);
    }

    /// What was removed after its time, by kind.
    pub fn removals(&self) -> [(&'static str, u64); RemovedKind::ALL.len()] {
        RemovedKind::ALL.map(|kind| (kind.as_str(), self.removed[kind as usize].load(Ordering::Relaxed)))
    }

    /// When this server's last pass of the retention ended, in seconds since 1970; 0 when none did.
    pub fn retention_ran_at(&self) -> i64 {
        self.retention_ran_at.load(Ordering::Relaxed)
    }

    fn of_build(&self, build: BuildId, count: impl FnOnce(&mut BuildCounts)) {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        count(builds.entry(build).or_default());
        if builds.len() > MAX_COUNTED_BUILDS {
            builds.pop_first();
        }
    }

    /// Reports that were no repetitions.
    pub fn reports(&self, status: ReportStatus) -> u64 {
        self.reports[status as usize].load(Ordering::Relaxed)
    }

    /// Bytes that came in with uploads.
    pub fn uploaded_bytes(&self) -> u64 {
        self.uploaded_bytes.load(Ordering::Relaxed)
    }

    /// What became of the builds that something became of, by number.
    pub fn builds(&self) -> BTreeMap<BuildId, BuildCounts> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_counted_as_its_own() {
        let counters = Counters::default();
        for (times, status) in (1..).zip(ReportStatus::ALL) {
            for _ in 0..times {
                counters.reported(BuildId(7), status);
            }
        }
        assert_eq!(
            ReportStatus::ALL.map(|status| counters.reports(status)),
            [1, 2, 3, 4, 5]
        );
        let expected = BuildCounts {
            installed: 3,
            failed: 4,
            ..BuildCounts::default()
        };
        assert_eq!(counters.builds(), BTreeMap::from([(BuildId(7), expected)]));
    }

    #[test]
    fn each_word_about_a_patch_is_counted_as_its_own() {
        let counters = Counters::default();
        for (times, outcome) in (1..).zip(PatchOutcome::ALL) {
            for _ in 0..times {
                counters.patched(PatchCounted {
                    outcome,
                    saved_bytes: 10,
                });
            }
        }
        let counted = counters.patch_outcomes();
        assert_eq!(counted.map(|(_, count)| count), [1, 2, 3, 4, 5, 6]);
        assert_eq!(counters.patch_saved_bytes(), 210);
    }

    #[test]
    fn a_thousand_builds_are_not_a_thousand_series() {
        let counters = Counters::default();
        for build in 0..1000 {
            counters.reported(BuildId(build), ReportStatus::InstallSuccess);
        }
        let builds = counters.builds();
        assert_eq!(builds.len(), MAX_COUNTED_BUILDS);
        assert_eq!(
            builds.first_key_value().map(|(build, _)| *build),
            Some(BuildId(900))
        );
    }
}
