//! A track after a change, as storage would load it: for those who want to know what a change would do.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Track;
use super::stepping::run_on;
use crate::{Build, Change, PlanRun, Release, Rollout, RolloutId};

impl Track {
    /// The track after this change, which adds at most one rollout: of `build`, under `id`.
    pub(crate) fn after(&self, change: &Change, build: &Arc<Build>, id: RolloutId) -> Self {
        let mut after = self.clone();
        let known = self.serving.iter().chain(&self.predecessor);
        let known: Vec<&Release> = known.collect();
        for rollout in &change.updates {
            match after
                .serving
                .iter_mut()
                .find(|release| release.rollout.id == rollout.id)
            {
                Some(release) => release.rollout = rollout.clone(),
                None => after.serving.extend(offered_again(&known, rollout)),
            }
        }
        after.serving.extend(change.insert.iter().map(|spec| Release {
            rollout: Rollout {
                id,
                spec: spec.clone(),
            },
            build: Arc::clone(build),
        }));
        after
            .serving
            .retain(|release| release.rollout.spec.state.serves());
        after.serving.sort_by_key(|release| {
            let spec = &release.rollout.spec;
            (
                Reverse(spec.priority),
                !spec.is_current,
                Reverse(release.rollout.id.0),
            )
        });
        let previous = after.current().and_then(|current| current.rollout.spec.previous);
        let found = known.iter().find(|release| Some(release.rollout.id) == previous);
        after.predecessor = found.map(|release| (*release).clone());
        after.next_slice_start = change.next_slice_start.unwrap_or(self.next_slice_start);
        after
    }

    /// The same with this rollout begun, by the transition that lets it begin, should it wait to be approved or for its
    /// time.
    pub(crate) fn with_begun(&self, id: RolloutId, now: DateTime<Utc>) -> Self {
        let waiting =
            |release: &&Release| release.rollout.id == id && !release.rollout.spec.state.has_begun();
        let Some(release) = self.serving.iter().find(waiting) else {
            return self.clone();
        };
        let change = self.begin("ota.rollout.step", release, release.rollout.clone(), now);
        self.after(&change, &release.build, id)
    }

    /// The same with this rollout's plan at this progress.
    pub(crate) fn with_run(&self, id: RolloutId, run: &PlanRun) -> Self {
        let mut track = self.clone();
        let own = track.serving.iter_mut().find(|release| release.rollout.id == id);
        if let Some(release) = own {
            run_on(&mut release.rollout.spec, run.clone());
        }
        track
    }
}

fn offered_again(known: &[&Release], rollout: &Rollout) -> Option<Release> {
    let known = known.iter().find(|release| release.rollout.id == rollout.id)?;
    Some(Release {
        rollout: rollout.clone(),
        build: Arc::clone(&known.build),
    })
}
