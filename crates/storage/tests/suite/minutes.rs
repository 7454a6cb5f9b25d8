//! What charts are drawn from: the last day by the minute, what gates have read, and what happened to rollouts.

use tidegate_domain::gate::{GateSettings, OnHalt, e_good};
use tidegate_domain::{RolloutState, Track};
use tidegate_storage::{MAX_GATE_READINGS, Store};

use crate::gate_judgement::{counts, look, released, show};
use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    self, APP, actor, at, by, device, enroll_many, offered, package, poll, promote, promotion, release,
    rollout_of, upload,
};

on_both_engines!(
    a_minute_remembers_its_last_census_for_a_day,
    builds_that_serve_are_noted_each_minute,
    a_gate_leaves_its_last_reading_of_each_minute,
    many_readings_are_thinned_out_and_old_ones_go,
    what_happened_to_a_package_is_told_newest_first,
);

const DAY: i64 = 24 * 3_600;

async fn note(store: &Store, second: i64) {
    let census = store.census(at(0)).await.unwrap();
    store.record_census(census, at(second)).await.unwrap();
}

async fn a_minute_remembers_its_last_census_for_a_day(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    enroll_many(&store, 2).await;
    let seen = async |name: &str, second, runs| {
        poll(&store, vec![samples::seen(&device(name), second, runs)]).await;
    };
    seen("d-0000", 10, 1).await;
    note(&store, 60).await;
    seen("d-0000", 70, 2).await;
    seen("d-0001", 70, 2).await;
    note(&store, 119).await;
    seen("d-0001", 121, 3).await;
    note(&store, 130).await;
    let told = async |from| {
        let minutes = store.version_minutes(&package(APP), at(from)).await.unwrap();
        let told = minutes
            .iter()
            .map(|m| (m.minute, m.version.map(|v| v.get()), m.devices));
        told.collect::<Vec<_>>()
    };
    let last = [(at(120), Some(2), 1), (at(120), Some(3), 1)];
    assert_eq!(told(0).await, [&[(at(60), Some(2), 2)][..], &last].concat());
    assert_eq!(told(61).await, last, "from then on");
    note(&store, DAY + 3_600 + 61).await;
    let kept: Vec<_> = told(0).await.into_iter().map(|(minute, ..)| minute).collect();
    assert_eq!(
        kept[..2],
        [at(120), at(120)],
        "the first minute is gone after 25 hours"
    );
}

async fn builds_that_serve_are_noted_each_minute(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let idle = upload(&store, APP, 3).await;
    let devices = enroll_many(&store, 2).await;
    note(&store, 0).await;
    poll(&store, vec![offered(&devices[0], 61, rollout, build.id)]).await;
    note(&store, 62).await;
    poll(&store, vec![offered(&devices[1], 63, rollout, build.id)]).await;
    note(&store, 64).await;
    let minutes = store.build_minutes(build.id, at(0)).await.unwrap();
    let told: Vec<_> = minutes
        .iter()
        .map(|m| (m.minute, m.eligible, m.installed))
        .collect();
    assert_eq!(told, [(at(0), 0, 0), (at(60), 2, 0)]);
    assert_eq!(store.build_minutes(idle.id, at(0)).await.unwrap(), []);
    let rows = "SELECT count(*) AS value FROM build_minutes";
    assert_eq!(place.number(rows), 2, "nobody is offered the other one");
    note(&store, 2 * DAY).await;
    assert_eq!(
        place.number(rows),
        1,
        "and a day later only the last minute is left"
    );
}

