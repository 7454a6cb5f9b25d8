//! Taking a build back.

use std::sync::Arc;

use tidegate_domain::{
    BuildId, By, Error, Promotion, Resume, RolloutSettings, RolloutState, SignerFingerprint, Signers,
};

use crate::fleet::{at, percent, version};
use crate::store::{BY_ADA, Store, keeping, to};
use RolloutState::{Active, Halted, Paused, RolledBack, Superseded};

#[test]
fn the_bad_build_is_offered_to_nobody_and_its_predecessor_again() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 10);
    let change = store.roll_back(false).unwrap();
    assert_eq!(change.action, "ota.rollback");
    assert_eq!(change.before.unwrap().build_id, BuildId(2));
    assert_eq!(
        (change.after.build_id, change.after.settings.percent),
        (BuildId(1), percent(100))
    );
    assert_eq!(store.serving(), [(1, Active)]);
    assert_eq!(store.rollouts[1].spec.state, RolledBack);
    assert_eq!(
        store.rollouts[0].spec.state, Superseded,
        "history is not rewritten"
    );
    assert_eq!(store.current().spec.rolled_back_from, Some(BuildId(2)));
}

#[test]
fn the_predecessor_gets_back_the_settings_that_it_had() {
    let mut store = Store::with_builds(2);
    let settings = RolloutSettings {
        salt: Some("spring".to_owned()),
        wifi_only: true,
        must_install: true,
        ..RolloutSettings::to(percent(25))
    };
    let careful = Promotion {
        settings: settings.clone(),
        ..to(25)
    };
    store.promote(1, &careful).unwrap();
    store
        .run(|track| track.adjust(BuildId(1), percent(40), BY_ADA))
        .unwrap();
    store.release_to(2, 100);
    store.roll_back(false).unwrap();
    let expected = RolloutSettings {
        percent: percent(40),
        ..settings
    };
    assert_eq!(store.current().spec.settings, expected);
}

#[test]
fn the_restored_rollout_tells_who_rolled_back_and_when() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 100);
    let by_eve = By {
        actor: "eve",
        on_behalf_of: None,
        now: at(77),
    };
    store.run(|track| track.roll_back(false, by_eve)).unwrap();
    let spec = store.current().spec;
    assert_eq!((spec.created_by.as_str(), spec.created_at), ("eve", at(77)));
}

#[test]
fn a_second_rollback_goes_further_back_and_a_third_finds_nothing() {
    let mut store = Store::with_builds(3);
    for id in 1..=3 {
        store.release_to(id, 100);
    }
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(2, Active)]);
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(1, Active)]);
    let refused = store.roll_back(false).unwrap_err();
    assert!(matches!(
        refused,
        Error::NoPredecessor {
            build: BuildId(1),
            ..
        }
    ));
}

#[test]
fn the_first_build_has_nothing_to_go_back_to() {
    let mut store = Store::with_builds(1);
    let refused = store.roll_back(false).unwrap_err();
    assert_eq!(refused.code(), "no_current_build");
    store.release_to(1, 100);
    let refused = store.roll_back(true).unwrap_err();
    assert_eq!(refused.code(), "no_predecessor");
    assert!(refused.to_string().contains("pause"), "{refused}");
    assert_eq!(store.serving(), [(1, Active)], "nothing was changed");
}

#[test]
fn a_release_after_a_rollback_goes_back_to_what_the_rollback_restored() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_to(2, 10);
    store.roll_back(false).unwrap();
    store.release_to(3, 10);
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(1, Active)], "build 2 is not offered again");
}

#[test]
fn a_predecessor_that_still_serves_does_so_once_and_is_current_again() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_beside(2, 50);
    store.release_beside(3, 10);
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(2, Active), (1, Active)]);
    assert_eq!(store.current().spec.settings.percent, percent(50));
}

#[test]
fn a_predecessor_that_serves_and_is_stopped_stays_stopped() {
    for (stop, state) in [(Paused, Paused), (Halted, Halted)] {
        let mut store = Store::with_builds(2);
        store.release_to(1, 100);
        store.release_beside(2, 10);
        store
            .run(|track| {
                if stop == Paused {
                    track.pause(BuildId(1), BY_ADA)
                } else {
                    track.halt(BuildId(1), BY_ADA)
                }
            })
            .unwrap();
        let change = store.roll_back(false).unwrap();
        assert_eq!(change.after.state, state);
        assert_eq!(store.serving(), [(1, state)]);
        store
            .run(|track| track.resume(BuildId(1), &Resume::default(), |_| 0, BY_ADA))
            .unwrap();
        assert_eq!(store.serving(), [(1, Active)]);
    }
}

