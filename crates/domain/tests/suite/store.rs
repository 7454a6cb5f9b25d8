//! A model of storage: applies changes as a database would, and checks on the way what must always hold.

use std::cmp::Reverse;
use std::sync::Arc;

use tidegate_domain::{
    Approval, Build, BuildId, By, Catalog, Change, Error, MAX_SERVING, PackageName, Percent, Position,
    Promotion, Release, Rollout, RolloutDraft, RolloutId, RolloutSettings, RolloutSpec, RolloutState, Track,
};

use crate::fleet::{PACKAGE, at, build, percent};

pub(crate) const BY_ADA: By<'static> = By {
    actor: "ada",
    on_behalf_of: None,
    now: chrono::DateTime::<chrono::Utc>::UNIX_EPOCH,
};

/// One package's builds, with ids from 1, and all rollouts that it ever had, with ids from 1.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) builds: Vec<Arc<Build>>,
    pub(crate) rollouts: Vec<Rollout>,
    pub(crate) next_slice_start: Position,
    pub(crate) approval: Approval,
}

impl Store {
    pub(crate) fn with_builds(count: i64) -> Self {
        Self {
            builds: (1..=count).map(|id| Arc::new(build(id))).collect(),
            rollouts: vec![],
            next_slice_start: Position::FIRST,
            approval: Approval::Never,
        }
    }

    pub(crate) fn build(&self, id: i64) -> &Arc<Build> {
        self.builds.iter().find(|build| build.id.0 == id).unwrap()
    }

    fn release(&self, rollout: &Rollout) -> Release {
        Release {
            rollout: rollout.clone(),
            build: Arc::clone(self.build(rollout.spec.build.0)),
        }
    }

    fn rollout(&self, id: RolloutId) -> &Rollout {
        self.rollouts.iter().find(|rollout| rollout.id == id).unwrap()
    }

    /// The track as storage loads it.
    pub(crate) fn track(&self) -> Track {
        let mut serving: Vec<_> = self
            .rollouts
            .iter()
            .filter(|rollout| rollout.spec.state.serves())
            .collect();
        serving.sort_by_key(|rollout| {
            let spec = &rollout.spec;
            (Reverse(spec.priority), !spec.is_current, Reverse(rollout.id))
        });
        let previous = serving
            .iter()
            .find(|rollout| rollout.spec.is_current)
            .and_then(|rollout| rollout.spec.previous);
        Track {
            package: PackageName::parse(PACKAGE).unwrap(),
            next_slice_start: self.next_slice_start,
            approval: self.approval,
            barriers: self
                .builds
                .iter()
                .filter(|build| build.steps.barrier)
                .cloned()
                .collect(),
            serving: serving.into_iter().map(|rollout| self.release(rollout)).collect(),
            predecessor: previous.map(|id| self.release(self.rollout(id))),
            known_signers: self
                .builds
                .iter()
                .map(|build| (build.facts.version_code, build.facts.signers.clone()))
                .collect(),
        }
    }

