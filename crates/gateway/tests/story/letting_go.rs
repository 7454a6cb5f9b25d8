//! Devices that are retired and erased, builds that are deleted, and what is no longer counted.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    a_phone_is_retired_and_comes_back,
    a_phone_is_erased_and_the_numbers_stay,
    a_build_is_deleted_once_nothing_needs_it,
    notes_reach_the_devices,
    a_phone_in_a_drawer_is_not_counted,
    the_same_by_grpc,
);

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|device| device["device_id"].as_str().unwrap())
        .collect()
}

/// The line of the metrics page that begins so.
async fn metric(server: &TestServer, begins: &str) -> Option<String> {
    let page = server.operator(Role::Viewer).get("/metrics").await.body;
    let page = String::from_utf8_lossy(&page);
    page.lines()
        .find(|line| line.starts_with(begins))
        .map(str::to_owned)
}

/// Waits until the metrics page has this line.
async fn metric_is(server: &TestServer, begins: &str, value: &str) {
    let line = format!("{begins} {value}");
    eventually(|| metric(server, begins), |found| found.as_deref() == Some(&line)).await;
}

const CURRENT: &str = "ota_devices{package_name=\"com.example.app\",told=\"already_current\"}";

async fn a_phone_is_retired_and_comes_back(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, ada) = (server.operator(Role::Operator), server.person("ada", Role::Admin));
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let phone = server.device("pixel-1").await;
    let other = server.device("pixel-2").await;
    for device in [&phone, &other] {
        device.poll(2).await;
        device.set_fcm_token("fcm").await.ok();
    }
    metric_is(&server, CURRENT, "2").await;

    olga.retire("pixel-1").await.refused(403, "role_too_low");
    let retired = json!({ "success": true, "device_id": "pixel-1", "changed": true });
    assert_eq!(ada.retire("pixel-1").await.ok(), retired);
    assert_eq!(ada.retire("pixel-1").await.ok()["changed"], false);
    phone.ask(PACKAGE, 2, "").await.refused(401, "token_revoked");
    metric_is(&server, CURRENT, "1").await;
    metric_is(&server, "ota_devices_uncounted{why=\"retired\"}", "1").await;
    assert_eq!(ids(&olga.devices("").await.ok()), ["pixel-2"]);
    assert_eq!(ids(&olga.devices("?search=pixel").await.ok()), ["pixel-2"]);
    assert_eq!(
        ids(&olga.devices(&format!("?package_name={PACKAGE}")).await.ok()),
        ["pixel-2"]
    );
    let gone = olga.devices("?retired=true").await.ok();
    assert_eq!(ids(&gone), ["pixel-1"]);
    assert!(gone["items"][0]["retired_at"].is_string());
    let share = metric(&server, "ota_rollout_share_ratio{").await.unwrap();
    assert!(share.ends_with(" 1"), "{share}");
    ada.retire("nobody").await.refused(404, "not_found");

    let again = server.device("pixel-1").await;
    again.poll(2).await;
    metric_is(&server, CURRENT, "2").await;
    assert_eq!(ids(&olga.devices("").await.ok()), ["pixel-1", "pixel-2"]);
    assert_eq!(ada.device("pixel-1").await.ok()["retired_at"], Value::Null);
    phone.ask(PACKAGE, 2, "").await.refused(401, "token_revoked");
}

async fn a_phone_is_erased_and_the_numbers_stay(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, ada) = (server.operator(Role::Operator), server.person("ada", Role::Admin));
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let phone = server.device("pixel-1").await;
    let manifest = phone.poll(1).await.manifest.unwrap();
    phone.report(build, "install_success").await.ok();
    let before = olga.stats(build).await;
    assert_eq!(before["installs_success"], 1);
    ada.post("/v1/devices/pixel-1/retry", &json!({})).await.ok();
    ada.revoke("pixel-1").await.ok();

    let path = "/v1/devices/pixel-1/erase";
    for body in [
        json!({}),
        json!({ "confirm": "" }),
        json!({ "confirm": "pixel-2" }),
    ] {
        ada.post(path, &body).await.invalid("confirm");
    }
    ada.device("pixel-1").await.ok();
    assert_eq!(
        ada.erase("pixel-1").await.ok(),
        json!({ "success": true, "device_id": "pixel-1" })
    );
    ada.erase("pixel-1").await.refused(404, "not_found");
    ada.device("pixel-1").await.refused(404, "not_found");
    phone.ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
    phone.download(&manifest, None).await.refused(403, "url_refused");
    assert_eq!(olga.stats(build).await["installs_success"], 1);
    assert_eq!(ids(&olga.devices("?retired=true").await.ok()), [""; 0]);
    let log = ada.audit("").await;
    assert!(log.iter().any(|entry| entry["action"] == "device.erase"));
    assert!(
        !Value::Array(log.clone()).to_string().contains("pixel-1"),
        "{log:?}"
    );
    assert!(ada.audit_is_intact().await);

    let again = server.device("pixel-1").await;
    assert_ne!(again.token, phone.token);
    again.poll(1).await;
    phone.ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
}

