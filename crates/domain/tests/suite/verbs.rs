//! Promote, adjust, pause, resume, halt, complete: what each does to the track, and what it refuses.

use tidegate_domain::{
    BuildId, Error, MAX_SERVING, Percent, Promotion, Resume, RolloutSettings, RolloutState, Track,
};

use crate::fleet::percent;
use crate::store::{BY_ADA, Store, keeping, to};
use RolloutState::{Active, Completed, Halted, Paused};

fn invalid_field(result: Result<tidegate_domain::Change, Error>) -> &'static str {
    match result {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("expected an invalid field, got {other:?}"),
    }
}

#[test]
fn the_first_promotion_releases_a_build() {
    let mut store = Store::with_builds(1);
    let change = store.release_to(1, 10);
    assert_eq!(change.action, "ota.promote");
    assert_eq!(change.before, None);
    assert_eq!((change.after.build_id, change.after.state), (BuildId(1), Active));
    assert_eq!(change.after.version_name, "1.0");
    let current = store.current();
    assert_eq!(current.spec.settings, RolloutSettings::to(percent(10)));
    assert_eq!(
        (current.spec.created_by.as_str(), current.spec.created_at),
        ("ada", BY_ADA.now)
    );
    assert_eq!((current.spec.retry_generation, current.spec.previous), (1, None));
}

#[test]
fn a_second_promotion_ends_the_first() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    let change = store.release_to(2, 10);
    assert_eq!(store.serving(), [(2, Active)]);
    assert_eq!(store.rollouts[0].spec.state, RolloutState::Superseded);
    assert_eq!(change.before.unwrap().build_id, BuildId(1));
    assert_eq!(store.current().spec.previous, Some(store.rollouts[0].id));
}

#[test]
fn keep_previous_leaves_the_first_serving_beside_the_second() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_beside(2, 50);
    store.release_beside(3, 10);
    assert_eq!(store.serving(), [(3, Active), (2, Active), (1, Active)]);
    store.release_to(3, 20);
    assert_eq!(store.serving(), [(3, Active)], "without it all of them end");
}

#[test]
fn promoting_again_what_is_current_with_the_same_settings_changes_nothing() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 10);
    let again = store.release_to(2, 10);
    assert!(again.is_empty());
    assert_eq!(again.before, Some(again.after));
    assert!(store.release_beside(2, 10).is_empty());
    assert_eq!(store.rollouts.len(), 2);
}

#[test]
fn promoting_again_with_other_settings_is_a_new_rollout_that_goes_back_to_the_same_one() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 10);
    let wifi = Promotion {
        settings: RolloutSettings {
            wifi_only: true,
            ..RolloutSettings::to(percent(10))
        },
        ..to(10)
    };
    store.promote(2, &wifi).unwrap();
    assert_eq!(store.serving(), [(2, Active)]);
    assert_eq!(store.current().spec.previous, Some(store.rollouts[0].id));
    assert!(store.current().spec.settings.wifi_only);
}

#[test]
fn promoting_a_stopped_build_again_releases_it() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 10);
    store.run(|track| track.pause(BuildId(2), BY_ADA)).unwrap();
    assert!(!store.release_to(2, 10).is_empty());
    assert_eq!(store.serving(), [(2, Active)]);
}

#[test]
fn a_promotion_without_keep_previous_ends_the_others_even_with_the_same_settings() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_beside(2, 10);
    assert!(!store.release_to(2, 10).is_empty());
    assert_eq!(store.serving(), [(2, Active)]);
}

#[test]
fn a_build_that_serves_can_be_released_again_beside_itself() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_beside(2, 10);
    store.release_beside(1, 50);
    assert_eq!(store.serving(), [(1, Active), (2, Active), (1, Active)]);
    assert_eq!(store.current().spec.settings.percent, percent(50));
}

