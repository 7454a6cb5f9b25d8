//! What became of a build that is offered no more, and what who promotes it again should know.

use tidegate_domain::{Rollout, RolloutState};
use tidegate_service::{BuildView, CLERK, Error, Page as PageOf, RolloutEvent};

use super::cards;
use crate::AppState;
use crate::show;

/// How many of a rollout's last events are looked through for its end.
const EVENTS_READ: u32 = 20;

/// A build that was taken back.
pub(crate) struct TakenBack {
    /// By whom and when, and why.
    pub says: String,
}

impl TakenBack {
    /// None for a build that is offered, or whose last rollout ended otherwise.
    pub(crate) async fn of(app: &AppState, view: &BuildView) -> Result<Option<Self>, Error> {
        let Some(rollout) = taken_back(view) else {
            return Ok(None);
        };
        let page = PageOf::new(Some(EVENTS_READ), None)?;
        let events = app.rollouts.events(rollout.id, page).await?.items;
        let end = events
            .iter()
            .find(|event| event.state == RolloutState::RolledBack);
        Ok(Some(Self {
            says: end.map_or_else(|| "Rolled back.".to_owned(), says),
        }))
    }
}

/// Its last rollout, if that was rolled back and none has offered it since.
fn taken_back(view: &BuildView) -> Option<&Rollout> {
    if view.rollout.is_some() {
        return None;
    }
    let last = &view.last.as_ref()?.rollout;
    (last.spec.state == RolloutState::RolledBack).then_some(last)
}

/// Whether who promotes it has to type its version.
pub(crate) fn is_taken_back(view: &BuildView) -> bool {
    taken_back(view).is_some()
}

fn says(event: &RolloutEvent) -> String {
    let by = match event.actor.as_str() {
        CLERK => "its gate",
        actor => actor,
    };
    let at = show::utc(event.at);
    match &event.remark {
        Some(why) => format!("Rolled back by {by} at {at}: {why}"),
        None => format!("Rolled back by {by} at {at}. No reason was given."),
    }
}

/// How a build stands that no rollout offers.
pub(crate) fn state(view: &BuildView) -> &'static str {
    match (&view.rollout, &view.last) {
        (Some(rollout), _) => rollout.spec.state.as_str(),
        (None, Some(last)) => last.rollout.spec.state.as_str(),
        (None, None) => "never released",
    }
}

/// What is to be known where a build is older than the current one; none where it is not.
pub(crate) async fn older(app: &AppState, view: &BuildView) -> Result<Option<String>, Error> {
    let track = app.rollouts.track(&view.build.facts.package).await?;
    let newer = track
        .current()
        .filter(|current| current.build.facts.version_code > view.build.facts.version_code);
    Ok(newer.map(|current| {
        let (own, current) = (cards::name(&view.build), cards::name(&current.build));
        format!(
            "{own} is older than {current}, which is current. To promote it is no roll-back: devices that run {current} \
             keep it, since they refuse a lower version. To take {current} back, roll it back on its own page."
        )
    }))
}

/// What an operator should know before releasing a build, the gravest first.
pub(crate) fn warnings(build: &tidegate_domain::Build) -> Vec<String> {
    let facts = &build.facts;
    let mut warnings: Vec<String> = facts.warnings.clone();
    if facts.debuggable {
        warnings.push("Debuggable: anybody with the device in hand can read the app’s data.".to_owned());
    }
    if facts.version_code.get() == 0 {
        warnings.push(
            "Version code 0: a device without the app tells the same number, and is taken for one that runs it."
                .to_owned(),
        );
    }
    let found = facts.installability.iter().flat_map(|found| &found.findings);
    warnings.extend(
        found
            .filter(|finding| finding.blocks)
            .map(|finding| format!("API level {}, does not install: {finding}", finding.levels)),
    );
    warnings
}