async fn a_build_is_deleted_once_nothing_needs_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, ada) = (server.operator(Role::Operator), server.person("ada", Role::Admin));
    let apk = apks::build(PACKAGE, 1);
    let spare = olga.uploaded(&apk).await;
    olga.delete_build(spare).await.refused(403, "role_too_low");
    let deleted = json!({ "success": true, "build_id": spare, "version_code_free": true });
    assert_eq!(ada.delete_build(spare).await.ok(), deleted);
    ada.build(spare).await.refused(404, "not_found");
    let first = olga.uploaded(&apk).await;
    olga.promote(first, 100).await.ok();
    ada.delete_build(first).await.refused(409, "build_in_use");
    for version in [2, 3] {
        let next = olga.uploaded(&apks::build(PACKAGE, version)).await;
        olga.promote(next, 100).await.ok();
    }
    assert_eq!(ada.delete_build(first).await.ok()["version_code_free"], false);
    assert!(ada.build(first).await.ok()["deleted_at"].is_string());
    let listed = olga.builds("").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    ada.delete_build(first).await.refused(409, "build_deleted");
    olga.promote(first, 100).await.refused(409, "build_deleted");
    olga.upload(&apk).await.refused(409, "build_deleted");
    olga.roll_back(PACKAGE, false).await.ok();
    olga.roll_back(PACKAGE, false)
        .await
        .refused(409, "no_predecessor");
    let log = ada.audit("?action=ota.delete").await;
    assert_eq!((log.len(), &log[0]["actor"]), (2, &json!("ada")));
}

async fn notes_reach_the_devices(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let phone = server.device("pixel-1").await;
    let path = format!("/v1/apk/{build}/notes");
    let changed = olga
        .post(&path, &json!({ "notes": "Mends the printer." }))
        .await
        .ok();
    assert_eq!(changed["release_notes"], "Mends the printer.");
    let manifest = phone.poll(1).await.manifest.unwrap();
    assert_eq!(manifest["release_notes"], "Mends the printer.");
    olga.post(&path, &json!({})).await.invalid("notes");
    let longest = "\u{1}".repeat(65_536);
    olga.post(&path, &json!({ "notes": longest })).await.ok();
    olga.post(&path, &json!({ "notes": "x".repeat(65_537) }))
        .await
        .invalid("notes");
    let viewer = server.operator(Role::Viewer);
    viewer
        .post(&path, &json!({ "notes": "" }))
        .await
        .refused(403, "role_too_low");
    olga.post("/v1/apk/99/notes", &json!({ "notes": "" }))
        .await
        .refused(404, "not_found");
    assert_eq!(
        server
            .operator(Role::Admin)
            .audit("?action=ota.notes")
            .await
            .len(),
        2
    );
}

async fn a_phone_in_a_drawer_is_not_counted(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let drawer = server.device("pixel-1").await;
    let hand = server.device("pixel-2").await;
    drawer.poll(2).await;
    metric_is(&server, CURRENT, "1").await;
    server.clock().advance(TimeDelta::days(91));
    hand.poll(2).await;
    metric_is(&server, CURRENT, "2").await;
    // Another server looks as it starts.
    let beside = server.replica().await;
    metric_is(&server, CURRENT, "1").await;
    metric_is(&server, "ota_devices_uncounted{why=\"inactive\"}", "1").await;
    eventually(
        || metric(&beside, "ota_retention_last_run_timestamp_seconds"),
        Option::is_some,
    )
    .await;
    assert!(
        metric(&beside, "ota_retention_removed_total{kind=\"reports\"}")
            .await
            .is_some()
    );
    // The first token has expired meanwhile.
    let olga = server.operator(Role::Operator);
    let page = olga.device("pixel-1").await.ok();
    assert!(page["inactive_since"].is_string(), "{page}");
    assert_eq!(ids(&olga.devices("").await.ok()), ["pixel-1", "pixel-2"]);
    assert_eq!(
        ids(&olga.devices(&format!("?package_name={PACKAGE}")).await.ok()),
        ["pixel-2"]
    );

    drawer.poll(2).await;
    metric_is(&server, CURRENT, "2").await;
}

async fn the_same_by_grpc(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    server.device("pixel-1").await;
    let channel = server.channel().await;
    let mut builds = v1::build_service_client::BuildServiceClient::new(channel.clone());
    let mut devices = v1::device_service_client::DeviceServiceClient::new(channel);
    let device_id = "pixel-1".to_owned();
    let retire = v1::RetireDeviceRequest {
        device_id: device_id.clone(),
    };
    assert!(
        devices
            .retire_device(with(&ada, retire))
            .await
            .unwrap()
            .into_inner()
            .changed
    );
    let list = v1::ListDevicesRequest {
        retired: true,
        ..v1::ListDevicesRequest::default()
    };
    assert_eq!(
        devices
            .list_devices(with(&ada, list))
            .await
            .unwrap()
            .into_inner()
            .items
            .len(),
        1
    );
    let mut erase = v1::EraseDeviceRequest {
        device_id: device_id.clone(),
        confirm: String::new(),
    };
    let refused = devices.erase_device(with(&ada, erase.clone())).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    erase.confirm = device_id;
    assert!(
        devices
            .erase_device(with(&ada, erase))
            .await
            .unwrap()
            .into_inner()
            .success
    );
    let notes = v1::SetBuildNotesRequest {
        build_id: build,
        notes: "New.".to_owned(),
    };
    let changed = builds
        .set_build_notes(with(&ada, notes))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changed.release_notes, "New.");
    let delete = v1::DeleteBuildRequest { build_id: build };
    assert!(
        builds
            .delete_build(with(&ada, delete))
            .await
            .unwrap()
            .into_inner()
            .version_code_free
    );
}

/// A request with somebody's token.
fn with<T>(who: &tidegate_testkit::operator::Operator, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let token = format!("Bearer {}", who.token()).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}