#[test]
fn retry_failed_raises_the_retry_generation_and_nothing_else_does() {
    let mut store = Store::with_builds(2);
    let retry = Promotion {
        retry_failed: true,
        ..to(10)
    };
    let generation_after = |store: &mut Store, id, promotion: &Promotion| {
        store.promote(id, promotion).unwrap();
        store.current().spec.retry_generation
    };
    assert_eq!(generation_after(&mut store, 1, &to(10)), 1);
    assert_eq!(generation_after(&mut store, 1, &retry), 2);
    assert_eq!(generation_after(&mut store, 1, &retry), 3);
    assert_eq!(generation_after(&mut store, 1, &to(20)), 3);
    assert_eq!(
        generation_after(&mut store, 2, &to(20)),
        1,
        "each build counts for itself"
    );
    assert_eq!(
        generation_after(&mut store, 1, &to(20)),
        3,
        "and its count is not lost"
    );
}

#[test]
fn a_build_that_a_gate_found_bad_is_not_gone_back_to() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_to(2, 10);
    store.run(|track| track.halt(BuildId(2), BY_ADA)).unwrap();
    store.release_to(3, 10);
    assert_eq!(store.current().spec.previous, Some(store.rollouts[0].id));
    store.roll_back(false).unwrap();
    assert_eq!(store.serving(), [(1, Active)]);
}

#[test]
fn a_promotion_over_a_bad_build_never_names_itself_as_what_to_go_back_to() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.release_to(1, 100);
    store.run(|track| track.halt(BuildId(1), BY_ADA)).unwrap();
    store.release_to(2, 100);
    let current = store.current();
    let goes_back_to = current
        .spec
        .previous
        .map(|id| store.rollouts[usize::try_from(id.0).unwrap() - 1].spec.build);
    assert_eq!(
        goes_back_to,
        Some(BuildId(1)),
        "to the build before it, not to build 2 itself"
    );
}

#[test]
fn no_more_rollouts_serve_side_by_side_than_the_limit() {
    let limit = i64::try_from(MAX_SERVING).unwrap();
    let mut store = Store::with_builds(limit + 1);
    for id in 1..=limit {
        store.release_beside(id, 10);
    }
    let before = store.clone().track();
    let refused = store.promote(limit + 1, &keeping(10)).unwrap_err();
    assert!(matches!(&refused, Error::TooManyServing { limit, .. } if *limit == MAX_SERVING));
    assert!(refused.to_string().contains("keep_previous"), "{refused}");
    assert_eq!(store.track(), before);
    let again = store.promote(1, &keeping(20)).unwrap_err();
    assert_eq!(
        again, refused,
        "a rollout more of a build that serves is one more"
    );
    store.release_to(limit + 1, 10);
    assert_eq!(store.serving().len(), 1);
}

#[test]
fn settings_out_of_bounds_are_refused_by_their_name() {
    let mut store = Store::with_builds(1);
    let mut refused = |edit: fn(&mut RolloutSettings)| {
        let mut promotion = to(10);
        edit(&mut promotion.settings);
        invalid_field(store.promote(1, &promotion))
    };
    assert_eq!(
        refused(|settings| settings.percent = Percent::NOBODY),
        "rollout_percent"
    );
    assert_eq!(refused(|settings| settings.salt = Some(String::new())), "salt");
    assert_eq!(refused(|settings| settings.salt = Some("s".repeat(65))), "salt");
    assert!(store.rollouts.is_empty());
    let mut longest = to(1);
    longest.settings.salt = Some("s".repeat(64));
    assert!(store.promote(1, &longest).is_ok());
}

#[test]
fn adjusting_changes_the_share_alone() {
    let mut store = Store::with_builds(1);
    store.release_to(1, 10);
    let before = store.current();
    let change = store
        .run(|track| track.adjust(BuildId(1), percent(50), BY_ADA))
        .unwrap();
    assert_eq!(change.action, "ota.rollout.adjust");
    assert_eq!(change.before.unwrap().settings.percent, percent(10));
    assert_eq!(change.after.settings.percent, percent(50));
    let mut expected = before;
    expected.spec.settings.percent = percent(50);
    expected.spec.revision = 2;
    assert_eq!(store.current(), expected);
    let lowered = store
        .run(|track| track.adjust(BuildId(1), percent(1), BY_ADA))
        .unwrap();
    assert_eq!(lowered.after.settings.percent, percent(1));
    let again = store
        .run(|track| track.adjust(BuildId(1), percent(1), BY_ADA))
        .unwrap();
    assert!(again.is_empty());
}

