//! What devices say they did, and what the server makes of it.

use chrono::TimeDelta;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    reports_raise_the_stats_and_twice_the_same_counts_once,
    reports_at_once_are_all_counted,
    a_device_that_cannot_install_a_build_is_left_alone,
    a_device_that_fails_again_and_again_rests_for_a_day,
    a_device_page_tells_its_story_with_a_build,
    a_report_must_make_sense,
    a_device_that_waited_for_ever_is_heard_when_it_installs,
);

async fn released(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    (server, olga, build)
}

async fn reports_raise_the_stats_and_twice_the_same_counts_once(engine: Engine) {
    let (server, olga, build) = released(engine).await;
    let devices = crate::fleet::enroll(&server, 4, 1).await;
    for device in &devices {
        assert_eq!(device.poll(1).await.build(), Some(build));
    }
    let life = [
        (0, "downloaded"),
        (0, "install_success"),
        (1, "downloaded"),
        (1, "install_failed"),
        (2, "verify_failed"),
        (3, "deferred"),
    ];
    for _ in 0..2 {
        for (device, status) in life {
            let answer = devices[device].report(build, status).await.ok();
            assert_eq!(
                answer,
                json!({ "success": true, "build_id": build, "status": status })
            );
        }
    }
    let stats = eventually(|| olga.stats(build), |stats| stats["total_checks"] == 4).await;
    assert_eq!(stats["total_eligible"], 4);
    assert_eq!(stats["total_downloads"], 2);
    assert_eq!(stats["installs_success"], 1);
    assert_eq!(stats["installs_failed"], 1);
    assert_eq!(stats["verify_failed"], 1);
    assert_eq!(stats["adoption_rate"], 25.0);
    assert_eq!(
        (&stats["package_name"], &stats["version_name"]),
        (&json!(PACKAGE), &json!("1.2"))
    );
    let hours = stats["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 1, "{stats}");
    assert_eq!(hours[0]["hour"], "2026-11-23T12:00:00Z");
    assert_eq!(
        (&hours[0]["downloads"], &hours[0]["checks"]),
        (&json!(2), &json!(4))
    );

    // The same device with another try is no second device.
    let again = json!({ "build_id": build, "status": "install_failed", "attempt": 1, "request_id": "try-2" });
    devices[1].report_as(&again).await.ok();
    assert_eq!(olga.stats(build).await["installs_failed"], 1);
}

async fn reports_at_once_are_all_counted(engine: Engine) {
    let (server, olga, build) = released(engine).await;
    let devices = crate::fleet::enroll(&server, 30, 1).await;
    crate::fleet::poll(&devices, 1).await;
    let twice = devices
        .iter()
        .chain(&devices)
        .map(|device| device.report(build, "install_success"));
    for answer in futures::future::join_all(twice).await {
        answer.ok();
    }
    assert_eq!(olga.stats(build).await["installs_success"], 30);
}

async fn a_device_that_cannot_install_a_build_is_left_alone(engine: Engine) {
    let (server, olga, build) = released(engine).await;
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let conflict = json!({
        "build_id": build, "status": "install_failed", "reason": "install_conflict", "android_status": 5,
        "message": "INSTALL_FAILED_UPDATE_INCOMPATIBLE", "attempt": 1, "request_id": "try-1",
    });
    device.report_as(&conflict).await.ok();
    assert_eq!(device.poll(1).await.why_not(), "rejected_by_device");

    // Released once more it stays away, until the operator asks for another try.
    let again = json!({ "rollout_percent": 100, "retry_failed": true });
    olga.promote(build, 100).await.ok();
    assert_eq!(device.poll(1).await.why_not(), "rejected_by_device");
    olga.promote_as(build, &again).await.ok();
    let manifest = device.poll(1).await.manifest.unwrap();
    assert_eq!(
        (&manifest["build_id"], &manifest["attempt"]),
        (&json!(build), &json!(2))
    );
}

async fn a_device_that_fails_again_and_again_rests_for_a_day(engine: Engine) {
    let (server, _, build) = released(engine).await;
    let device = server.device("pixel-1").await;
    for number in 1..=3 {
        assert_eq!(
            device.poll(1).await.build(),
            Some(build),
            "before failure {number}"
        );
        let full = json!({
            "build_id": build, "status": "install_failed", "reason": "no_space", "android_status": 6,
            "request_id": format!("try-{number}"),
        });
        device.report_as(&full).await.ok();
    }
    assert_eq!(device.poll(1).await.why_not(), "rejected_by_device");
    server.clock().advance(TimeDelta::hours(23));
    assert_eq!(device.poll(1).await.why_not(), "rejected_by_device");
    server.clock().advance(TimeDelta::hours(2));
    assert_eq!(device.poll(1).await.build(), Some(build));
}

async fn a_device_page_tells_its_story_with_a_build(engine: Engine) {
    let (server, olga, build) = released(engine).await;
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    device.report(build, "downloaded").await.ok();
    let refused = json!({ "build_id": build, "status": "install_failed", "reason": "install_invalid", "android_status": 4 });
    device.report_as(&refused).await.ok();
    let seen = |page: &serde_json::Value| page["last_seen_at"].is_string();
    let page = eventually(|| async { olga.device("pixel-1").await.ok() }, seen).await;
    let story = &page["builds"][0];
    assert_eq!(
        (&story["build_id"], &story["version_code"]),
        (&json!(build), &json!(2))
    );
    assert!(
        story["downloaded_at"].is_string() && story["install_failed_at"].is_string(),
        "{page}"
    );
    assert!(story["installed_at"].is_null(), "{page}");
    assert_eq!(story["last_status"], "install_failed");
    assert_eq!(story["last_reason"], "install_invalid");
    assert_eq!(
        (&story["rejected"], &story["rejected_until"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(
        page["installed"],
        json!([{ "package_name": PACKAGE, "version_code": 1 }])
    );
    assert!(story["offered_at"].is_string(), "{page}");
}

async fn a_report_must_make_sense(engine: Engine) {
    let (server, olga, build) = released(engine).await;
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let before = eventually(|| olga.stats(build), |stats| stats["total_checks"] == 1).await;
    let report = |status: &str, name: &str, value: serde_json::Value| {
        let mut report = json!({ "build_id": build, "status": status });
        report[name] = value;
        report
    };
    let bad = [
        ("status", report("exploded", "reason", json!("boom"))),
        ("status", json!({ "build_id": build })),
        ("reason", report("deferred", "reason", json!("x".repeat(65)))),
        (
            "message",
            report("install_failed", "message", json!("x".repeat(1025))),
        ),
        (
            "request_id",
            report("deferred", "request_id", json!("x".repeat(65))),
        ),
        ("attempt", report("deferred", "attempt", json!(-1))),
        (
            "android_status",
            report("install_failed", "android_status", json!(1_i64 << 40)),
        ),
        ("attempt", report("deferred", "attempt", json!(4_294_967_295_u32))),
        ("build_id", json!({ "build_id": "two", "status": "downloaded" })),
    ];
    for (field, report) in bad {
        device.report_as(&report).await.invalid(field);
    }
    device
        .report(build + 1000, "downloaded")
        .await
        .refused(404, "unknown_build");
    assert_eq!(olga.stats(build).await, before);
    // Agents may say more than is known here.
    let more = report("downloaded", "battery", json!(7));
    device.report_as(&more).await.ok();
}

/// However often it was put off before; what is refused is refused for good, which lets a device go on.
async fn a_device_that_waited_for_ever_is_heard_when_it_installs(engine: Engine) {
    let (server, olga, build) = released(engine).await;
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let wait = |number: i64| {
        let reason = ["battery_low", "in_call"][usize::from(number % 2 == 0)];
        let id = format!("wait-{number}");
        json!({ "build_id": build, "status": "deferred", "reason": reason, "request_id": id })
    };
    let waits: Vec<_> = (0..i64::from(tidegate_domain::MAX_REPORTS_PER_BUILD))
        .map(wait)
        .collect();
    for answer in futures::future::join_all(waits.iter().map(|wait| device.report_as(wait))).await {
        answer.ok();
    }
    let once_more = device.report_as(&wait(1_000)).await;
    once_more.refused(409, "too_many_reports");
    for status in ["downloaded", "install_failed", "install_success"] {
        device.report(build, status).await.ok();
    }
    let stats = olga.stats(build).await;
    assert_eq!(
        (
            &stats["installs_success"],
            &stats["installs_failed"],
            &stats["total_downloads"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    let page = olga.device("pixel-1").await.ok();
    assert_eq!(page["installed"][0]["version_code"], 2, "{page}");
}
