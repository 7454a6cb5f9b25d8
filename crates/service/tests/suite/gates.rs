//! What a health gate has polls and downloads leave behind, and how often those poll whom it watches.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::gate::{Arm, BlindTimes, GateTerms, Segment, StepCounts};
use tidegate_domain::{DeviceFacts, RolloutId, Share, cohort};
use tidegate_service::{Clerk, Clock, Fleet, Gates, Poll, PollAnswer};
use tidegate_storage::{GateAtHand, GateLooks};
use tidegate_testkit::apks::PACKAGE;

use crate::instance::{Instance, operator, to, version};

/// Enrols a device whose place is among these percents.
async fn device_at(instance: &Instance, percents: std::ops::Range<u8>) -> String {
    let [name] = devices_at(instance, percents).await;
    name
}

/// Enrols devices whose places are among these percents.
async fn devices_at<const N: usize>(instance: &Instance, percents: std::ops::Range<u8>) -> [String; N] {
    let names = (0..).map(|number| format!("phone-{number}"));
    let mut among = names.filter(|name| percents.contains(&cohort(name)));
    let names = std::array::from_fn(|_| among.next().unwrap());
    for name in &names {
        instance.enrol(name).await;
    }
    names
}

/// A release to a tenth, with a gate. Control are those up to the whole, as the fleet is small.
async fn release(instance: &Instance) {
    let build = instance.build(2).await;
    let mut promotion = to(10);
    promotion.gate = Some(GateTerms::default());
    instance.promote(build, promotion).await;
}

/// When a device is told to poll again, and whether it is offered a build.
fn wait(instance: &Instance, device: &str, dense: bool) -> (Duration, bool) {
    let poll = Poll {
        device_id: device,
        package: PACKAGE,
        installed: version(1),
        facts: DeviceFacts {
            dense,
            ..DeviceFacts::default()
        },
        crashes: None,
        fetched: None,
        takes_patches: false,
        at: instance.polls.now(),
    };
    instance.polls.answer(&poll, |answer, wait| {
        (wait, matches!(answer, PollAnswer::Update { .. }))
    })
}

/// The arms that polls which were not written yet bring devices into.
async fn flush(instance: &Instance) {
    instance.activity.flush(&instance.store).await.unwrap();
}

async fn entered(instance: &Instance) -> Vec<(String, Arm)> {
    let since = instance.clock.read() - TimeDelta::days(7);
    let members = instance
        .store
        .gate_members_since(vec![RolloutId(1)], since, 10)
        .await;
    let members = members.unwrap().into_iter();
    members
        .map(|member| (member.device.to_string(), member.arm))
        .collect()
}

#[tokio::test]
async fn who_is_watched_polls_often_for_three_hours_in_either_arm_alike() {
    let instance = Instance::start().await;
    release(&instance).await;
    let (treated, control) = (
        device_at(&instance, 0..10).await,
        device_at(&instance, 10..100).await,
    );
    // Until a poll says so nobody has the package, so its fleet is none: control is all the others.
    let half_an_hour = Duration::from_secs(1_800);
    for device in [&treated, &control] {
        let (seldom, _) = wait(&instance, device, false);
        assert!(
            seldom > half_an_hour,
            "an agent that can't is not asked: {seldom:?}"
        );
        let (often, offered) = wait(&instance, device, true);
        assert!(often <= half_an_hour, "{often:?}");
        assert_eq!(offered, *device == treated);
    }
    flush(&instance).await;
    assert_eq!(
        entered(&instance).await,
        [(treated.clone(), Arm::Treated), (control.clone(), Arm::Control)]
    );
    // Another replica finds it in the table.
    let other = instance.beside().await;
    other.snapshots.catch_up_gates().await.unwrap();
    other.clock.advance(TimeDelta::hours(2));
    assert!(wait(&other, &control, true).0 <= half_an_hour);
    assert!(wait(&other, &treated, true).0 <= half_an_hour);
    other.clock.advance(TimeDelta::hours(1));
    assert!(
        wait(&other, &control, true).0 > half_an_hour,
        "three hours are over"
    );
    assert!(wait(&other, &treated, true).0 > half_an_hour);
    // None of that moved anybody's entry.
    flush(&other).await;
    let at = instance.clock.read() - TimeDelta::hours(3);
    let members = other
        .store
        .gate_members_since(vec![RolloutId(1)], at + TimeDelta::seconds(1), 10)
        .await;
    assert_eq!(members.unwrap(), []);
}

