//! Whom a gate watches, and whom it finds silent or crashed.

use chrono::TimeDelta;
use tidegate_domain::gate::{Arm, BlindTimes, Look, LostTest, Segment};
use tidegate_domain::{Build, DeviceFacts, DeviceId, ReportStatus, RolloutId, Share};
use tidegate_storage::{GateAtHand, GateLooks, KnownMember, NewDownload, Seen, Store};

use crate::gate_counts::{FIRST, at_hand, gated, observe, treated, watch};
use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, at, downloaded, enroll_many, poll, proven, report, seen};

on_both_engines!(
    the_first_poll_wins_and_control_may_change_over,
    no_more_than_enough_treated_are_watched,
    bricks_are_found_as_the_rule_says,
    whoever_is_heard_again_is_not_lost,
    blindness_puts_silence_off,
    a_resume_leaves_who_was_silent_before,
    whoever_is_gone_leaves,
    control_leaves_by_step_and_share,
    crashes_are_counted_once,
    what_control_should_have_polled,
    members_that_nobody_watches_are_removed,
);

/// It says that it can poll often.
fn dense() -> DeviceFacts<'static> {
    DeviceFacts {
        dense: true,
        ..DeviceFacts::default()
    }
}

/// It is told nothing, and is control of this step.
pub(crate) fn control(device: &DeviceId, second: i64, rollout: RolloutId, step: u16) -> Seen {
    Seen {
        facts: dense(),
        watch: Some(watch(rollout, Arm::Control, 1, step)),
        ..seen(device, second, 1)
    }
}

pub(crate) fn offered_to(device: &DeviceId, second: i64, of: (&Build, RolloutId)) -> Seen {
    Seen {
        facts: dense(),
        ..treated(device, second, of, 0)
    }
}

/// The first half is treated, the other is control, all at once.
async fn two_arms(store: &Store, of: (&Build, RolloutId), devices: &[DeviceId]) {
    let (first, second) = devices.split_at(devices.len() / 2);
    let first = first.iter().map(|device| offered_to(device, 0, of));
    let second = second.iter().map(|device| control(device, 0, of.1, 0));
    poll(store, first.chain(second).collect()).await;
}

/// Polls that say nothing but that the devices are there.
pub(crate) async fn are_there(store: &Store, devices: &[DeviceId], second: i64) {
    poll(
        store,
        devices.iter().map(|device| seen(device, second, 1)).collect(),
    )
    .await;
}

async fn look(store: &Store, at: GateAtHand, blind: &BlindTimes, looks: GateLooks) -> GateLooks {
    let interval = TimeDelta::hours(6);
    let found = store.observe_gate(at, blind.clone(), interval, looks).await;
    found.unwrap().looks
}

fn members(place: &Place) -> Vec<String> {
    place.texts(
        "SELECT d.name || ' ' || CASE WHEN m.treated THEN 'treated' ELSE 'control' END || ' ' || m.step || ' '
                || ((m.entered_at - 1800000000000000) / 1000000) AS value
         FROM gate_members m JOIN devices d ON d.id = m.device_id ORDER BY d.name",
    )
}

async fn the_first_poll_wins_and_control_may_change_over(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let of = (&build, rollout);
    let devices = enroll_many(&store, 3).await;
    poll(
        &store,
        vec![
            offered_to(&devices[0], 10, of),
            control(&devices[1], 11, rollout, 0),
            control(&devices[2], 12, rollout, 0),
        ],
    )
    .await;
    poll(
        &store,
        vec![
            offered_to(&devices[0], 20, of),
            control(&devices[0], 21, rollout, 1),
            control(&devices[1], 21, rollout, 0),
            control(&devices[2], 22, rollout, 0),
        ],
    )
    .await;
    let first = [
        "d-0000 treated 0 10",
        "d-0001 control 0 11",
        "d-0002 control 0 12",
    ];
    assert_eq!(members(place), first);
    // The next step: one is treated now, told so within a second of being told nothing, the other is control again.
    poll(
        &store,
        vec![
            control(&devices[1], 30, rollout, 1),
            treated(&devices[1], 31, of, 1),
            control(&devices[2], 32, rollout, 1),
        ],
    )
    .await;
    let second = [
        "d-0000 treated 0 10",
        "d-0001 treated 1 31",
        "d-0002 control 1 32",
    ];
    assert_eq!(members(place), second);
    let since = store.gate_members_since(vec![rollout], at(31), 10).await.unwrap();
    let known = |device: &DeviceId, arm, second| KnownMember {
        rollout,
        device: device.clone(),
        arm,
        step: 1,
        entered: at(second),
    };
    assert_eq!(
        since,
        [
            known(&devices[1], Arm::Treated, 31),
            known(&devices[2], Arm::Control, 32)
        ]
    );
}