    /// The catalog as polls read it.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::new([self.track()])
    }

    /// The current rollout, which must be there.
    pub(crate) fn current(&self) -> Rollout {
        self.track().current().unwrap().rollout.clone()
    }

    /// The serving builds with their states, the current one first.
    pub(crate) fn serving(&self) -> Vec<(i64, RolloutState)> {
        let serving = self.track().serving;
        serving
            .iter()
            .map(|release| (release.build.id.0, release.rollout.spec.state))
            .collect()
    }

    /// Applies a change as one transaction would.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.write(&change.updates, &change.insert, change.next_slice_start);
    }

    /// The same of the parts of a change.
    pub(crate) fn write(
        &mut self,
        updates: &[Rollout],
        insert: &[RolloutSpec],
        next_slice_start: Option<Position>,
    ) {
        for update in updates {
            let place = self
                .rollouts
                .iter_mut()
                .find(|rollout| rollout.id == update.id)
                .unwrap();
            let (from, to) = (place.spec.state, update.spec.state);
            assert!(from == to || from.may_become(to), "{from} became {to}");
            assert_ne!(place, update, "an update that changes nothing");
            // What a plan or a gate does by itself changes no terms.
            let is_moved = place.spec.plan != update.spec.plan || place.spec.gate != update.spec.gate;
            let by_itself = place.spec.revision == update.spec.revision && is_moved;
            assert!(
                by_itself || place.spec.revision + 1 == update.spec.revision,
                "each change is a revision"
            );
            *place = update.clone();
        }
        if let Some(start) = next_slice_start {
            self.next_slice_start = start;
        }
        for spec in insert {
            let id = RolloutId(i64::try_from(self.rollouts.len()).unwrap() + 1);
            self.rollouts.push(Rollout {
                id,
                spec: spec.clone(),
            });
        }
        self.check();
    }

    /// Runs a verb on the track and applies what it decides.
    pub(crate) fn run(
        &mut self,
        verb: impl FnOnce(&Track) -> Result<Change, Error>,
    ) -> Result<Change, Error> {
        let change = verb(&self.track())?;
        self.apply(&change);
        Ok(change)
    }

    pub(crate) fn promote(&mut self, id: i64, promotion: &Promotion) -> Result<Change, Error> {
        let build = Arc::clone(self.build(id));
        let attempts = self.attempts(id);
        self.run(|track| track.promote(&build, promotion, attempts, BY_ADA))
    }

    /// Promotes to a share of everybody, which is to succeed.
    pub(crate) fn release_to(&mut self, id: i64, share: i64) -> Change {
        self.promote(id, &to(share)).unwrap()
    }

    /// The same, keeping what serves.
    pub(crate) fn release_beside(&mut self, id: i64, share: i64) -> Change {
        self.promote(id, &keeping(share)).unwrap()
    }

    /// Makes a rollout; one of priority 0 is a promotion.
    pub(crate) fn create(&mut self, id: i64, priority: u32, promotion: Promotion) -> Result<Change, Error> {
        let build = Arc::clone(self.build(id));
        let attempts = self.attempts(id);
        let draft = RolloutDraft {
            name: String::new(),
            priority,
            promotion,
        };
        self.run(|track| track.create(&build, &draft, attempts, BY_ADA))
    }

    pub(crate) fn roll_back(&mut self, force_downgrade: bool) -> Result<Change, Error> {
        self.run(|track| track.roll_back(force_downgrade, BY_ADA))
    }

    fn attempts(&self, build: i64) -> u32 {
        let of_build = self
            .rollouts
            .iter()
            .filter(|rollout| rollout.spec.build == BuildId(build));
        of_build
            .map(|rollout| rollout.spec.retry_generation)
            .max()
            .unwrap_or(0)
    }

    /// What holds of a package at every moment.
    fn check(&self) {
        let track = self.track();
        let current = self
            .rollouts
            .iter()
            .filter(|rollout| rollout.spec.is_current)
            .count();
        let promoted = self.rollouts.iter().any(|rollout| rollout.spec.priority == 0);
        let canceled = self
            .rollouts
            .iter()
            .any(|rollout| rollout.spec.state == RolloutState::Canceled || !rollout.spec.state.has_begun());
        assert!(current <= 1, "{current} rollouts are current");
        assert!(
            current == 1 || !promoted || canceled,
            "once promoted, one rollout is current"
        );
        assert!(
            self.rollouts
                .iter()
                .all(|rollout| !rollout.spec.is_current || rollout.spec.priority == 0)
        );
        assert!(
            track
                .serving
                .iter()
                .all(|release| release.rollout.spec.state.serves())
        );
        assert!(track.serving.len() <= MAX_SERVING);
        for taken in track
            .serving
            .iter()
            .filter_map(|release| release.rollout.spec.takes_back)
        {
            // A rollout above the base is asked before a forced roll-back, and its devices are left alone by it.
            let mut offered = track
                .serving
                .iter()
                .filter(|release| release.rollout.spec.priority == 0)
                .map(|release| release.build.facts.version_code);
            assert!(
                offered.all(|version| version != taken),
                "{taken} is offered and taken back"
            );
        }
        for rollout in &self.rollouts {
            assert_ne!(rollout.spec.settings.percent, Percent::NOBODY);
            assert!(rollout.spec.retry_generation > 0);
            let previous = rollout.spec.previous.map(|id| self.rollout(id));
            assert!(previous.is_none_or(|p| p.spec.build != rollout.spec.build && p.id < rollout.id));
            let complete = rollout.spec.state == RolloutState::Completed;
            assert!(!complete || rollout.spec.settings.percent == Percent::EVERYBODY);
        }
    }
}

/// A plain promotion.
pub(crate) fn to(share: i64) -> Promotion {
    Promotion {
        settings: RolloutSettings::to(percent(share)),
        keep_previous: false,
        retry_failed: false,
        auto_start: false,
        plan: None,
        gate: None,
    }
}

/// A promotion that keeps what serves.
pub(crate) fn keeping(share: i64) -> Promotion {
    Promotion {
        keep_previous: true,
        ..to(share)
    }
}

#[test]
fn a_package_that_released_nothing_has_an_empty_track() {
    let track = Store::with_builds(1).track();
    let expected = Track {
        known_signers: track.known_signers.clone(),
        ..Track::empty(PackageName::parse(PACKAGE).unwrap())
    };
    assert_eq!(track, expected);
    assert!(track.current().is_none());
    assert_eq!(BY_ADA.now, at(0));
}
