//! Health gates: who looks at them, and what is told of it.
//!
//! The looks are the clerk's, so that one server at a time judges. Nothing is decided here either: what a look finds and
//! what it leads to are rules of the domain, run in the transaction that writes both down.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::gate::GateAction;
use tidegate_domain::{PackageName, RolloutState};
use tidegate_storage::{Actor, GateJudged, GateQuestion, Store};

use crate::clerk::CLERK;
use crate::{Error, Fleet, Snapshots};

/// Looks at gates.
pub struct Gates {
    store: Store,
    snapshots: Arc<Snapshots>,
    fleet: Arc<Fleet>,
    poll_interval: TimeDelta,
}

impl Gates {
    /// Over this database and these snapshots, of a fleet that is asked to poll this often.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, fleet: Arc<Fleet>, poll_interval: Duration) -> Self {
        Self {
            store,
            snapshots,
            fleet,
            poll_interval: TimeDelta::from_std(poll_interval).unwrap_or(TimeDelta::MAX),
        }
    }

    /// The packages with a gate to look at.
    pub(crate) fn packages(&self) -> Vec<PackageName> {
        let catalog = self.snapshots.catalog();
        let gated = catalog.tracks().filter(|track| track.gated().next().is_some());
        gated.map(|track| track.package.clone()).collect()
    }

    /// Looks at a package's gates, and does what the first one asks for. Returns whether that changed something. Before the
    /// fleet was counted nobody knows whether it is a small one, and nothing is done.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub(crate) async fn look(&self, package: &PackageName, actor: Actor) -> Result<bool, Error> {
        let Some(fleet) = self.fleet.devices_of(package) else {
            return Ok(false);
        };
        let question = GateQuestion {
            fleet,
            poll_interval: self.poll_interval,
        };
        let judged = self.store.look_at_gates(package, actor, question).await?;
        if let Some(judged) = &judged {
            tell(package, judged);
        }
        Ok(judged.is_some())
    }
}

fn tell(package: &PackageName, judged: &GateJudged) {
    let (reading, after) = (&judged.reading, &judged.change.after);
    if reading.action == GateAction::Halt {
        // Where another rollout is told of, that is the one that was gone back to.
        let state = match after.rollout_id == Some(judged.rollout) {
            true => after.state,
            false => RolloutState::RolledBack,
        };
        tracing::warn!(
            event = "ota.gate.halt",
            actor = CLERK,
            package_name = %package,
            rollout_id = judged.rollout.0,
            state = %state,
            verdict = reading.verdict.as_str(),
            sentence = judged.sentence,
        );
        return;
    }
    let waits = after.gate.and_then(|gate| gate.waits);
    tracing::info!(
        event = "ota.gate.judge",
        actor = CLERK,
        package_name = %package,
        rollout_id = judged.rollout.0,
        state = %after.state,
        step = after.plan.as_ref().map(|run| run.progress.step + 1),
        waits_for = waits.map(|wait| wait.what.as_str()),
        verdict = reading.verdict.as_str(),
        sentence = judged.sentence,
    );
}