async fn no_more_than_enough_treated_are_watched(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 4).await;
    poll(&store, vec![treated(&devices[0], 1, (&build, rollout), 0)]).await;
    assert_eq!(place.execute("UPDATE gate_counts SET watched = 49998"), Ok(1));
    let rest = devices[1..].iter();
    poll(
        &store,
        rest.map(|device| treated(device, 2, (&build, rollout), 0))
            .collect(),
    )
    .await;
    assert_eq!(members(place).len(), 3);
    let found = observe(&store, at_hand(rollout, FIRST(), 0, 10)).await;
    assert_eq!(found.steps[0].reached, 4, "all of them are counted");
}

async fn bricks_are_found_as_the_rule_says(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 80).await;
    two_arms(&store, (&build, rollout), &devices).await;
    // A quarter of the treated never say another word; one of control is switched off as well.
    are_there(&store, &devices[10..79], 3_000).await;
    let blind = BlindTimes::default();
    let early = look(
        &store,
        at_hand(rollout, FIRST(), 0, 5_399),
        &blind,
        GateLooks::default(),
    )
    .await;
    assert_eq!(early, GateLooks::default(), "an hour and a half is not over");
    let found = look(&store, at_hand(rollout, FIRST(), 0, 5_400), &blind, early).await;
    let at_risk = Look {
        treated: 40,
        control: 40,
        treated_events: 10,
        control_events: 1,
    };
    let mut expected = LostTest::default();
    expected.short.add(at_risk);
    assert_eq!(found.lost, expected);
    let again = look(&store, at_hand(rollout, FIRST(), 0, 5_500), &blind, found).await;
    assert_eq!(again.lost, expected, "each device counts once");
    // Six hours of silence are another test, among those whom the first one has found as well.
    are_there(&store, &devices[10..79], 20_000).await;
    let late = look(&store, at_hand(rollout, FIRST(), 0, 21_600), &blind, again).await;
    expected.long.add(at_risk);
    assert_eq!(late.lost, expected);
    let arms = observe(&store, at_hand(rollout, FIRST(), 0, 21_601))
        .await
        .lost_arms;
    assert_eq!((arms.treated, arms.control), (40, 40));
    assert_eq!((arms.treated_at_risk, arms.control_at_risk), (30, 39));
}

async fn whoever_is_heard_again_is_not_lost(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    two_arms(&store, (&build, rollout), &devices).await;
    // One by a poll, one by a report, one by some bytes of its download, one of control by a poll.
    are_there(&store, &[devices[0].clone(), devices[4].clone()], 5_000).await;
    let deferred = proven(
        &devices[1],
        rollout,
        report(build.id, ReportStatus::Deferred),
        5_000,
    );
    store.record_reports(vec![deferred]).await.unwrap();
    let bytes = NewDownload {
        sent: tidegate_storage::Fetched::Some,
        ..downloaded(&devices[2], build.id, rollout, 5_000)
    };
    store.record_downloads(vec![bytes]).await.unwrap();
    let blind = BlindTimes::default();
    let found = look(
        &store,
        at_hand(rollout, FIRST(), 0, 6_000),
        &blind,
        GateLooks::default(),
    )
    .await;
    let events = (
        found.lost.short.treated_events(),
        found.lost.short.control_events(),
    );
    assert_eq!(events, (1, 3));
    // Those four are asked about again an hour and a half after they were heard, and no sooner.
    let sooner = look(&store, at_hand(rollout, FIRST(), 0, 10_399), &blind, found).await;
    assert_eq!(sooner, found);
    let later = look(&store, at_hand(rollout, FIRST(), 0, 10_400), &blind, found).await;
    let events = (
        later.lost.short.treated_events(),
        later.lost.short.control_events(),
    );
    assert_eq!(events, (4, 4));
}

