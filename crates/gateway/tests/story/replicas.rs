//! Two servers over one PostgreSQL: what one is told, the other knows within a second.

use std::time::Duration;

use serde_json::json;
use tidegate_domain::Role;
use tidegate_service::background::CATCH_UP_EVERY;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

/// Two servers, and the second one's address.
async fn two_servers() -> (TestServer, TestServer, String) {
    let first = TestServer::start(Engine::Postgres).await;
    let second = first.replica().await;
    let address = second.url("");
    (first, second, address)
}

/// The promise of a second leaves room for the reading itself.
#[test]
fn a_server_asks_more_than_once_a_second() {
    assert!(CATCH_UP_EVERY <= Duration::from_millis(500));
}

#[tokio::test]
async fn a_promotion_on_one_is_seen_by_the_other() {
    let (first, _second, second_address) = two_servers().await;
    let olga = first.person("olga", Role::Operator);
    let here = first.device("pixel-1").await;
    let there = here.at(&second_address);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    assert_eq!(there.poll(1).await.why_not(), "no_current_build");
    olga.promote(build, 100).await.ok();
    assert_eq!(
        here.poll(1).await.build(),
        Some(build),
        "at once where it was told"
    );
    let polled = eventually(|| there.poll(1), |polled| polled.build() == Some(build)).await;
    let manifest = polled.manifest.unwrap();
    assert!(
        manifest["download_url"]
            .as_str()
            .unwrap()
            .starts_with(&second_address)
    );
    let file = there.download(&manifest, None).await;
    assert_eq!(file.status, 200);

    olga.pause(build).await.ok();
    eventually(|| there.poll(1), |polled| polled.why_not() == "paused").await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_both() {
    let (first, _second, second_address) = two_servers().await;
    let admin = first.operator(Role::Admin);
    let here = first.device("pixel-1").await;
    let there = here.at(&second_address);
    there.poll(1).await;
    admin.revoke("pixel-1").await.ok();
    here.ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
    let refused = eventually(|| there.ask(PACKAGE, 1, ""), |answer| answer.status == 401).await;
    refused.refused(401, "token_revoked");
}

#[tokio::test]
async fn a_build_that_a_device_gave_up_at_one_is_not_offered_by_the_other() {
    let (first, _second, second_address) = two_servers().await;
    let olga = first.person("olga", Role::Operator);
    let here = first.device("pixel-1").await;
    let there = here.at(&second_address);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    eventually(|| there.poll(1), |polled| polled.build() == Some(build)).await;
    let invalid = json!({ "build_id": build, "status": "install_failed", "android_status": 4 });
    here.report_as(&invalid).await.ok();
    eventually(
        || there.poll(1),
        |polled| polled.why_not() == "rejected_by_device",
    )
    .await;
}

#[tokio::test]
async fn counts_of_both_add_up() {
    let (mut first, mut second, second_address) = two_servers().await;
    let olga = first.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let here = first.device("pixel-1").await;
    let there = here.at(&second_address);
    eventually(|| there.poll(1), |polled| polled.build() == Some(build)).await;
    here.poll(1).await;
    here.report(build, "install_success").await.ok();
    there.report(build, "install_success").await.ok();
    second.stop().await;
    first.stop().await;
    first.start_again().await;
    let stats = first.person("olga", Role::Operator).stats(build).await;
    assert_eq!(
        (&stats["total_eligible"], &stats["installs_success"]),
        (&json!(1), &json!(1)),
        "{stats}"
    );
    assert_eq!(
        stats["total_checks"], 2,
        "the polls before the promotion were of no build"
    );
}

#[tokio::test]
async fn of_changes_at_once_on_both_none_is_lost() {
    let (first, second, _) = two_servers().await;
    let (olga, oscar) = (
        first.person("olga", Role::Operator),
        second.person("oscar", Role::Operator),
    );
    let mut builds = vec![];
    for version in 1..=6 {
        builds.push(olga.uploaded(&apks::build(PACKAGE, version)).await);
    }
    let promotions = builds.iter().enumerate().map(|(turn, &build)| {
        let who = if turn % 2 == 0 { &olga } else { &oscar };
        who.promote(build, 100)
    });
    for answer in futures::future::join_all(promotions).await {
        answer.ok();
    }
    let items = olga.builds("").await.ok()["items"].clone();
    let current = items
        .as_array()
        .unwrap()
        .iter()
        .filter(|build| build["is_current"] == true)
        .count();
    assert_eq!(current, 1, "{items}");
    assert_eq!(oscar.audit("?action=ota.promote").await.len(), builds.len());
    assert!(oscar.audit_is_intact().await);
}

#[tokio::test]
async fn the_same_upload_at_once_on_both_is_one_build() {
    let (first, second, _) = two_servers().await;
    let (olga, oscar) = (
        first.person("olga", Role::Operator),
        second.person("oscar", Role::Operator),
    );
    let apk = apks::large(PACKAGE, 2, 100_000);
    let (here, there) = futures::join!(olga.upload(&apk), oscar.upload(&apk));
    let statuses = [here.status, there.status];
    assert!(statuses == [200, 201] || statuses == [201, 200], "{statuses:?}");
    assert_eq!(here.json(), there.json());
    let build = here.ok()["build_id"].as_i64().unwrap();
    olga.promote(build, 100).await.ok();
    let device = first.device("pixel-1").await;
    let manifest = device.poll(1).await.manifest.unwrap();
    assert_eq!(
        device.download(&manifest, None).await.body,
        apk,
        "the refused one took nothing along"
    );
}

#[tokio::test]
async fn a_one_time_token_is_used_once_on_both_together() {
    let (first, second, _) = two_servers().await;
    let token = first.operator(Role::Admin).enroll_token(1).await;
    let request = |id: &str| json!({ "enrollment_token": token, "device_id": id });
    let (here, there) = (request("pixel-1"), request("pixel-2"));
    let (here, there) = futures::join!(first.enroll_as(&here), second.enroll_as(&there));
    assert!(here.is_ok() != there.is_ok(), "{here:?} {there:?}");
}