#[test]
fn a_stopped_build_can_be_taken_back() {
    for stop in [Paused, Halted] {
        let mut store = Store::with_builds(2);
        store.release_to(1, 100);
        store.release_to(2, 10);
        store
            .run(|track| {
                if stop == Paused {
                    track.pause(BuildId(2), BY_ADA)
                } else {
                    track.halt(BuildId(2), BY_ADA)
                }
            })
            .unwrap();
        store.roll_back(false).unwrap();
        assert_eq!(store.serving(), [(1, Active)]);
    }
}

#[test]
fn force_downgrade_is_said_anew_with_each_rollback() {
    let mut store = Store::with_builds(3);
    for id in 1..=3 {
        store.release_to(id, 100);
    }
    let change = store.roll_back(true).unwrap();
    assert!(change.after.force_downgrade);
    assert_eq!(store.current().spec.takes_back, Some(version(30)));
    let change = store.roll_back(false).unwrap();
    assert!(change.before.unwrap().force_downgrade && !change.after.force_downgrade);
    assert_eq!(store.current().spec.takes_back, None);
}

#[test]
fn a_rollback_ends_every_rollout_of_the_bad_build() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_beside(2, 10);
    store.promote(2, &keeping(20)).unwrap();
    assert_eq!(store.serving(), [(2, Active), (2, Active), (1, Active)]);
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(1, Active)]);
    let states: Vec<_> = store.rollouts.iter().map(|rollout| rollout.spec.state).collect();
    assert_eq!(states, [Superseded, RolledBack, RolledBack, Active]);
}

#[test]
fn a_rollback_leaves_the_predecessors_other_rollouts_alone() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 10);
    store.promote(1, &keeping(20)).unwrap();
    store.release_beside(2, 5);
    store.roll_back(false).unwrap();
    let shares: Vec<_> = store
        .track()
        .serving
        .iter()
        .map(|release| {
            (
                release.build.id.0,
                release.rollout.spec.settings.percent.rounded_up(),
            )
        })
        .collect();
    assert_eq!(
        shares,
        [(1, 20), (1, 10)],
        "only the predecessor itself is replaced"
    );
}

#[test]
fn releasing_a_build_beside_the_one_that_takes_it_back_ends_the_taking_back() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.roll_back(true).unwrap();
    let change = store.promote(2, &keeping(10)).unwrap();
    assert_eq!(change.updates.len(), 1);
    assert_eq!(store.serving(), [(2, Active), (1, Active)]);
    assert!(store.rollouts.iter().all(|r| r.spec.takes_back.is_none()));
}

#[test]
fn releasing_another_build_beside_goes_on_taking_back() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.roll_back(true).unwrap();
    store.promote(3, &keeping(10)).unwrap();
    let taken: Vec<_> = store
        .track()
        .serving
        .iter()
        .map(|release| (release.build.id.0, release.rollout.spec.takes_back))
        .collect();
    assert_eq!(taken, [(3, None), (1, Some(version(20)))]);
}

#[test]
fn promoting_the_restored_build_by_its_own_settings_ends_the_taking_back() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.roll_back(true).unwrap();
    let change = store.release_to(1, 100);
    assert!(!change.is_empty(), "it is not the same offer");
    assert!(change.before.unwrap().force_downgrade && !change.after.force_downgrade);
    assert_eq!(store.current().spec.takes_back, None);
}

/// A gate halted the rollout that took build 3 back, so a later one names build 3's older rollout as its predecessor.
#[test]
fn a_rollback_to_a_version_that_is_being_taken_back_ends_the_taking_back() {
    let mut store = Store::with_builds(4);
    for id in [3, 1, 3] {
        store.release_to(id, 100);
    }
    store.roll_back(true).unwrap();
    store.run(|track| track.halt(BuildId(1), BY_ADA)).unwrap();
    store.promote(4, &keeping(10)).unwrap();
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(3, Active), (1, Halted)]);
    assert!(
        store
            .rollouts
            .iter()
            .all(|r| { !r.spec.state.serves() || r.spec.takes_back.is_none() })
    );
}

#[test]
fn nobody_is_forced_back_across_a_change_of_signer() {
    let mut store = Store::with_builds(2);
    Arc::make_mut(&mut store.builds[1]).facts.signers = Signers::one(SignerFingerprint([0xbb; 32]));
    store.release_to(1, 100);
    store.release_to(2, 100);
    let (from, to) = (BuildId(2), BuildId(1));
    assert_eq!(store.roll_back(true), Err(Error::SignerMismatch { from, to }));
    assert_eq!(store.serving(), [(2, Active)], "nothing was changed");
    assert!(
        store.roll_back(false).is_ok(),
        "without force no device goes back, so it may be offered"
    );
}
