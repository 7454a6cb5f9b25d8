//! Taking a build back.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    a_bad_build_is_offered_to_nobody_any_more,
    a_forced_downgrade_takes_updated_devices_back,
    the_first_build_of_a_package_has_nothing_to_go_back_to,
    a_package_that_released_nothing_has_nothing_to_take_back,
    the_package_must_be_named_when_there_are_several,
    a_second_rollback_goes_one_further,
    a_rollback_that_names_the_bad_build_happens_once,
);

/// An operator, and the ids of this many builds, each promoted to everybody in turn.
async fn after_releases(server: &TestServer, releases: i64) -> (Operator, Vec<i64>) {
    let olga = server.person("olga", Role::Operator);
    let mut builds = vec![];
    for version in 1..=releases {
        let build = olga.uploaded(&apks::build(PACKAGE, version)).await;
        olga.promote(build, 100).await.ok();
        builds.push(build);
    }
    (olga, builds)
}

async fn a_bad_build_is_offered_to_nobody_any_more(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, builds) = after_releases(&server, 2).await;
    let (behind, updated) = (server.device("behind").await, server.device("updated").await);
    assert_eq!(behind.poll(0).await.build(), Some(builds[1]));

    let back = olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(
        back,
        json!({
            "success": true, "force_downgrade": false, "going_on": [],
            "rolled_back_to": { "build_id": builds[0], "version_code": 1, "version_name": "1.1" },
            "rolled_back_from": { "build_id": builds[1], "version_code": 2, "version_name": "1.2" },
        })
    );
    assert_eq!(behind.poll(0).await.build(), Some(builds[0]));
    assert_eq!(updated.poll(2).await.why_not(), "newer_installed");
    let build = olga.build(builds[0]).await.ok();
    assert_eq!(
        (&build["is_current"], &build["rollback_from_build_id"]),
        (&json!(true), &json!(null))
    );
    // What was promoted last goes on telling what it replaced.
    let bad = olga.build(builds[1]).await.ok();
    assert_eq!(
        (
            &bad["is_current"],
            &bad["rollback_from_build_id"],
            &bad["staged_rollout_percent"]
        ),
        (&json!(false), &json!(builds[0]), &json!(100))
    );
}

async fn a_forced_downgrade_takes_updated_devices_back(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, builds) = after_releases(&server, 2).await;
    let updated = server.device("updated").await;
    assert_eq!(olga.roll_back(PACKAGE, true).await.ok()["force_downgrade"], true);
    let manifest = updated.poll(2).await.manifest.unwrap();
    assert_eq!(manifest["build_id"], builds[0]);
    assert_eq!(manifest["force_downgrade"], true);
    // It concerns exactly the devices of the version that is taken back.
    assert_eq!(updated.poll(99).await.why_not(), "newer_installed");
    assert_eq!(updated.poll(1).await.why_not(), "already_current");
}

async fn the_first_build_of_a_package_has_nothing_to_go_back_to(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, builds) = after_releases(&server, 1).await;
    let before = olga.everything().await;
    let problem = olga
        .roll_back(PACKAGE, false)
        .await
        .refused(409, "no_predecessor");
    assert!(problem["detail"].as_str().unwrap().contains(PACKAGE));
    assert_eq!(olga.everything().await, before);
    assert_eq!(
        server.device("pixel-1").await.poll(0).await.build(),
        Some(builds[0])
    );
}

async fn a_package_that_released_nothing_has_nothing_to_take_back(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    olga.roll_back(PACKAGE, false)
        .await
        .refused(409, "no_current_build");
    olga.uploaded(&apks::build(PACKAGE, 1)).await;
    olga.roll_back(PACKAGE, false)
        .await
        .refused(409, "no_current_build");
}

async fn the_package_must_be_named_when_there_are_several(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, builds) = after_releases(&server, 2).await;
    let unnamed = json!({ "force_downgrade": false });
    assert_eq!(
        olga.post("/v1/apk/rollback", &unnamed).await.ok()["rolled_back_to"]["build_id"],
        builds[0]
    );

    let other = olga.uploaded(&apks::build("com.example.other", 1)).await;
    olga.promote(other, 100).await.ok();
    let before = olga.everything().await;
    olga.post("/v1/apk/rollback", &unnamed)
        .await
        .invalid("package_name");
    assert_eq!(olga.everything().await, before);
}

async fn a_second_rollback_goes_one_further(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, builds) = after_releases(&server, 3).await;
    let device = server.device("pixel-1").await;
    for (rolled_back, expected) in [(1, builds[1]), (2, builds[0])] {
        olga.roll_back(PACKAGE, false).await.ok();
        assert_eq!(
            device.poll(0).await.build(),
            Some(expected),
            "after {rolled_back}"
        );
    }
    olga.roll_back(PACKAGE, false)
        .await
        .refused(409, "no_predecessor");
}

async fn a_rollback_that_names_the_bad_build_happens_once(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, builds) = after_releases(&server, 3).await;
    let body = json!({ "build_id": builds[2] });
    let back = olga.post("/v1/apk/rollback", &body).await.ok();
    assert_eq!(back["rolled_back_to"]["build_id"], builds[1]);
    olga.post("/v1/apk/rollback", &body)
        .await
        .refused(409, "not_current");
    assert_eq!(olga.build(builds[1]).await.ok()["is_current"], true);
    assert_eq!(olga.audit("?action=ota.rollback").await.len(), 1);
}
