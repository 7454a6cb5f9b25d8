//! Who changed what.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    every_change_is_there_with_its_author,
    an_entry_says_what_was_before_and_after,
    entries_are_found_by_author_action_target_and_time,
    refusals_and_looks_leave_no_entry,
);

async fn every_change_is_there_with_its_author(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, ada) = (
        server.person("olga", Role::Operator),
        server.person("ada", Role::Admin),
    );
    let old = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    olga.promote(old, 100).await.ok();
    let new = ada.uploaded(&apks::build(PACKAGE, 2)).await;
    ada.promote(new, 10).await.ok();
    olga.adjust(new, 20).await.ok();
    olga.pause(new).await.ok();
    olga.resume(new).await.ok();
    olga.roll_back(PACKAGE, false).await.ok();
    let token = ada.enroll_token(1).await;
    server.enroll(&token, "pixel-1").await;
    ada.revoke("pixel-1").await.ok();
    server
        .add_user("vera", Role::Viewer, "correct horse battery")
        .await;

    let log = ada.audit("").await;
    let told: Vec<_> = log
        .iter()
        .rev()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap();
            (text("actor"), text("role"), text("action"), text("target"))
        })
        .filter(|(_, _, action, _)| *action != "device.enroll")
        .collect();
    let package = "package/com.example.app";
    assert_eq!(
        told,
        [
            ("olga", "operator", "ota.upload", package),
            ("olga", "operator", "ota.promote", package),
            ("ada", "admin", "ota.upload", package),
            ("ada", "admin", "ota.promote", package),
            ("olga", "operator", "ota.rollout.adjust", package),
            ("olga", "operator", "ota.rollout.pause", package),
            ("olga", "operator", "ota.rollout.resume", package),
            ("olga", "operator", "ota.rollback", package),
            ("ada", "admin", "enrollment_token.create", "enrollment_token/1"),
            ("ada", "admin", "device.revoke", "device/pixel-1"),
            ("console", "admin", "user.add", "user/vera"),
        ]
    );
    let verified = ada.get("/v1/audit/verify").await.ok();
    assert_eq!(
        (&verified["intact"], &verified["entries"]),
        (&json!(true), &json!(log.len()))
    );
    assert!(
        !serde_json::to_string(&log).unwrap().contains(&token),
        "no secret in the log"
    );
}

async fn an_entry_says_what_was_before_and_after(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    olga.promote(build, 10).await.ok();
    let request = olga
        .request(reqwest::Method::POST, &format!("/v1/apk/{build}/rollout"))
        .header("x-request-id", "release-train-7")
        .json(&json!({ "rollout_percent": 40 }));
    let answer = Answer::to(request).await;
    assert_eq!(answer.header("x-request-id"), "release-train-7");

    let entry = &olga.audit("?page_size=1").await[0];
    assert_eq!(entry["request_id"], "release-train-7");
    assert_eq!(entry["before"]["percent"], 10, "{entry}");
    assert_eq!(entry["after"]["percent"], 40, "{entry}");
    assert_eq!(entry["after"]["build_id"], build, "{entry}");
    assert!(
        entry["at"].as_str().unwrap().starts_with("2026-11-23T12:00:0"),
        "{entry}"
    );
    let (seq, hash) = (entry["seq"].as_i64().unwrap(), entry["hash"].as_str().unwrap());
    assert_eq!((seq, hash.len()), (3, 64));
    let first = &olga.audit("?action=ota.promote").await[0];
    assert!(first["before"].is_null(), "{first}");
}

async fn entries_are_found_by_author_action_target_and_time(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, oscar) = (
        server.person("olga", Role::Operator),
        server.person("oscar", Role::Operator),
    );
    olga.uploaded(&apks::build(PACKAGE, 1)).await;
    server.clock().advance(chrono::TimeDelta::hours(2));
    let other = oscar.uploaded(&apks::build("com.example.other", 1)).await;
    oscar.promote(other, 100).await.ok();
    let counts = [
        ("", 3),
        ("?actor=olga", 1),
        ("?actor=nobody", 0),
        ("?action=ota.upload", 2),
        ("?target=package/com.example.other", 2),
        ("?actor=oscar&action=ota.upload", 1),
        ("?from=2026-11-23T13:00:00Z", 2),
        ("?to=2026-11-23T13:00:00Z", 1),
        ("?page_size=2", 2),
    ];
    for (query, count) in counts {
        assert_eq!(olga.audit(query).await.len(), count, "{query}");
    }
    olga.get("/v1/audit?from=yesterday").await.invalid("from");
    let first = olga.get("/v1/audit?page_size=2").await.ok();
    let next = first["next_page_token"].as_str().unwrap();
    assert_eq!(
        olga.audit(&format!("?page_size=2&page_token={next}")).await.len(),
        1
    );
}

async fn refusals_and_looks_leave_no_entry(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, viewer) = (
        server.person("olga", Role::Operator),
        server.operator(Role::Viewer),
    );
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let before = olga.everything().await;
    viewer.promote(build, 10).await.refused(403, "role_too_low");
    olga.promote(build, 0).await.invalid("rollout_percent");
    olga.adjust(build, 10).await.refused(409, "not_serving");
    olga.upload(b"not an apk").await.refused(422, "not_an_apk");
    viewer.builds("").await.ok();
    assert_eq!(olga.everything().await, before);
}