#[test]
fn adjusting_to_nobody_is_refused_with_a_hint_to_pause() {
    let mut store = Store::with_builds(1);
    store.release_to(1, 10);
    let refused = store
        .run(|track| track.adjust(BuildId(1), Percent::NOBODY, BY_ADA))
        .unwrap_err();
    assert!(refused.to_string().contains("pause"), "{refused}");
}

#[test]
fn a_completed_rollout_is_lowered_only_after_a_pause() {
    let mut store = Store::with_builds(1);
    store.release_to(1, 100);
    store.run(|track| track.complete(BuildId(1), BY_ADA)).unwrap();
    assert_eq!(
        invalid_field(store.run(|track| track.adjust(BuildId(1), percent(50), BY_ADA))),
        "rollout_percent"
    );
    assert!(
        store
            .run(|track| track.adjust(BuildId(1), percent(100), BY_ADA))
            .unwrap()
            .is_empty()
    );
    store.run(|track| track.pause(BuildId(1), BY_ADA)).unwrap();
    store
        .run(|track| track.adjust(BuildId(1), percent(50), BY_ADA))
        .unwrap();
    store
        .run(|track| track.resume(BuildId(1), &Resume::default(), |_| 0, BY_ADA))
        .unwrap();
    assert_eq!(store.serving(), [(1, Active)]);
}

#[test]
fn a_concurrent_rollout_is_changed_by_its_builds_name() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_beside(2, 10);
    store.run(|track| track.pause(BuildId(1), BY_ADA)).unwrap();
    store
        .run(|track| track.adjust(BuildId(1), percent(30), BY_ADA))
        .unwrap();
    assert_eq!(store.serving(), [(2, Active), (1, Paused)]);
}

/// A verb on one build.
type Verb = fn(&Track, BuildId) -> Result<tidegate_domain::Change, Error>;

const VERBS: [(&str, Verb, RolloutState); 4] = [
    (
        "ota.rollout.pause",
        |track, build| track.pause(build, BY_ADA),
        Paused,
    ),
    (
        "ota.rollout.resume",
        |track, build| track.resume(build, &Resume::default(), |_| 0, BY_ADA),
        Active,
    ),
    (
        "ota.rollout.halt",
        |track, build| track.halt(build, BY_ADA),
        Halted,
    ),
    (
        "ota.rollout.complete",
        |track, build| track.complete(build, BY_ADA),
        Completed,
    ),
];

/// A released build in a state.
fn released_in(state: RolloutState) -> Store {
    let mut store = Store::with_builds(1);
    store.release_to(1, 100);
    store.rollouts[0].spec.state = state;
    store
}

#[test]
fn each_verb_follows_the_state_machine_and_repeats_harmlessly() {
    for (action, verb, to) in VERBS {
        for from in RolloutState::ALL.into_iter().filter(|state| state.serves()) {
            let mut store = released_in(from);
            let result = store.run(|track| verb(track, BuildId(1)));
            // What has not begun is approved or started, not resumed.
            if from != to && !(from.has_begun() && from.may_become(to)) {
                let build = BuildId(1);
                assert_eq!(result, Err(Error::WrongState { build, from, to }), "{action}");
                continue;
            }
            let change = result.unwrap();
            assert_eq!((change.action, change.after.state), (action, to));
            assert_eq!(change.before.as_ref().map(|before| before.state), Some(from));
            assert_eq!(change.is_empty(), from == to);
            assert_eq!(store.current().spec.state, to);
            assert!(
                store.run(|track| verb(track, BuildId(1))).unwrap().is_empty(),
                "{action} twice"
            );
        }
    }
}

