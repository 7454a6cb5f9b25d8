//! The patches to a build, on its page: how far they reach, and each of them.

use tidegate_domain::{Build, PatchState};
use tidegate_service::{Patch, PatchCoverage};

use crate::AppState;
use crate::error::Refusal;
use crate::show;

/// The patches to a build.
pub(super) struct Patches {
    /// "3 of 4 made, …"
    pub line: String,
    /// Those that most devices could take come first.
    pub rows: Vec<Row>,
}

/// One patch.
pub(super) struct Row {
    /// The build that it leads from, and its version code.
    pub base: i64,
    pub from: i64,
    pub devices: String,
    pub state: &'static str,
    /// Why it could not be made.
    pub reason: String,
    /// Empty before it was made.
    pub size: String,
    pub took: String,
}

/// `None` for a build that nobody wants patches to.
pub(super) async fn of(app: &AppState, build: &Build) -> Result<Option<Patches>, Refusal> {
    let facts = &build.facts;
    let coverage = app.patches.coverage(build.id, &facts.package, facts.version_code);
    if coverage.all == 0 {
        return Ok(None);
    }
    let all = app.patches.of_build(build.id).await?;
    let saved = all.stats.iter().map(|stats| stats.saved_bytes).sum();
    Ok(Some(Patches {
        line: line(coverage, saved),
        rows: all.patches.into_iter().map(row).collect(),
    }))
}

fn line(coverage: PatchCoverage, saved: u64) -> String {
    let mut line = format!("{} of {} made", coverage.made, coverage.all);
    if coverage.reachable > 0 {
        let share = show::part(coverage.covered, coverage.reachable);
        line.push_str(&format!(", for {share} of the devices on older versions"));
    }
    if saved > 0 {
        line.push_str(&format!(", {} saved", show::bytes(saved)));
    }
    line
}

fn row(patch: Patch) -> Row {
    let size = |size| {
        format!(
            "{}, {} of the file",
            show::bytes(size),
            show::part(size, patch.full_size)
        )
    };
    Row {
        base: patch.base.0,
        from: patch.from_version.get(),
        devices: show::count(patch.devices),
        state: match patch.state {
            PatchState::Wanted => "to be made",
            PatchState::Making => "being made",
            PatchState::Made => "offered",
            PatchState::TooLarge => "too large, not offered",
            PatchState::Failed => "not made",
        },
        reason: patch.reason.unwrap_or_default(),
        size: patch.size.map(size).unwrap_or_default(),
        took: patch
            .took
            .map_or_else(String::new, |took| format!("{:.1} s", took.as_secs_f64())),
    }
}
