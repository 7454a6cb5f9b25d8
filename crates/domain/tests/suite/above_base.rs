//! Rollouts above the base: to some devices, asked before the base, and ended by nobody but themselves.

use proptest::prelude::*;
use tidegate_domain::{
    Audience, Decision, Error, Promotion, Reason, Resume, RolloutEdit, RolloutId, RolloutState, Subject,
    decide,
};

use crate::fleet::{IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT, answer, at, percent, phone};
use crate::property::check_often;
use crate::store::{BY_ADA, Store, to};

fn in_region(region: &str) -> Promotion {
    let mut promotion = to(100);
    promotion.settings.audience = Audience::of_lists(vec![region.to_owned()], vec![]).unwrap();
    promotion
}

/// Build 1 is the base; build 2 goes to Germany, build 3 to the first tenth.
fn with_two_above() -> Store {
    let mut store = Store::with_builds(4);
    store.release_to(1, 100);
    store.create(2, 10, in_region("DE")).unwrap();
    store.create(3, 20, to(10)).unwrap();
    store
}

fn builds(store: &Store) -> Vec<i64> {
    store.serving().into_iter().map(|(build, _)| build).collect()
}

#[test]
fn rollouts_are_asked_by_priority_and_the_base_at_last() {
    let store = with_two_above();
    assert_eq!(builds(&store), [3, 2, 1]);
    let catalog = store.catalog();
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 0).region("DE")), Ok(3));
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 0).region("DE")), Ok(2));
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 0).region("FR")), Ok(1));
}

#[test]
fn a_rollout_above_never_ends_the_polls_of_strangers() {
    let catalog = with_two_above().catalog();
    for (installed, heard) in [
        (10, Reason::AlreadyCurrent),
        (20, Reason::NewerInstalled),
        (30, Reason::NewerInstalled),
    ] {
        let stranger = phone(IN_90_PERCENT, installed).region("FR");
        assert_eq!(answer(&catalog, &stranger), Err(heard), "on {installed}");
    }
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 20).region("DE")),
        Err(Reason::AlreadyCurrent)
    );
}

#[test]
fn each_device_is_of_the_first_rollout_that_takes_it_whatever_it_runs() {
    let track = with_two_above().track();
    for (device, region, place) in [
        (IN_7_PERCENT, "DE", Some(0)),
        (IN_23_PERCENT, "DE", Some(1)),
        (IN_23_PERCENT, "FR", Some(2)),
    ] {
        let phone = phone(device, 99).region(region);
        let subject = Subject {
            facts: &phone.facts,
            installed: phone.installed,
            tags: &[],
        };
        assert_eq!(
            track.taken_by(device, &subject, at(0)),
            place,
            "{device} in {region}"
        );
    }
}

#[test]
fn promoting_and_rolling_back_act_on_the_base_alone() {
    let mut store = with_two_above();
    let change = store.release_to(4, 100);
    assert_eq!(builds(&store), [3, 2, 4]);
    assert_eq!(change.updates.len(), 1, "only the earlier base ends");
    store.roll_back(true).unwrap();
    assert_eq!(builds(&store), [3, 2, 1]);
    assert_eq!(store.current().spec.takes_back, Some(crate::fleet::version(40)));
}

#[test]
fn a_forced_roll_back_leaves_those_alone_whom_an_earlier_rollout_wants_there() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.create(2, 10, in_region("DE")).unwrap();
    store.roll_back(true).unwrap();
    let catalog = store.catalog();
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 20).region("FR")),
        Ok(1),
        "taken back"
    );
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 20).region("DE")),
        Err(Reason::AlreadyCurrent)
    );
}

#[test]
fn who_leaves_a_rollout_above_keeps_its_version_until_it_is_passed_or_forced() {
    let mut store = with_two_above();
    let left = phone(IN_90_PERCENT, 20).region("FR");
    assert_eq!(answer(&store.catalog(), &left), Err(Reason::NewerInstalled));
    let mut passed = store.clone();
    passed.release_to(4, 100);
    assert_eq!(answer(&passed.catalog(), &left), Ok(4));
    store
        .run(|track| track.roll_back_rollout(RolloutId(2), true, BY_ADA))
        .unwrap();
    assert_eq!(answer(&store.catalog(), &left), Ok(1), "forced by the base");
    assert_eq!(store.rollouts[1].spec.state, RolloutState::RolledBack);
    let another = store.run(|track| track.roll_back_rollout(RolloutId(3), true, BY_ADA));
    assert_eq!(another.unwrap_err().code(), "takes_back_another");
    store
        .run(|track| track.roll_back_rollout(RolloutId(3), false, BY_ADA))
        .unwrap();
    assert_eq!(builds(&store), [1]);
}

