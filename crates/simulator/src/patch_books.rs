//! The books of patches: how many bytes came as patches and as whole files, and what devices say became of the patches that
//! they were offered, beside what the server counted.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

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
    /// The last that was offered for each build.
    offered: BTreeMap<i64, OfferedPatch>,
    /// What was said first of each rollout, build and attempt.
    said: BTreeMap<(i64, i64, u32), String>,
}

impl PatchRecord {
    pub(crate) fn offered(&mut self, build: i64, patch: OfferedPatch) {
        self.offered.insert(build, patch);
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

    /// How many bytes the device saved with a build; `None` if it took the whole file.
    fn saved(&self, build: i64) -> Option<u64> {
        let of_build = self.said.iter().filter(|((_, of, _), _)| *of == build);
        let is_patched = of_build.into_iter().any(|(_, outcome)| outcome == APPLIED);
        let patch = self.offered.get(&build).filter(|_| is_patched)?;
        Some(patch.saved())
    }
}

/// What became of the patches to one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PatchCounts {
    /// By outcome, each rollout and attempt of a device once.
    pub outcomes: BTreeMap<String, u64>,
    /// Devices that have the file, and not from a patch.
    pub full: u64,
    /// By how much the patches that were applied are smaller than the file.
    pub saved_bytes: u64,
}

impl PatchCounts {
    /// Of these devices: each one's record, and whether it has the build's file.
    pub(crate) fn of(build: i64, devices: impl Iterator<Item = (PatchRecord, bool)>) -> Self {
        let mut counts = Self::default();
        for (record, has_file) in devices {
            for ((_, of, _), outcome) in &record.said {
                if *of == build {
                    *counts.outcomes.entry(outcome.clone()).or_default() += 1;
                }
            }
            match record.saved(build) {
                Some(saved) => counts.saved_bytes += saved,
                None => counts.full += u64::from(has_file),
            }
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

/// What a build's statistics tell under `patches`; `None` for a server that tells nothing. Only this function knows how the server
/// names it.
pub(crate) fn told_by_server(patches: &serde_json::Value) -> Option<PatchCounts> {
    serde_json::from_value(patches.clone()).ok()
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
