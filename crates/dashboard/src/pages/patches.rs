//! How far a build's patches reach, in a line on its page.

use tidegate_domain::Build;

use crate::AppState;
use crate::error::Refusal;
use crate::show;

/// "3 of 4 made, …"; `None` for a build that nobody wants patches to.
pub(super) async fn line(app: &AppState, build: &Build) -> Result<Option<String>, Refusal> {
    let facts = &build.facts;
    let coverage = app.patches.coverage(build.id, &facts.package, facts.version_code);
    if coverage.all == 0 {
        return Ok(None);
    }
    let mut line = format!("{} of {} made", coverage.made, coverage.all);
    if coverage.reachable > 0 {
        let share = show::part(coverage.covered, coverage.reachable);
        line.push_str(&format!(", for {share} of the devices on older versions"));
    }
    let saved = app.patches.saved_bytes(build.id).await?;
    if saved > 0 {
        line.push_str(&format!(", {} saved", show::bytes(saved)));
    }
    Ok(Some(line))
}
