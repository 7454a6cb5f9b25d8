//! What became of the files that were offered, by their SHA-256: failures, rejections, deferrals.
//!
//! Not by build id: a server that was restored from a backup gives build ids out again, to other files.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::{DeferReason, DeviceBuild, Report, Sha256};

use crate::protocol::Manifest;

/// How many files are remembered that failed or were given up; the one whose last failure is oldest is forgotten
/// first. The server remembers them too.
const MAX_FILES: usize = 32;

/// What the agent remembers of the files that it was offered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FileHistory {
    /// Only files that failed, by the age of their last report.
    failed: Vec<FailedFile>,
    /// What was reported of the update that was deferred last.
    deferred: Option<Deferrals>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FailedFile {
    sha256: Sha256,
    device_build: DeviceBuild,
    /// When an operator let the device try it again, as far as that was heeded.
    #[serde(default)]
    retry_granted_at: Option<DateTime<Utc>>,
}

impl FailedFile {
    fn new(sha256: Sha256) -> Self {
        Self {
            sha256,
            device_build: DeviceBuild::default(),
            retry_granted_at: None,
        }
    }
}

/// The reasons that the server was told for deferring an update. Each is told once, however often they alternate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deferrals {
    sha256: Sha256,
    attempt: u32,
    /// Bounded by the number of reasons that exist.
    reasons: Vec<DeferReason>,
}

impl FileHistory {
    /// Draws the conclusions that the server will draw from this report about a file.
    pub(crate) fn take(&mut self, sha256: Sha256, report: &Report, now: DateTime<Utc>) {
        let known = self.failed.iter().position(|file| file.sha256 == sha256);
        let mut file = known.map_or_else(|| FailedFile::new(sha256), |index| self.failed.remove(index));
        file.device_build.take(report, now);
        if has_failed(&file.device_build) {
            if self.failed.len() == MAX_FILES {
                self.failed.remove(0);
            }
            self.failed.push(file);
        }
    }

    /// Forgets what a file's failures meant when an operator lets the device try it again: once for each time that one
    /// does, however often the offer is repeated.
    pub(crate) fn heed_grant(&mut self, job: &Manifest) {
        let is_this = |file: &&mut FailedFile| file.sha256 == job.sha256;
        if let Some(file) = self.failed.iter_mut().find(is_this)
            && job.retry_granted_at > file.retry_granted_at
        {
            file.retry_granted_at = job.retry_granted_at;
            file.device_build.forget_failures();
        }
    }

    /// Whether the agent gave this file up.
    pub(crate) fn has_given_up(&self, job: &Manifest, now: DateTime<Utc>) -> bool {
        self.failed
            .iter()
            .filter(|file| file.sha256 == job.sha256)
            .filter_map(|file| file.device_build.rejection)
            .any(|rejection| rejection.applies_to(job.attempt, now))
    }

    /// Notes that an update is deferred, and returns whether the server has yet to be told this reason.
    pub(crate) fn defer(&mut self, job: &Manifest, reason: DeferReason) -> bool {
        let is_of_this =
            |deferrals: &Deferrals| deferrals.sha256 == job.sha256 && deferrals.attempt == job.attempt;
        let mut deferrals = self.deferred.take().filter(is_of_this).unwrap_or(Deferrals {
            sha256: job.sha256,
            attempt: job.attempt,
            reasons: vec![],
        });
        let is_new = !deferrals.reasons.contains(&reason);
        if is_new {
            deferrals.reasons.push(reason);
        }
        self.deferred = Some(deferrals);
        is_new
    }

    /// Gives every file another try, as the server does for a device that enrolled again.
    pub(crate) fn forget_failures(&mut self) {
        for file in &mut self.failed {
            file.device_build.forget_failures();
        }
    }
}

/// Whether a later report could mean something else than it would for a file without any history.
fn has_failed(device_build: &DeviceBuild) -> bool {
    device_build.failures > 0 || device_build.failure_generation > 0 || device_build.rejection.is_some()
}