async fn blindness_puts_silence_off(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    two_arms(&store, (&build, rollout), &devices).await;
    let mut blind = BlindTimes::default();
    blind.note(true, at(3_600));
    let none = GateLooks::default();
    let during = look(&store, at_hand(rollout, FIRST(), 0, 9_000), &blind, none).await;
    assert_eq!(during, none, "while it is blind nobody is lost");
    blind.note(false, at(10_800));
    // Half an hour of silence is left, by the gate's clock.
    let before = look(&store, at_hand(rollout, FIRST(), 0, 12_599), &blind, none).await;
    assert_eq!(before, none);
    let after = look(&store, at_hand(rollout, FIRST(), 0, 12_600), &blind, none).await;
    let events = (
        after.lost.short.treated_events(),
        after.lost.short.control_events(),
    );
    assert_eq!(events, (4, 4));
}

async fn a_resume_leaves_who_was_silent_before(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    two_arms(&store, (&build, rollout), &devices).await;
    let resumed: Segment = FIRST().next(at(4_000));
    // Two of each arm are heard after it, and fall silent then.
    let heard = [0, 1, 4, 5].map(|number: usize| devices[number].clone());
    are_there(&store, &heard, 4_200).await;
    let blind = BlindTimes::default();
    let found = look(
        &store,
        at_hand(rollout, resumed, 0, 6_000),
        &blind,
        GateLooks::default(),
    )
    .await;
    assert_eq!(found, GateLooks::default(), "what was silent before is no event");
    let arms = observe(&store, at_hand(rollout, resumed, 0, 6_000))
        .await
        .lost_arms;
    assert_eq!(
        (arms.treated, arms.control),
        (0, 0),
        "nobody entered in this segment"
    );
    assert_eq!((arms.treated_at_risk, arms.control_at_risk), (2, 2));
    let later = look(&store, at_hand(rollout, resumed, 0, 9_600), &blind, found).await;
    let mut expected = LostTest::default();
    expected.short.add(Look {
        treated: 2,
        control: 2,
        treated_events: 2,
        control_events: 2,
    });
    assert_eq!(later.lost, expected);
}

async fn whoever_is_gone_leaves(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    two_arms(&store, (&build, rollout), &devices).await;
    let note = |action: &'static str| actor("ann").note(action, "device/x");
    store.revoke(&devices[0], note("device.revoke")).await.unwrap();
    store
        .retire_device(&devices[1], note("device.retire"))
        .await
        .unwrap();
    store
        .erase_device(&devices[4], vec![[1; 32]], note("device.erase"))
        .await
        .unwrap();
    let arms = observe(&store, at_hand(rollout, FIRST(), 0, 100)).await.lost_arms;
    assert_eq!((arms.treated_at_risk, arms.control_at_risk), (2, 3));
    let blind = BlindTimes::default();
    let found = look(
        &store,
        at_hand(rollout, FIRST(), 0, 6_000),
        &blind,
        GateLooks::default(),
    )
    .await;
    let events = (
        found.lost.short.treated_events(),
        found.lost.short.control_events(),
    );
    assert_eq!(events, (2, 3));
}

async fn control_leaves_by_step_and_share(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    two_arms(&store, (&build, rollout), &devices).await;
    let at_risk = async |at| {
        let arms = observe(&store, at).await.lost_arms;
        (arms.treated_at_risk, arms.control_at_risk)
    };
    let now = at_hand(rollout, FIRST(), 0, 100);
    assert_eq!(at_risk(now).await, (4, 4));
    // They stand at 50 %.
    let share = |units| GateAtHand {
        share: Share::new(units).unwrap(),
        ..now
    };
    assert_eq!(at_risk(share(49_999_999)).await, (4, 4));
    assert_eq!(at_risk(share(50_000_000)).await, (4, 0));
    assert_eq!(at_risk(GateAtHand { step: 1, ..now }).await, (4, 0));
    let week = 7 * 86_400;
    assert_eq!(
        at_risk(at_hand(rollout, FIRST(), 0, week - 1)).await.0,
        0,
        "all are lost by then"
    );
    let left = observe(&store, at_hand(rollout, FIRST(), 0, week)).await;
    assert_eq!(
        (left.lost_arms.treated_at_risk, left.lost_arms.control_at_risk),
        (0, 0)
    );
}

