//! What became of patches, so that none is tried twice after it failed, and what is known of the installed file.

use serde::{Deserialize, Serialize};
use tidegate_domain::{PatchOutcome, Sha256, VersionCode};

use crate::protocol::Manifest;

/// How many outcomes are remembered; the oldest is forgotten first.
const MAX_OUTCOMES: usize = 32;

/// What an agent remembers about patches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PatchHistory {
    outcomes: Vec<Known>,
    /// The file that is installed, as it was read last.
    pub base: Option<InstalledBase>,
    /// Whether the server offered a patch, so that it understands what reports say about one.
    pub server_knows: bool,
}

/// One outcome of a build and attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    sha256: Sha256,
    attempt: u32,
    outcome: PatchOutcome,
}

/// What is known of an installed file. It is read once for each version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstalledBase {
    pub version_code: VersionCode,
    pub size: u64,
    pub sha256: Sha256,
    /// How many bytes applying a patch to it may inflate.
    pub inflated: u64,
}

impl PatchHistory {
    /// What became of the patch to this build, in this attempt.
    pub(crate) fn outcome(&self, job: &Manifest) -> Option<PatchOutcome> {
        let is_of_this = |known: &&Known| known.sha256 == job.sha256 && known.attempt == job.attempt;
        self.outcomes.iter().find(is_of_this).map(|known| known.outcome)
    }

    /// Whether the whole file is to be taken since a patch to it failed.
    pub(crate) fn has_failed(&self, job: &Manifest) -> bool {
        self.outcome(job)
            .is_some_and(|outcome| outcome != PatchOutcome::Applied)
    }

    pub(crate) fn note(&mut self, job: &Manifest, outcome: PatchOutcome) {
        let (sha256, attempt) = (job.sha256, job.attempt);
        self.outcomes
            .retain(|known| (known.sha256, known.attempt) != (sha256, attempt));
        if self.outcomes.len() >= MAX_OUTCOMES {
            self.outcomes.remove(0);
        }
        self.outcomes.push(Known {
            sha256,
            attempt,
            outcome,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_of_one_file_and_attempt_and_the_oldest_is_forgotten() {
        let mut history = PatchHistory::default();
        history.note(&Manifest::of_file(0, 1), PatchOutcome::Damaged);
        history.note(&Manifest::of_file(0, 2), PatchOutcome::Applied);
        assert!(history.has_failed(&Manifest::of_file(0, 1)));
        assert!(
            !history.has_failed(&Manifest::of_file(0, 2)),
            "one that went well may be repeated"
        );
        assert_eq!(history.outcome(&Manifest::of_file(0, 3)), None);
        history.note(&Manifest::of_file(0, 2), PatchOutcome::ApplyFailed);
        assert!(
            history.has_failed(&Manifest::of_file(0, 2)),
            "what came last counts"
        );
        for file in 1..100 {
            history.note(&Manifest::of_file(file, 1), PatchOutcome::NoSpace);
        }
        assert_eq!(history.outcomes.len(), MAX_OUTCOMES);
        assert_eq!(history.outcome(&Manifest::of_file(0, 1)), None);
        assert!(history.has_failed(&Manifest::of_file(99, 1)));
    }
}
