//! Rollouts: promote, adjust, pause, resume, halt and roll back, by what the next poll is told.

use tidegate_domain::{BuildId, By, Percent, Promotion, Reason, Resume, RolloutState};
use tidegate_service::{Kind, RolloutFilter};
use tidegate_testkit::apks;
use tidegate_testkit::apks::PACKAGE;

use crate::instance::{Instance, operator, package, refusal, to, viewer};

#[tokio::test]
async fn a_promotion_replaces_the_current_build_and_the_same_again_changes_nothing() {
    let instance = Instance::start().await;
    let old = instance.release(1).await;
    let new = instance.build(2).await;
    for _ in 0..2 {
        let promoted = instance.rollouts.promote(operator(), new, to(100), None);
        assert_eq!(promoted.await.unwrap().previous, Some(old));
    }
    assert_eq!(instance.told("phone", 0), Ok(new));
    let all = instance
        .rollouts
        .list(RolloutFilter::default(), Default::default());
    let states: Vec<_> = all
        .await
        .unwrap()
        .items
        .iter()
        .map(|rollout| rollout.spec.state)
        .collect();
    assert_eq!(states, [RolloutState::Active, RolloutState::Superseded]);
}

#[tokio::test]
async fn a_promotion_is_refused_where_the_operator_saw_another_build() {
    let instance = Instance::start().await;
    let (one, two) = (instance.release(1).await, instance.release(2).await);
    let three = instance.build(3).await;
    let promote = |seen| instance.rollouts.promote(operator(), three, to(100), Some(seen));
    assert_eq!(refusal(promote(one).await), (Kind::Conflict, "not_current"));
    assert_eq!(instance.told("phone", 0), Ok(two));
    promote(two).await.unwrap();
    assert_eq!(instance.told("phone", 0), Ok(three));
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let (rollouts, viewer) = (&instance.rollouts, viewer());
    let denied = [
        refusal(rollouts.promote(viewer, build, to(50), None).await),
        refusal(rollouts.adjust(viewer, build, Percent::EVERYBODY, None).await),
        refusal(rollouts.pause(viewer, build).await),
        refusal(rollouts.resume(viewer, build, Resume::default()).await),
        refusal(rollouts.roll_back(viewer, Some(package()), None, false).await),
    ];
    assert_eq!(denied, [(Kind::Forbidden, "role_too_low"); 5]);
    assert_eq!(instance.actions().await, ["ota.upload", "ota.promote"]);
}

#[tokio::test]
async fn a_paused_build_is_offered_to_nobody_until_it_is_resumed() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let (rollouts, operator) = (&instance.rollouts, operator());
    assert_eq!(
        rollouts.pause(operator, build).await.unwrap(),
        RolloutState::Paused
    );
    assert_eq!(instance.told("phone", 0), Err(Reason::Paused));
    assert_eq!(
        rollouts.resume(operator, build, Resume::default()).await.unwrap(),
        RolloutState::Active
    );
    assert_eq!(instance.told("phone", 0), Ok(build));
    let other = instance.build(2).await;
    assert_eq!(
        refusal(rollouts.pause(operator, other).await),
        (Kind::Conflict, "not_serving")
    );
}

/// Halts a build, as a health gate does.
async fn halt(instance: &Instance, build: BuildId) {
    let gate = tidegate_storage::Actor {
        subject: "gate".to_owned(),
        role: "server".to_owned(),
        request_id: None,
        now: instance.clock.read(),
    };
    let store = &instance.store;
    let by = By {
        actor: "gate",
        on_behalf_of: None,
        now: gate.now,
    };
    let halted = store.change_track(package(), gate, move |track, _| track.halt(build, by));
    halted.await.unwrap();
    instance.snapshots.catch_up().await.unwrap();
}

#[tokio::test]
async fn a_halted_build_is_not_paused_but_resumed_and_stays_halted_through_a_roll_back_to_it() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let (rollouts, operator) = (&instance.rollouts, operator());
    halt(&instance, build).await;
    assert_eq!(instance.told("phone", 0), Err(Reason::Halted));
    assert_eq!(
        refusal(rollouts.pause(operator, build).await),
        (Kind::Conflict, "wrong_state")
    );
    rollouts.resume(operator, build, Resume::default()).await.unwrap();
    assert_eq!(instance.told("phone", 0), Ok(build));

    let next = instance.build(2).await;
    let beside = Promotion {
        keep_previous: true,
        ..to(100)
    };
    instance.promote(next, beside).await;
    halt(&instance, build).await;
    let back = rollouts
        .roll_back(operator, None, Some(next), false)
        .await
        .unwrap();
    assert_eq!((back.from.id, back.to.id), (next, build));
    assert_eq!(instance.told("phone", 0), Err(Reason::Halted));
}

