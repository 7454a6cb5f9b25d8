//! A model of storage: applies changes as a database would, and checks on the way what must always hold.

use std::sync::Arc;

use tidegate_domain::{
    Build, BuildId, By, Catalog, Change, Error, MAX_SERVING, PackageName, Percent, Promotion, Release,
    Rollout, RolloutId, RolloutSettings, RolloutState, Track,
};

use crate::fleet::{PACKAGE, at, build, percent};

pub(crate) const BY_ADA: By<'static> = By {
    actor: "ada",
    now: chrono::DateTime::<chrono::Utc>::UNIX_EPOCH,
};

/// One package's builds, with ids from 1, and all rollouts that it ever had, with ids from 1.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) builds: Vec<Arc<Build>>,
    pub(crate) rollouts: Vec<Rollout>,
}

impl Store {
    pub(crate) fn with_builds(count: i64) -> Self {
        Self {
            builds: (1..=count).map(|id| Arc::new(build(id))).collect(),
            rollouts: vec![],
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
        serving.sort_by_key(|rollout| (!rollout.spec.is_current, -rollout.id.0));
        let previous = serving
            .first()
            .filter(|rollout| rollout.spec.is_current)
            .and_then(|rollout| rollout.spec.previous);
        Track {
            package: PackageName::parse(PACKAGE).unwrap(),
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
        for update in &change.updates {
            let place = self
                .rollouts
                .iter_mut()
                .find(|rollout| rollout.id == update.id)
                .unwrap();
            let (from, to) = (place.spec.state, update.spec.state);
            assert!(from == to || from.may_become(to), "{from} became {to}");
            assert_ne!(place, update, "an update that changes nothing");
            *place = update.clone();
        }
        if let Some(spec) = &change.insert {
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
        assert_eq!(
            current,
            usize::from(!self.rollouts.is_empty()),
            "once released, one rollout is current"
        );
        assert!(
            track
                .serving
                .first()
                .is_none_or(|first| first.rollout.spec.is_current)
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
            let mut offered = track
                .serving
                .iter()
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
