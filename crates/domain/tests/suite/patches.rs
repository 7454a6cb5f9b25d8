//! Which patches are worth making: what a device would be led to.

use std::sync::Arc;

use tidegate_domain::{
    Audience, BuildId, BuildSteps, DeviceFacts, Release, RolloutState, Subject, Tag, Track, patch_targets,
};

use crate::fleet::{PACKAGE, build, of, percent, release, version, with};

fn track(serving: Vec<Release>, barriers: &[i64]) -> Track {
    let barrier = |id: &i64| {
        let mut barrier = build(*id);
        barrier.steps = BuildSteps {
            barrier: true,
            min_from_version: None,
        };
        Arc::new(barrier)
    };
    Track {
        serving,
        barriers: barriers.iter().map(barrier).collect(),
        ..Track::empty(PACKAGE.parse().unwrap())
    }
}

/// The builds that a device of this level and version, with these tags, is led to.
fn led(track: &Track, installed: i64, sdk: Option<u32>, tags: &[&str], ceiling: Option<i64>) -> Vec<i64> {
    let facts = DeviceFacts {
        sdk,
        ..DeviceFacts::default()
    };
    let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let subject = Subject {
        facts: &facts,
        installed: version(installed),
        tags: &tags,
    };
    let targets = patch_targets(track, &subject, ceiling.map(version));
    targets.into_iter().map(|BuildId(id)| id).collect()
}

#[test]
fn a_device_is_led_to_what_its_rollouts_offer_above_its_version() {
    let track = track(vec![release(build(5)), release(build(3))], &[]);
    for (installed, expected) in [
        (0, vec![]),
        (10, vec![5, 3]),
        (29, vec![5, 3]),
        (30, vec![5]),
        (49, vec![5]),
        (50, vec![]),
        (60, vec![]),
    ] {
        assert_eq!(led(&track, installed, None, &[], None), expected, "{installed}");
    }
}

#[test]
fn below_a_barrier_it_is_led_to_the_barriers_build_once() {
    let track = track(vec![release(build(5)), release(build(4))], &[2, 3, 4]);
    for (installed, expected) in [
        (10, vec![2]),
        (20, vec![3]),
        (29, vec![3]),
        (30, vec![4]),
        (40, vec![5]),
    ] {
        assert_eq!(led(&track, installed, None, &[], None), expected, "{installed}");
    }
}

#[test]
fn it_is_led_to_nothing_that_it_could_not_take() {
    let lab = Audience::parse(r#""lab" in tags"#).unwrap();
    let first = with(release(build(5)), |spec| spec.settings.audience = lab);
    let second = of(release(build(3)), |facts| facts.min_sdk = 30);
    let track = track(vec![first, second], &[]);
    assert_eq!(led(&track, 10, Some(30), &["lab"], None), [5, 3]);
    assert_eq!(led(&track, 10, Some(29), &["lab"], None), [5]);
    assert_eq!(led(&track, 10, Some(30), &[], None), [3]);
    assert_eq!(
        led(&track, 10, None, &[], None),
        [3],
        "what it does not state is in no way"
    );
    assert_eq!(led(&track, 10, Some(30), &["lab"], Some(50)), [5, 3]);
    assert_eq!(led(&track, 10, Some(30), &["lab"], Some(49)), [3]);
    assert_eq!(led(&track, 10, Some(30), &["lab"], Some(29)), Vec::<i64>::new());
}

#[test]
fn the_share_and_the_time_to_begin_do_not_matter() {
    let early = with(release(build(5)), |spec| {
        spec.state = RolloutState::Scheduled;
        spec.settings.percent = percent(1);
    });
    assert_eq!(led(&track(vec![early], &[]), 10, None, &[], None), [5]);
}
