//! The books of patches: how many bytes came as patches and as whole files, and what devices say became of the patches that
//! they were offered, beside what the server counted.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What leads to a whole file: the one outcome that is no failure.
const APPLIED: &str = "applied";

/// How many bytes of files came to devices, cut and damaged ones too.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    patches: AtomicU64,
    files: AtomicU64,
}

impl Traffic {
    pub(crate) fn add(&self, is_patch: bool, bytes: u64) {
        let sum = if is_patch { &self.patches } else { &self.files };
        sum.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A patch that a manifest named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfferedPatch {
    path: String,
    size: u64,
    file_size: u64,
}

impl OfferedPatch {
    pub(crate) fn new(url: &str, size: u64, file_size: u64) -> Self {
        let path = url.parse::<http::Uri>().map(|url| url.path().to_owned());
        Self {
            path: path.unwrap_or_default(),
            size,
            file_size,
        }
    }

    /// How much less comes than the whole file.
    fn saved(&self) -> u64 {
        self.file_size.saturating_sub(self.size)
    }
}

/// What is recorded of the patches of one device.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatchRecord {
    /// The last that each rollout offered for each build.
    offered: BTreeMap<(i64, i64), OfferedPatch>,
    /// What was said first of each rollout, build and attempt.
    said: BTreeMap<(i64, i64, u32), String>,
}

impl PatchRecord {
    pub(crate) fn offered(&mut self, rollout: i64, build: i64, patch: OfferedPatch) {
        self.offered.insert((rollout, build), patch);
    }

    /// Whether a patch that was offered is at this path.
    pub(crate) fn is_patch(&self, path: &str) -> bool {
        self.offered.values().any(|patch| patch.path == path)
    }

    /// A report says what became of a patch. What is said later of the same attempt changes nothing.
    pub(crate) fn said(&mut self, rollout: i64, build: i64, attempt: u32, outcome: &str) {
        let said = self.said.entry((rollout, build, attempt));
        said.or_insert_with(|| outcome.to_owned());
    }
}

/// What became of the patches to one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PatchCounts {
    /// By outcome, each rollout and attempt of a device once.
    pub outcomes: BTreeMap<String, u64>,
    /// Devices that have the file, and not from a patch. Of rollouts alone about whose patches something was said.
    pub full: u64,
    /// By how much the patches that were applied are smaller than the file.
    pub saved_bytes: u64,
}

impl PatchCounts {
    /// Of these devices: each one's record, and the rollouts from which it has the build's file.
    pub(crate) fn of(build: i64, devices: impl Iterator<Item = (PatchRecord, Vec<i64>)>) -> Self {
        let mut counts = Self::default();
        let (mut downloads, mut applied) = (BTreeMap::<i64, u64>::new(), BTreeMap::<i64, u64>::new());
        for (record, downloaded_from) in devices {
            for rollout in downloaded_from {
                *downloads.entry(rollout).or_default() += 1;
            }
            for ((rollout, of, _), outcome) in record.said.iter().filter(|((_, of, _), _)| *of == build) {
                *counts.outcomes.entry(outcome.clone()).or_default() += 1;
                let is_applied = outcome == APPLIED;
                *applied.entry(*rollout).or_default() += u64::from(is_applied);
                let patch = record.offered.get(&(*rollout, *of)).filter(|_| is_applied);
                counts.saved_bytes += patch.map_or(0, OfferedPatch::saved);
            }
        }
        for (rollout, applied) in applied {
            let downloads = downloads.get(&rollout).copied().unwrap_or_default();
            counts.full += downloads.saturating_sub(applied);
        }
        counts
    }

    /// What was counted after this reading.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (outcome, count) in &mut self.outcomes {
            *count = count.saturating_sub(before.outcomes.get(outcome).copied().unwrap_or_default());
        }
        self.full = self.full.saturating_sub(before.full);
        self.saved_bytes = self.saved_bytes.saturating_sub(before.saved_bytes);
        self
    }

    /// In which the server's counts are others than the devices', in words. This is the whole comparison.
    pub fn disagreement(&self, server: &Self) -> Option<String> {
        let known = |counts: &Self| -> BTreeMap<String, u64> {
            let outcomes = counts.outcomes.iter().filter(|(_, count)| **count > 0);
            outcomes.map(|(name, count)| (name.clone(), *count)).collect()
        };
        let is_equal = known(self) == known(server)
            && (self.full, self.saved_bytes) == (server.full, server.saved_bytes);
        (!is_equal).then(|| format!("the devices say {self:?}, the server {server:?}"))
    }
}

/// What the server tells of a build's patches, all its rollouts together; `None` for a server that tells nothing. Only this
/// function knows how the server names it.
pub(crate) fn told_by_server(patches: &Value) -> Option<PatchCounts> {
    #[derive(Deserialize)]
    struct Rollout {
        #[serde(default)]
        full: u64,
        #[serde(default)]
        saved_bytes: u64,
        #[serde(flatten)]
        others: BTreeMap<String, Value>,
    }
    let rollouts = patches.get("rollouts")?;
    let rollouts: Vec<Rollout> = serde_json::from_value(rollouts.clone()).ok()?;
    let mut counts = PatchCounts::default();
    for rollout in rollouts {
        counts.full += rollout.full;
        counts.saved_bytes += rollout.saved_bytes;
        let outcomes = rollout
            .others
            .into_iter()
            .filter(|(name, _)| name != "rollout_id");
        for (outcome, count) in outcomes.filter_map(|(name, count)| Some((name, count.as_u64()?))) {
            *counts.outcomes.entry(outcome).or_default() += count;
        }
    }
    Some(counts)
}

/// What came as patches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PatchBooks {
    /// How many bytes of patches came to devices.
    pub patch_bytes: u64,
    /// How many bytes of whole files did.
    pub file_bytes: u64,
    /// What became of the patches to the released build.
    pub devices: PatchCounts,
    /// What the server counted; `None` for a server that tells nothing of patches.
    pub server: Option<PatchCounts>,
}

impl PatchBooks {
    pub(crate) fn new(traffic: &Traffic, devices: PatchCounts, server: Option<PatchCounts>) -> Self {
        Self {
            patch_bytes: traffic.patches.load(Ordering::Relaxed),
            file_bytes: traffic.files.load(Ordering::Relaxed),
            devices,
            server,
        }
    }

    /// In which the server disagrees, if it tells of patches at all.
    pub fn disagreement(&self) -> Option<String> {
        self.devices.disagreement(self.server.as_ref()?)
    }

    /// Whether the server counted what the devices say.
    pub fn hold(&self) -> bool {
        self.disagreement().is_none()
    }
}