#[tokio::test]
async fn a_gate_counts_what_the_server_sent() {
    let instance = Instance::start().await;
    release(&instance).await;
    let device = device_at(&instance, 0..10).await;
    let offer = instance.poll(&device, 1).unwrap();
    let size = instance.permit(&offer).await.build.facts.size;
    flush(&instance).await;
    for (range, begun, sent) in [(1..2, 0, 0), (0..10, 1, 0), (10..size, 1, 1)] {
        instance.fetch(&offer, range).await;
        let expected = StepCounts {
            reached: 1,
            begun,
            sent,
            ..StepCounts::default()
        };
        // What is sent is written by a task of its own.
        let mut counts = StepCounts::default();
        for _ in 0..200 {
            counts = count(&instance).await;
            if counts == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(counts, expected);
    }
}

async fn count(instance: &Instance) -> StepCounts {
    let at = GateAtHand {
        rollout: 1,
        segment: Segment::first(instance.clock.read()),
        step: 0,
        share: Share::NOBODY,
        now: instance.clock.read(),
    };
    let blind = BlindTimes::default();
    let found = instance
        .store
        .observe_gate(at, blind, TimeDelta::hours(6), GateLooks::default());
    found.await.unwrap().steps[0]
}

#[tokio::test]
async fn a_file_that_is_there_already_counts_as_sent() {
    let instance = Instance::start().await;
    release(&instance).await;
    let device = device_at(&instance, 0..10).await;
    let offer = instance.poll(&device, 1).unwrap();
    let sha256 = instance.permit(&offer).await.build.facts.sha256;
    let poll = Poll {
        device_id: &device,
        package: PACKAGE,
        installed: version(1),
        facts: DeviceFacts::default(),
        crashes: None,
        fetched: Some(sha256),
        takes_patches: false,
        at: instance.polls.now(),
    };
    instance.polls.answer(&poll, |_, _| ());
    flush(&instance).await;
    let counts = count(&instance).await;
    assert_eq!((counts.reached, counts.begun, counts.sent), (1, 1, 1));
}

/// A clerk that judges, over a fleet that was counted.
async fn judging_clerk(instance: &Instance) -> Clerk {
    let clock = Arc::clone(&instance.clock) as Arc<dyn Clock>;
    let (store, snapshots) = (instance.store.clone(), Arc::clone(&instance.snapshots));
    let fleet = Arc::new(Fleet::new(store.clone(), Arc::clone(&clock)));
    fleet.count().await.unwrap();
    let gates = Gates::new(
        store.clone(),
        Arc::clone(&snapshots),
        fleet,
        Duration::from_secs(3_600),
    );
    Clerk::new(store, snapshots, clock, None).judging(gates)
}

/// How many devices the gate had seen reached by its last look.
async fn reached(instance: &Instance) -> u64 {
    let look = instance.store.gate_look(RolloutId(1)).await.unwrap().unwrap();
    look.facts.steps[0].reached
}

#[tokio::test]
async fn a_gate_of_which_nothing_was_new_is_looked_at_once_something_is_counted() {
    let instance = Instance::start().await;
    release(&instance).await;
    let [first, next, third] = devices_at(&instance, 0..10).await;
    let mut clerk = judging_clerk(&instance).await;
    for _ in 0..3 {
        clerk.look().await.unwrap();
        instance.clock.advance(TimeDelta::seconds(1));
    }
    instance.poll(&first, 1).unwrap();
    flush(&instance).await;
    clerk.look().await.unwrap();
    assert_eq!(
        reached(&instance).await,
        1,
        "though it was looked at a moment ago, and was quiet"
    );
    // What was found is followed at once.
    instance.poll(&next, 1).unwrap();
    flush(&instance).await;
    instance.clock.advance(TimeDelta::seconds(1));
    clerk.look().await.unwrap();
    assert_eq!(reached(&instance).await, 2);
    // Somebody may be about to resume what is halted: they are to see what it has come to.
    instance.poll(&third, 1).unwrap();
    instance.rollouts.halt(operator(), RolloutId(1)).await.unwrap();
    for _ in 0..3 {
        clerk.look().await.unwrap();
        instance.clock.advance(TimeDelta::seconds(1));
    }
    flush(&instance).await;
    clerk.look().await.unwrap();
    assert_eq!(reached(&instance).await, 3);
}