#[test]
fn an_ended_rollout_is_refused_by_its_number_and_a_canceled_base_offers_nothing() {
    let mut store = with_two_above();
    store.run(|track| track.cancel(RolloutId(2), BY_ADA)).unwrap();
    let ended = Error::RolloutEnded {
        rollout: RolloutId(2),
    };
    assert_eq!(
        store.run(|track| track.pause(RolloutId(2), BY_ADA)),
        Err(ended.clone())
    );
    assert_eq!(store.run(|track| track.cancel(RolloutId(2), BY_ADA)), Err(ended));
    store.run(|track| track.cancel(RolloutId(1), BY_ADA)).unwrap();
    assert!(store.track().current().is_none());
    let catalog = store.catalog();
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 0)),
        Err(Reason::NotInCohort)
    );
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 0)), Ok(3));
    store.release_to(4, 100);
    assert_eq!(answer(&store.catalog(), &phone(IN_90_PERCENT, 0)), Ok(4));
}

#[test]
fn terms_change_under_the_revision_that_was_seen() {
    let mut store = with_two_above();
    let edit = |share| RolloutEdit {
        name: Some("north first".to_owned()),
        ..RolloutEdit::percent(percent(share))
    };
    let change = store
        .run(|track| track.edit(RolloutId(3), edit(20), 1, BY_ADA))
        .unwrap();
    assert_eq!(change.action, "ota.rollout.edit");
    assert_eq!(
        (
            store.rollouts[2].spec.revision,
            store.rollouts[2].spec.name.as_str()
        ),
        (2, "north first")
    );
    let again = store
        .run(|track| track.edit(RolloutId(3), edit(20), 1, BY_ADA))
        .unwrap();
    assert!(again.is_empty(), "a repeated request finds what it asked for");
    let stale = store
        .run(|track| track.edit(RolloutId(3), edit(30), 1, BY_ADA))
        .unwrap_err();
    let expected = Error::RevisionMismatch {
        rollout: RolloutId(3),
        seen: 1,
        revision: 2,
    };
    assert_eq!(stale, expected);
    for (rollout, priority) in [(1, 5), (3, 0)] {
        let moved = RolloutEdit {
            priority: Some(priority),
            ..RolloutEdit::default()
        };
        let seen = store.rollouts[rollout - 1].spec.revision;
        let id = RolloutId(i64::try_from(rollout).unwrap());
        let refused = store
            .run(|track| track.edit(id, moved.clone(), seen, BY_ADA))
            .unwrap_err();
        assert!(
            matches!(
                refused,
                Error::Invalid {
                    field: "priority",
                    ..
                }
            ),
            "{refused}"
        );
    }
}

#[test]
fn making_a_rollout_again_on_the_same_terms_makes_none() {
    let mut store = with_two_above();
    assert!(store.create(3, 20, to(10)).unwrap().is_empty());
    assert!(!store.create(3, 20, to(11)).unwrap().is_empty());
    assert_eq!(builds(&store), [3, 3, 2, 1]);
    let several = store
        .run(|track| track.resume(tidegate_domain::BuildId(3), &Resume::default(), |_| 0, BY_ADA))
        .unwrap_err();
    assert_eq!(several.code(), "several_serving");
    assert!(several.to_string().contains("4, 3"), "{several}");
    store
        .run(|track| track.pause(tidegate_domain::BuildId(3), BY_ADA))
        .unwrap();
    assert_eq!(
        store.serving()[..2],
        [(3, RolloutState::Paused), (3, RolloutState::Paused)]
    );
}

#[test]
fn nobody_is_forced_back_by_a_rollout_that_is_asked_later() {
    let strategy = ("[a-z]{1,12}", 0..4_i64, 0..100_i64, 0..100_i64);
    check_often(50, &strategy, |(id, installed, above, share)| {
        let mut store = Store::with_builds(3);
        store.release_to(1, 100);
        store.release_to(2, 100);
        store.create(2, 10, to(above.max(1))).unwrap();
        store.create(3, 20, to(share.max(1))).unwrap();
        store.roll_back(true).unwrap();
        let catalog = store.catalog();
        let device = phone(&id, 10 * installed);
        let Decision::Offer(offer) = decide(&catalog, &device.poll(), at(0)) else {
            return Ok(false);
        };
        let at_home = installed == 2
            && store.rollouts[2]
                .spec
                .settings
                .takes(store.rollouts[2].spec.settings.position(&id));
        prop_assert!(!offer.forced || !at_home);
        Ok(offer.forced)
    });
}