#[tokio::test]
async fn a_build_taken_back_is_offered_no_more_and_those_who_run_it_are_left_alone() {
    let instance = Instance::start().await;
    let (good, bad) = (instance.release(1).await, instance.release(2).await);
    let back = instance.rollouts.roll_back(operator(), None, None, false);
    let back = back.await.unwrap();
    assert_eq!((back.from.id, back.to.id), (bad, good));
    assert_eq!(instance.told("phone", 0), Ok(good));
    assert_eq!(instance.told("phone", 2), Err(Reason::NewerInstalled));
    let again = instance
        .rollouts
        .roll_back(operator(), Some(package()), Some(bad), false);
    assert_eq!(refusal(again.await), (Kind::Conflict, "not_current"));
}

#[tokio::test]
async fn a_forced_roll_back_takes_back_exactly_the_version_that_was_bad() {
    let instance = Instance::start().await;
    let (good, _) = (instance.release(1).await, instance.release(2).await);
    let back = instance
        .rollouts
        .roll_back(operator(), Some(package()), None, true);
    back.await.unwrap();
    let offer = instance.poll("phone", 2).unwrap();
    assert_eq!((offer.build, offer.forced), (good, true));
    assert!(!instance.poll("phone", 0).unwrap().forced);
    assert_eq!(instance.told("phone", 1), Err(Reason::AlreadyCurrent));
    assert_eq!(instance.told("phone", 3), Err(Reason::NewerInstalled));
}

#[tokio::test]
async fn the_first_build_has_nothing_to_go_back_to() {
    let instance = Instance::start().await;
    let back = || instance.rollouts.roll_back(operator(), None, None, false);
    assert_eq!(refusal(back().await), (Kind::Conflict, "no_current_build"));
    let build = instance.release(1).await;
    assert_eq!(refusal(back().await), (Kind::Conflict, "no_predecessor"));
    assert_eq!(instance.told("phone", 0), Ok(build));
}

#[tokio::test]
async fn a_package_is_named_where_several_release_something() {
    let instance = Instance::start().await;
    instance.release(1).await;
    let other = instance
        .upload(apks::build("com.example.other", 1))
        .await
        .unwrap();
    instance.promote(other.id, to(100)).await;
    let back = instance.rollouts.roll_back(operator(), None, None, false);
    let refused = back.await.err().unwrap();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        (Kind::Invalid, Some("package_name"))
    );
    assert_ne!(other.facts.package.as_str(), PACKAGE);
}

#[tokio::test]
async fn a_build_that_several_rollouts_serve_is_paused_at_once_and_not_adjusted() {
    let instance = Instance::start().await;
    let build = instance.build(1).await;
    instance.promote(build, to(10)).await;
    let beside = Promotion {
        keep_previous: true,
        ..to(20)
    };
    instance.promote(build, beside).await;
    let (rollouts, operator) = (&instance.rollouts, operator());
    let adjusted = rollouts.adjust(operator, build, Percent::EVERYBODY, None).await;
    assert_eq!(refusal(adjusted), (Kind::Conflict, "several_serving"));
    rollouts.pause(operator, build).await.unwrap();
    let track = rollouts.track(&package()).await.unwrap();
    let states: Vec<_> = track
        .serving
        .iter()
        .map(|release| release.rollout.spec.state)
        .collect();
    assert_eq!(states, [RolloutState::Paused; 2]);
    assert_eq!(
        refusal(rollouts.resume(operator, build, Resume::default()).await),
        (Kind::Conflict, "several_serving")
    );
}

#[tokio::test]
async fn a_share_is_adjusted_within_its_bounds() {
    let instance = Instance::start().await;
    let build = instance.build(1).await;
    instance.promote(build, to(1)).await;
    let adjust = |percent| {
        instance
            .rollouts
            .adjust(operator(), build, Percent::new(percent).unwrap(), None)
    };
    let adjusted = adjust(100).await.unwrap();
    assert_eq!((adjusted.old.rounded_up(), adjusted.new.rounded_up()), (1, 100));
    assert_eq!(instance.told("phone", 0), Ok(build));
    let refused = adjust(0).await.err().unwrap();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        (Kind::Invalid, Some("rollout_percent"))
    );
}