async fn crashes_are_counted_once(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    let telling = |seen: Seen, crashes| Seen {
        crashes: Some(crashes),
        ..seen
    };
    poll(&store, vec![control(&devices[7], 0, rollout, 0)]).await;
    let now = at_hand(rollout, FIRST(), 0, 50);
    assert_eq!(observe(&store, now).await.crashing_arms, None, "nobody tells");
    let entries = devices[..7]
        .iter()
        .enumerate()
        .map(|(number, device)| match number {
            0..4 => telling(offered_to(device, 0, (&build, rollout)), 3),
            _ => telling(control(device, 0, rollout, 0), 3),
        });
    poll(&store, entries.collect()).await;
    let more = |number: usize, second, crashes| telling(seen(&devices[number], second, 1), crashes);
    poll(
        &store,
        vec![more(0, 60, 4), more(1, 60, 3), more(4, 61, 9), more(7, 61, 9)],
    )
    .await;
    let blind = BlindTimes::default();
    let found = look(
        &store,
        at_hand(rollout, FIRST(), 0, 70),
        &blind,
        GateLooks::default(),
    )
    .await;
    let mut expected = tidegate_domain::gate::Logrank::default();
    expected.add(Look {
        treated: 4,
        control: 3,
        treated_events: 1,
        control_events: 1,
    });
    assert_eq!(found.crashing, expected);
    poll(&store, vec![more(0, 80, 7), more(4, 81, 11)]).await;
    let again = look(&store, at_hand(rollout, FIRST(), 0, 90), &blind, found).await;
    assert_eq!(again.crashing, expected, "each device counts once");
    let arms = observe(&store, at_hand(rollout, FIRST(), 0, 90))
        .await
        .crashing_arms;
    let arms = arms.unwrap();
    assert_eq!((arms.treated, arms.control), (4, 3));
    assert_eq!((arms.treated_at_risk, arms.control_at_risk), (3, 2));
    // What was told before a resume is no event after it.
    poll(&store, vec![more(2, 100, 5)]).await;
    let resumed = at_hand(rollout, FIRST().next(at(150)), 0, 200);
    assert_eq!(look(&store, resumed, &blind, again).await.crashing, expected);
}

async fn what_control_should_have_polled(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 40).await;
    // Ten treated, eighteen of control that poll often, and twelve that don't.
    let seldom = |seen: Seen| Seen {
        facts: DeviceFacts::default(),
        ..seen
    };
    let entries = devices.iter().enumerate().map(|(number, device)| match number {
        0..10 => offered_to(device, 0, (&build, rollout)),
        10..28 => control(device, 0, rollout, 0),
        _ => seldom(control(device, 0, rollout, 0)),
    });
    poll(&store, entries.collect()).await;
    let young = observe(&store, at_hand(rollout, FIRST(), 0, 3_599)).await;
    assert_eq!(
        young.control_polls,
        (0, 0),
        "they have not been there for an hour"
    );
    are_there(&store, &devices[..15], 4_000).await;
    let found = observe(&store, at_hand(rollout, FIRST(), 0, 5_000)).await;
    assert_eq!(
        found.control_polls,
        (18 + 2, 5),
        "a sixth of those that poll every six hours"
    );
}

async fn members_that_nobody_watches_are_removed(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 8).await;
    two_arms(&store, (&build, rollout), &devices).await;
    let week = 7 * 86_400;
    assert_eq!(store.remove_gate_members(at(week), 3).await, Ok(0));
    assert_eq!(store.remove_gate_members(at(week + 1), 3).await, Ok(6));
    assert_eq!(members(place).len(), 2);
    // Another release ends the rollout.
    gated(&store, 3).await;
    assert_eq!(store.remove_gate_members(at(100), 3).await, Ok(2));
    assert_eq!(members(place), Vec::<String>::new());
    let found = observe(&store, at_hand(rollout, FIRST(), 0, 100)).await;
    assert_eq!(found.steps[0].reached, 4, "the sums stay");
}