async fn a_gate_leaves_its_last_reading_of_each_minute(place: &Place) {
    let store = place.store().await;
    let rollout = released(&store, OnHalt::Hold).await;
    show(&store, rollout, vec![counts(100, 1, 20)]).await;
    assert_eq!(look(&store, 60).await, None);
    show(&store, rollout, vec![counts(200, 1, 90)]).await;
    assert_eq!(look(&store, 90).await, None);
    assert_eq!(look(&store, 150).await, None, "nothing new");
    show(&store, rollout, vec![counts(200, 40, 90)]).await;
    let halted = look(&store, 200).await.unwrap();
    let readings = store.gate_readings(rollout).await.unwrap();
    let minutes: Vec<_> = readings.iter().map(|reading| reading.minute).collect();
    assert_eq!(
        minutes,
        [at(60), at(180)],
        "one a minute, and none where nothing was new"
    );
    let (calm, bad) = (readings[0], readings[1]);
    let good = e_good(91, 1, GateSettings::default().failed_percent).ln();
    let is_last = calm.good.is_some_and(|told| (told - good).abs() < 0.001);
    assert!(calm.failed < 0.0 && is_last, "{calm:?} {good}");
    let read = halted.reading.failed.ln_e.ln();
    assert!(
        bad.failed > 100_f64.ln() && (bad.failed - read).abs() < 0.001,
        "{bad:?} {read}"
    );
    assert_eq!(
        (bad.lost.is_some(), bad.crashing),
        (true, None),
        "no agent tells of crashes"
    );
}

async fn many_readings_are_thinned_out_and_old_ones_go(place: &Place) {
    let store = place.store().await;
    let rollout = released(&store, OnHalt::Hold).await;
    let begin = at(0).timestamp_micros();
    place
        .execute(&format!(
            "INSERT INTO gate_readings (rollout_id, minute_at, failed, corrupt)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {MAX_GATE_READINGS})
             SELECT {rollout}, {begin} - n * CAST(60000000 AS BIGINT), 7, 7 FROM n"
        ))
        .unwrap();
    let kept = async || store.gate_readings(rollout).await.unwrap();
    assert_eq!(kept().await.len(), MAX_GATE_READINGS);
    show(&store, rollout, vec![counts(100, 1, 20)]).await;
    look(&store, 60).await;
    let half = kept().await;
    assert_eq!(half.len(), MAX_GATE_READINGS / 2 + 1);
    let oldest = at(-60 * i64::try_from(MAX_GATE_READINGS).unwrap());
    assert_eq!(
        (half[0].minute, half[half.len() - 1].minute),
        (oldest, at(60)),
        "both ends stay"
    );
    assert_eq!(store.remove_stat_hours(at(0), 100).await, Ok(100));
    assert_eq!(store.remove_stat_hours(at(0), 1_000).await, Ok(150));
    assert_eq!(kept().await.len(), 1);
}

async fn what_happened_to_a_package_is_told_newest_first(place: &Place) {
    let store = place.store().await;
    let (old, new) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    let other = upload(&store, "com.example.other", 1).await;
    promote(&store, &old, promotion(100)).await;
    promote(&store, &other, promotion(100)).await;
    let rollout = rollout_of(&promote(&store, &new, promotion(10)).await);
    let begun = store.package_events(&package(APP), None, at(0)).await.unwrap();
    let begun: Vec<_> = begun.iter().map(|of| (of.rollout, of.begins)).collect();
    assert!(begun.contains(&(rollout, true)), "{begun:?}");
    let first = begun.iter().filter(|(_, begins)| *begins).count();
    assert_eq!(
        first, 2,
        "who is superseded is told too, and began before: {begun:?}"
    );
    let pause = move |track: &Track, _: &_| track.pause(rollout, by());
    store
        .change_track(package(APP), actor("ann"), pause)
        .await
        .unwrap();
    let told = async |build, from| {
        let events = store
            .package_events(&package(APP), build, at(from))
            .await
            .unwrap();
        let told = events
            .into_iter()
            .map(|of| (of.build, of.event.action, of.event.state));
        told.collect::<Vec<_>>()
    };
    let promoted = |build| (build, "ota.promote".to_owned(), RolloutState::Active);
    let paused = (new.id, "ota.rollout.pause".to_owned(), RolloutState::Paused);
    let all = told(None, 0).await;
    assert_eq!(all[..2], [paused.clone(), promoted(new.id)]);
    assert!(all[2..].contains(&promoted(old.id)), "{all:?}");
    assert!(all.iter().all(|(build, ..)| *build != other.id), "{all:?}");
    assert_eq!(told(Some(new.id), 0).await, [paused, promoted(new.id)]);
    assert_eq!(told(None, 1).await, []);
}
