//! Patches as messages.

use tidegate_domain::{BuildId, PATCH_FORMAT, PatchOutcome};
use tidegate_proto::v1;
use tidegate_service::{BuildPatches, Patch, PatchOffer, PatchStats};

/// A manifest's patch.
pub(crate) fn offer(offer: PatchOffer) -> v1::PatchOffer {
    v1::PatchOffer {
        format: PATCH_FORMAT.to_owned(),
        url: offer.url,
        size: number(offer.size),
        sha256: offer.sha256.to_string(),
        from_version_code: offer.from_version.get(),
        from_sha256: offer.from_sha256.to_string(),
    }
}

/// The patches to a build.
pub(crate) fn of_build(build: BuildId, of: BuildPatches) -> v1::BuildPatches {
    v1::BuildPatches {
        build_id: build.0,
        patches: of.patches.into_iter().map(patch).collect(),
        rollouts: of.stats.iter().map(rollout).collect(),
    }
}

fn patch(of: Patch) -> v1::BuildPatch {
    v1::BuildPatch {
        base_build_id: of.base.0,
        from_version_code: of.from_version.get(),
        state: of.state.to_string(),
        reason: of.reason,
        devices: number(of.devices),
        size: of.size.map(number),
        sha256: of.sha256.map(|sha256| sha256.to_string()),
        wanted_at: Some(of.wanted_at.into()),
        made_at: of.made_at.map(Into::into),
        making_seconds: of.took.map(|took| took.as_secs_f64()),
        attempts: of.attempts.into(),
    }
}

fn rollout(of: &PatchStats) -> v1::RolloutPatches {
    let count = |outcome| number(of.count(outcome));
    v1::RolloutPatches {
        rollout_id: of.rollout.0,
        applied: count(PatchOutcome::Applied),
        base_differs: count(PatchOutcome::BaseDiffers),
        download_failed: count(PatchOutcome::DownloadFailed),
        damaged: count(PatchOutcome::Damaged),
        no_space: count(PatchOutcome::NoSpace),
        apply_failed: count(PatchOutcome::ApplyFailed),
        full: number(of.full),
        saved_bytes: number(of.saved_bytes),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