#[test]
fn a_build_that_does_not_serve_cannot_be_changed() {
    let mut store = Store::with_builds(2);
    let not_serving = Err(Error::NotServing { build: BuildId(1) });
    for (_, verb, _) in VERBS {
        assert_eq!(
            store.run(|track| verb(track, BuildId(1))),
            not_serving,
            "nothing was released"
        );
    }
    store.release_to(1, 100);
    store.release_to(2, 100);
    for (_, verb, _) in VERBS {
        assert_eq!(
            store.run(|track| verb(track, BuildId(1))),
            not_serving,
            "it was superseded"
        );
    }
    assert_eq!(
        store.run(|track| track.adjust(BuildId(1), percent(5), BY_ADA)),
        not_serving
    );
}

/// Build 2 in two rollouts, of 20 and of 10 %, beside build 1.
fn twice() -> Store {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_beside(2, 10);
    store.release_beside(2, 20);
    store
}

#[test]
fn pausing_and_halting_act_on_all_rollouts_of_a_build_and_on_no_other() {
    for (action, verb, state) in [VERBS[0], VERBS[2]] {
        let mut store = twice();
        let change = store.run(|track| verb(track, BuildId(2))).unwrap();
        assert_eq!(store.serving(), [(2, state), (2, state), (1, Active)], "{action}");
        assert_eq!(change.updates.len(), 2);
        assert_eq!(change.before.unwrap().state, Active);
        assert_eq!(change.after.state, state);
        assert!(store.current().spec.is_current, "the current one stays so");
        assert!(store.run(|track| verb(track, BuildId(2))).unwrap().is_empty());
    }
}

#[test]
fn the_other_verbs_refuse_a_build_of_several_rollouts_and_name_them() {
    let mut store = twice();
    let rollouts = vec![store.rollouts[2].id, store.rollouts[1].id];
    let refused = Err(Error::SeveralServing {
        build: BuildId(2),
        rollouts,
    });
    for (action, verb, _) in [VERBS[1], VERBS[3]] {
        assert_eq!(store.run(|track| verb(track, BuildId(2))), refused, "{action}");
    }
    let before = store.track();
    let adjusted = store.run(|track| track.adjust(BuildId(2), percent(50), BY_ADA));
    assert_eq!(adjusted, refused);
    assert!(adjusted.unwrap_err().to_string().contains("(3, 2)"));
    assert_eq!(store.track(), before);
    store
        .run(|track| track.adjust(BuildId(1), percent(50), BY_ADA))
        .unwrap();
}

/// A bad build must not go on being offered because one of its rollouts has been stopped before.
#[test]
fn a_rollout_that_is_stopped_already_does_not_keep_the_others_from_being_stopped() {
    for (action, verb, to) in [VERBS[0], VERBS[2]] {
        for stopped in [Paused, Halted] {
            for place in [1, 2] {
                let mut store = twice();
                store.rollouts[place].spec.state = stopped;
                let change = store.run(|track| verb(track, BuildId(2))).unwrap();
                let states = [2, 1].map(|place: usize| store.rollouts[place].spec.state);
                let expected = [2, 1].map(|other| if other == place { stopped } else { to });
                assert_eq!(states, expected, "{action} with one {stopped}");
                let before = change.before.as_ref().map(|before| before.state);
                assert_eq!((before, change.after.state), (Some(Active), to), "{action}");
                assert_eq!(change.updates.len(), 1);
            }
        }
    }
}

#[test]
fn only_a_rollout_to_everybody_is_complete() {
    let mut store = Store::with_builds(1);
    store.release_to(1, 99);
    assert_eq!(
        invalid_field(store.run(|track| track.complete(BuildId(1), BY_ADA))),
        "rollout_percent"
    );
    store
        .run(|track| track.adjust(BuildId(1), percent(100), BY_ADA))
        .unwrap();
    store.run(|track| track.complete(BuildId(1), BY_ADA)).unwrap();
    assert_eq!(store.serving(), [(1, Completed)]);
}
