//! What was acknowledged outlives the server, however it ends.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    a_crash_loses_nothing_that_was_acknowledged,
    poll_counters_are_written_when_the_server_ends,
    a_request_under_way_is_finished_before_the_server_ends,
);

async fn a_crash_loses_nothing_that_was_acknowledged(engine: Engine) {
    let mut server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let apk = apks::build(PACKAGE, 2);
    let build = ada.uploaded(&apk).await;
    ada.promote(build, 100).await.ok();
    let devices = crate::fleet::enroll(&server, 20, 1).await;
    crate::fleet::poll(&devices, 1).await;
    let reports = devices
        .iter()
        .map(|device| device.report(build, "install_success"));
    for answer in futures::future::join_all(reports).await {
        answer.ok();
    }
    let gives_up = json!({ "build_id": build, "status": "install_failed", "android_status": 7 });
    devices[0].report_as(&gives_up).await.ok();
    ada.revoke(&devices[1].id).await.ok();
    let before = ada.everything().await;
    server.crash();

    server.start_again().await;
    let ada = server.person("ada", Role::Admin);
    assert_eq!(ada.everything().await, before);
    assert!(ada.audit_is_intact().await);
    let stats = ada.stats(build).await;
    assert_eq!(
        (&stats["installs_success"], &stats["installs_failed"]),
        (&json!(20), &json!(1))
    );
    assert_eq!(devices[0].poll(1).await.why_not(), "rejected_by_device");
    devices[1].ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
    let manifest = devices[2].poll(1).await.manifest.unwrap();
    assert_eq!(devices[2].download(&manifest, None).await.body, apk);
}

async fn poll_counters_are_written_when_the_server_ends(engine: Engine) {
    let mut server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let devices = crate::fleet::enroll(&server, 15, 1).await;
    for _ in 0..3 {
        crate::fleet::poll(&devices, 1).await;
    }
    let manifest = devices[0].poll(1).await.manifest.unwrap();
    devices[0].download(&manifest, None).await;
    server.stop().await;

    server.start_again().await;
    let olga = server.person("olga", Role::Operator);
    let stats = olga.stats(build).await;
    assert_eq!(
        (&stats["total_checks"], &stats["total_eligible"]),
        (&json!(46), &json!(15)),
        "{stats}"
    );
    assert_eq!(stats["total_downloads"], 1);
    assert!(olga.device(&devices[3].id).await.ok()["last_seen_at"].is_string());
}

async fn a_request_under_way_is_finished_before_the_server_ends(engine: Engine) {
    let mut server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let apk = apks::large(PACKAGE, 2, 16 << 20);
    let build = olga.uploaded(&apk).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    let manifest = device.poll(1).await.manifest.unwrap();
    let mut under_way = server
        .http()
        .get(tidegate_testkit::agent::download_url(&manifest))
        .send()
        .await
        .unwrap();
    let (_, file) = futures::join!(server.stop(), async {
        let mut file = vec![];
        while let Some(bytes) = under_way.chunk().await.unwrap() {
            file.extend_from_slice(&bytes);
        }
        file
    });
    assert_eq!(file, apk);
    server.start_again().await;
    assert_eq!(
        server.person("olga", Role::Operator).stats(build).await["total_downloads"],
        1
    );
}
