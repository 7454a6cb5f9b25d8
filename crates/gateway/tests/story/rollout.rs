//! Releasing a build to a growing share of the fleet.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::fleet;

on_both_engines!(
    a_promotion_in_the_place_of_another_build_than_was_seen_is_refused,
    a_build_goes_to_a_tenth_then_to_half_and_is_taken_back,
    promoting_answers_as_it_always_did,
    a_repeated_promotion_changes_nothing,
    the_previous_build_serves_the_others_when_it_is_kept,
    a_paused_rollout_offers_nothing_until_it_is_resumed,
    a_lowered_share_ends_new_offers,
    a_salt_meets_other_devices_first,
    of_promotions_at_once_one_is_current,
);

const FLEET: usize = 1000;

/// The whole of it, as an operator lives it.
async fn a_build_goes_to_a_tenth_then_to_half_and_is_taken_back(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let (old_apk, new_apk) = (apks::build(PACKAGE, 1), apks::large(PACKAGE, 2, 300_000));
    let old = olga.uploaded(&old_apk).await;
    let new = olga.uploaded(&new_apk).await;
    olga.promote(old, 100).await.ok();
    let devices = fleet::enroll(&server, FLEET, 1).await;
    assert!(
        fleet::offered(&devices, 1, old, "already_current")
            .await
            .is_empty()
    );

    olga.promote(new, 10).await.ok();
    let tenth = fleet::offered(&devices, 1, new, "not_in_cohort").await;
    println!(
        "{engine:?}: {} of {FLEET} polls were answered with 200 at 10 %",
        tenth.len()
    );
    assert!((80..=120).contains(&tenth.len()), "{}", tenth.len());
    assert_eq!(tenth, fleet::cohort(&devices, 10));

    olga.adjust(new, 50).await.ok();
    let half = fleet::offered(&devices, 1, new, "not_in_cohort").await;
    assert_eq!(half, fleet::cohort(&devices, 50));
    assert!(half.is_superset(&tenth));

    // One of them fetches it, is cut off on the way, goes on, and has what was uploaded.
    let first = devices.iter().find(|device| tenth.contains(&device.id)).unwrap();
    let manifest = first.poll(1).await.manifest.unwrap();
    let begin = first.download(&manifest, Some("bytes=0-99999")).await;
    let rest = first.download(&manifest, Some("bytes=100000-")).await;
    assert_eq!((begin.status, rest.status), (206, 206));
    let file = [begin.body, rest.body].concat();
    assert_eq!(hex(&Sha256::digest(&file)), manifest["sha256"]);
    assert_eq!(file, new_apk);

    first.report(new, "downloaded").await.ok();
    first.report(new, "install_success").await.ok();
    let second = devices.iter().rfind(|device| tenth.contains(&device.id)).unwrap();
    for _ in 0..2 {
        second.report(new, "install_failed").await.ok();
    }
    let polls = i64::try_from(2 * FLEET).unwrap() + 1;
    let stats = eventually(|| olga.stats(new), |stats: &Value| stats["total_checks"] == polls).await;
    assert_eq!(stats["total_eligible"], half.len());
    assert_eq!(stats["total_downloads"], 1);
    assert_eq!(
        (&stats["installs_success"], &stats["installs_failed"]),
        (&json!(1), &json!(1))
    );

    let back = olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(back["rolled_back_to"]["build_id"], old);
    assert_eq!(back["rolled_back_from"]["build_id"], new);
    assert!(
        fleet::offered(&devices, 1, old, "already_current")
            .await
            .is_empty()
    );
    // Those that have it are left alone.
    assert_eq!(first.poll(2).await.why_not(), "newer_installed");

    let log = olga.audit("?actor=olga").await;
    let actions: Vec<_> = log
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let changes = [
        "ota.upload",
        "ota.upload",
        "ota.promote",
        "ota.promote",
        "ota.rollout.adjust",
        "ota.rollback",
    ];
    assert_eq!(actions, changes);
    assert!(olga.audit_is_intact().await);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn promoting_answers_as_it_always_did(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let old = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = olga.uploaded(&apks::build(PACKAGE, 2)).await;

    let first = olga.promote(old, 100).await.ok();
    assert_eq!(first["success"], true);
    assert!(first["previous_build_id"].is_null());
    let settings = json!({ "rollout_percent": 10, "wifi_only": true, "must_install": true });
    assert_eq!(
        olga.promote_as(new, &settings).await.ok(),
        json!({
            "success": true, "build_id": new, "version_code": 2, "staged_rollout_percent": 10,
            "previous_build_id": old, "rollout_percent": 10, "going_on": [], "rollout_id": 2, "state": "active",
        })
    );
    assert_eq!(
        olga.adjust(new, 25).await.ok(),
        json!({ "success": true, "build_id": new, "old_percent": 10, "new_percent": 25, "waits": false })
    );

    let build = olga.build(new).await.ok();
    assert_eq!(build["is_current"], true);
    assert_eq!(build["staged_rollout_percent"], 25);
    assert_eq!(build["promoted_by"], "olga");
    assert_eq!(olga.build(old).await.ok()["is_current"], false);
    let rollouts = olga.rollouts(&format!("?package_name={PACKAGE}")).await.ok();
    let states: Vec<_> = rollouts["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rollout| &rollout["state"])
        .collect();
    assert_eq!(states, ["active", "superseded"]);
}

async fn a_repeated_promotion_changes_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let old = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(old, 100).await.ok();
    let first = olga.promote(new, 10).await.ok();
    let before = olga.everything().await;
    assert_eq!(olga.promote(new, 10).await.ok(), first);
    assert_eq!(olga.everything().await, before);
}

async fn the_previous_build_serves_the_others_when_it_is_kept(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let old = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let new = olga.uploaded(&apks::build(PACKAGE, 3)).await;
    let devices = fleet::enroll(&server, 40, 1).await;
    olga.promote(old, 100).await.ok();
    olga.promote_as(new, &json!({ "rollout_percent": 30, "keep_previous": true }))
        .await
        .ok();

    let chosen = fleet::cohort(&devices, 30);
    assert!(!chosen.is_empty() && chosen.len() < devices.len());
    for (device, polled) in fleet::poll(&devices, 1).await {
        let expected = if chosen.contains(&device.id) { new } else { old };
        assert_eq!(polled.build(), Some(expected), "{}", device.id);
    }

    // The same without it: who is not chosen is offered nothing.
    olga.promote_as(new, &json!({ "rollout_percent": 30 })).await.ok();
    assert_eq!(fleet::offered(&devices, 1, new, "not_in_cohort").await, chosen);
}

async fn a_paused_rollout_offers_nothing_until_it_is_resumed(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    assert_eq!(device.poll(1).await.build(), Some(build));

    let paused = olga.pause(build).await.ok();
    assert_eq!(
        paused,
        json!({ "success": true, "build_id": build, "state": "paused" })
    );
    assert_eq!(device.poll(1).await.why_not(), "paused");
    olga.pause(build).await.ok();

    assert_eq!(olga.resume(build).await.ok()["state"], "active");
    assert_eq!(device.poll(1).await.build(), Some(build));
    let log = olga.audit("").await;
    let held = log
        .iter()
        .filter(|entry| entry["action"] == "ota.rollout.pause")
        .count();
    assert_eq!(held, 1, "pausing twice is one change: {log:?}");
}

async fn a_lowered_share_ends_new_offers(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let devices = fleet::enroll(&server, 40, 1).await;
    olga.promote(build, 100).await.ok();
    assert_eq!(fleet::offered(&devices, 1, build, "").await.len(), devices.len());
    olga.adjust(build, 20).await.ok();
    let left = fleet::offered(&devices, 1, build, "not_in_cohort").await;
    assert_eq!(left, fleet::cohort(&devices, 20));
}

async fn a_salt_meets_other_devices_first(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let devices = fleet::enroll(&server, 60, 1).await;
    olga.promote_as(build, &json!({ "rollout_percent": 30, "salt": "spring" }))
        .await
        .ok();
    let salted = fleet::offered(&devices, 1, build, "not_in_cohort").await;
    assert!(!salted.is_empty());
    // Agents that judge the share themselves know no salt.
    let chosen = devices.iter().find(|device| salted.contains(&device.id)).unwrap();
    assert_eq!(
        chosen.poll(1).await.manifest.unwrap()["staged_rollout_percent"],
        100
    );
    assert_ne!(salted, fleet::cohort(&devices, 30));
}

async fn of_promotions_at_once_one_is_current(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let mut builds = vec![];
    for version in 1..=6 {
        builds.push(olga.uploaded(&apks::build(PACKAGE, version)).await);
    }
    let promotions = builds.iter().map(|&build| olga.promote(build, 100));
    for answer in futures::future::join_all(promotions).await {
        answer.ok();
    }
    let items = olga.builds("").await.ok()["items"].clone();
    let current: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .filter(|build| build["is_current"] == true)
        .collect();
    assert_eq!(current.len(), 1, "{items}");
    let device = server.device("pixel-1").await;
    assert_eq!(device.poll(0).await.build(), current[0]["build_id"].as_i64());
    assert!(olga.audit_is_intact().await);
}

async fn a_promotion_in_the_place_of_another_build_than_was_seen_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let mut builds = Vec::new();
    for version in 1..=3 {
        builds.push(olga.uploaded(&apks::build(PACKAGE, version)).await);
    }
    let promote = |build: i64, seen: i64| {
        let body = json!({ "rollout_percent": 10, "current_build_id": seen });
        let place = format!("/v1/apk/{build}/promote");
        let olga = &olga;
        async move { olga.post(&place, &body).await }
    };
    promote(builds[0], builds[1]).await.refused(409, "not_current");
    olga.promote(builds[0], 100).await.ok();
    promote(builds[1], builds[0]).await.ok();
    // Somebody who still looks at the first one.
    promote(builds[2], builds[0]).await.refused(409, "not_current");
    assert_eq!(olga.build(builds[1]).await.ok()["is_current"], true);
    // The answer was lost and the request is sent again.
    assert_eq!(
        promote(builds[1], builds[0]).await.ok()["previous_build_id"],
        builds[0]
    );
}
