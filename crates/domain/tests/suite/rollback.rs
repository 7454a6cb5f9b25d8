//! Taking a build back.

use std::sync::Arc;

use tidegate_domain::{BuildId, Error, Promotion, RolloutSettings, RolloutState, SignerFingerprint, Signers};

use crate::fleet::percent;
use crate::store::{Store, to};
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
fn the_predecessor_gets_back_the_terms_that_it_had() {
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
    store.run(|track| track.adjust(BuildId(1), percent(40))).unwrap();
    store.release_to(2, 100);
    store.roll_back(false).unwrap();
    let expected = RolloutSettings {
        percent: percent(40),
        ..settings
    };
    assert_eq!(store.current().spec.settings, expected);
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
fn a_predecessor_that_was_kept_serves_once_and_is_current_again() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_beside(2, 50);
    store.release_beside(3, 10);
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(2, Active), (1, Active)]);
    assert_eq!(store.current().spec.settings.percent, percent(50));
}

#[test]
fn a_kept_predecessor_that_is_held_stays_held() {
    for (hold, state) in [(Paused, Paused), (Halted, Halted)] {
        let mut store = Store::with_builds(2);
        store.release_to(1, 100);
        store.release_beside(2, 10);
        store
            .run(|track| {
                if hold == Paused {
                    track.pause(BuildId(1))
                } else {
                    track.halt(BuildId(1))
                }
            })
            .unwrap();
        let change = store.roll_back(false).unwrap();
        assert_eq!(change.after.state, state);
        assert_eq!(store.serving(), [(1, state)]);
        store.run(|track| track.resume(BuildId(1))).unwrap();
        assert_eq!(store.serving(), [(1, Active)]);
    }
}

#[test]
fn a_held_build_can_be_taken_back() {
    for hold in [Paused, Halted] {
        let mut store = Store::with_builds(2);
        store.release_to(1, 100);
        store.release_to(2, 10);
        store
            .run(|track| {
                if hold == Paused {
                    track.pause(BuildId(2))
                } else {
                    track.halt(BuildId(2))
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
    store.roll_back(true).unwrap();
    assert!(store.current().spec.settings.force_downgrade);
    store.roll_back(false).unwrap();
    assert!(!store.current().spec.settings.force_downgrade);
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
