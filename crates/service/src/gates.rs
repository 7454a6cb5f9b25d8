//! Health gates: who looks at them, and what is told of it.
//!
//! The looks are the clerk's, so that one server at a time judges. Nothing is decided here either: what a look finds and
//! what it leads to are rules of the domain, run in the transaction that writes both down.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::GateAction;
use tidegate_domain::{PackageName, RolloutId, RolloutState, Track};
use tidegate_storage::{Actor, GateJudged, GateQuestion, Store};

use crate::clerk::CLERK;
use crate::{Error, Fleet, Snapshots};

/// How often gates are looked at where nothing was counted since the last look, which found nothing new, and nobody waits for
/// what they say. A build that is everybody's keeps its gate for as long as it serves, and each look keeps other writers
/// waiting.
const QUIET_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Looks at gates.
pub struct Gates {
    store: Store,
    snapshots: Arc<Snapshots>,
    fleet: Arc<Fleet>,
    poll_interval: TimeDelta,
    /// When the last look was that found nothing new.
    quiet: HashMap<PackageName, DateTime<Utc>>,
    /// What was counted when they were asked for last.
    marks: HashMap<PackageName, Vec<i64>>,
}

impl Gates {
    /// Over this database and these snapshots, of a fleet that is asked to poll this often.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, fleet: Arc<Fleet>, poll_interval: Duration) -> Self {
        Self {
            store,
            snapshots,
            fleet,
            poll_interval: TimeDelta::from_std(poll_interval).unwrap_or(TimeDelta::MAX),
            quiet: HashMap::new(),
            marks: HashMap::new(),
        }
    }

    /// The packages with a gate that is to be looked at now.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub(crate) async fn packages(&mut self, now: DateTime<Utc>) -> Result<Vec<PackageName>, Error> {
        let catalog = self.snapshots.catalog();
        let gated = catalog.tracks().filter(|track| track.gated().next().is_some());
        let gated: Vec<&Track> = gated.collect();
        let names: HashSet<&PackageName> = gated.iter().map(|track| &track.package).collect();
        self.quiet.retain(|package, _| names.contains(package));
        self.marks.retain(|package, _| names.contains(package));
        let mut due = Vec::new();
        for track in gated {
            let last = self.quiet.get(&track.package);
            let rests = !is_awaited(track) && last.is_some_and(|last| (now - last).abs() < QUIET_EVERY);
            if !rests || self.has_counted(track).await? {
                due.push(track.package.clone());
            }
        }
        Ok(due)
    }

    /// Whether something was counted of a package's gated rollouts since this was asked last, or others are gated by now.
    async fn has_counted(&mut self, track: &Track) -> Result<bool, Error> {
        let gated: Vec<RolloutId> = track.gated().map(|(release, _)| release.rollout.id).collect();
        let mut mark = self.store.gate_mark(&gated).await?;
        mark.extend(gated.iter().map(|id| id.0));
        let before = self.marks.insert(track.package.clone(), mark);
        Ok(before.as_ref() != self.marks.get(&track.package))
    }

    /// Looks at a package's gates, and does what the first one asks for. Returns whether that changed something. Before the
    /// fleet was counted nobody knows whether it is a small one, and nothing is done.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub(crate) async fn look(&mut self, package: &PackageName, actor: Actor) -> Result<bool, Error> {
        let Some(fleet) = self.fleet.devices_of(package) else {
            return Ok(false);
        };
        let question = GateQuestion {
            fleet,
            poll_interval: self.poll_interval,
        };
        let now = actor.now;
        let looked = self.store.look_at_gates(package, actor, question).await?;
        match looked.is_news {
            true => self.quiet.remove(package),
            false => self.quiet.insert(package.clone(), now),
        };
        if let Some(judged) = &looked.judged {
            tell(package, judged);
        }
        Ok(looked.judged.is_some())
    }
}

/// Whether a step of a plan may wait for a gate's word, or somebody to see what a halted rollout has come to.
fn is_awaited(track: &Track) -> bool {
    let mut gated = track.gated().map(|(release, _)| &release.rollout.spec);
    gated.any(|spec| match spec.state {
        RolloutState::Halted => true,
        RolloutState::Active => spec.plan.is_some(),
        _ => false,
    })
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
