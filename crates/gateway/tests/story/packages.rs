//! Whose signature a package's builds must carry.

use serde_json::{Value, json};
use tidegate_domain::{Role, SignerFingerprint};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    a_package_is_held_to_its_first_signer,
    a_pin_comes_before_the_first_build,
    without_its_pin_a_package_begins_anew,
    a_debuggable_build_is_refused_until_it_is_allowed,
    a_pin_must_be_a_fingerprint,
);

fn own() -> String {
    SignerFingerprint(apks::key().fingerprint()).to_string()
}

fn foreign() -> String {
    SignerFingerprint(apks::foreign_key().fingerprint()).to_string()
}

fn foreign_build(version: i64) -> Vec<u8> {
    apks::release(PACKAGE, version).sign(apks::foreign_key()).unwrap()
}

async fn packages(viewer: &Operator) -> Value {
    viewer.get("/v1/packages").await.ok()["items"].clone()
}

async fn a_package_is_held_to_its_first_signer(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    assert_eq!(packages(&olga).await, json!([]));
    olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let held = packages(&olga).await;
    assert_eq!(held.as_array().map(Vec::len), Some(1), "{held}");
    assert_eq!(
        (&held[0]["package_name"], &held[0]["allow_debuggable"]),
        (&json!(PACKAGE), &json!(false))
    );
    assert_eq!(held[0]["signers"][0]["signer_fingerprint"], own(), "{held}");
    olga.upload(&foreign_build(2))
        .await
        .refused(409, "signer_conflict");
    olga.uploaded(&apks::build(PACKAGE, 2)).await;
    // Another package is another matter.
    let other = apks::release("com.example.other", 1)
        .sign(apks::foreign_key())
        .unwrap();
    olga.uploaded(&other).await;
}

async fn a_pin_comes_before_the_first_build(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let plain = foreign().replace(':', "").to_lowercase();
    for fingerprint in [foreign(), plain] {
        let pin = json!({ "signer_fingerprint": fingerprint });
        let pinned = ada.post(&format!("/v1/packages/{PACKAGE}/pin"), &pin).await.ok();
        assert_eq!(
            pinned["signers"],
            json!([{ "signer_fingerprint": foreign(), "from_sdk": 0, "to_sdk": null }])
        );
    }
    ada.upload(&apks::build(PACKAGE, 1))
        .await
        .refused(409, "signer_conflict");
    ada.uploaded(&foreign_build(1)).await;
    let log = ada.audit("?action=signer.pin").await;
    assert_eq!(
        (&log[0]["actor"], &log[0]["target"]),
        (&json!("ada"), &json!("package/com.example.app"))
    );
    assert!(ada.audit_is_intact().await);
}

async fn without_its_pin_a_package_begins_anew(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.operator(Role::Admin);
    ada.uploaded(&apks::build(PACKAGE, 1)).await;
    let unpinned = ada
        .post_text(&format!("/v1/packages/{PACKAGE}/unpin"), "")
        .await
        .ok();
    assert_eq!(unpinned["signers"], json!([]));
    ada.uploaded(&foreign_build(2)).await;
    ada.upload(&apks::build(PACKAGE, 3))
        .await
        .refused(409, "signer_conflict");
    ada.post_text("/v1/packages/com.example.unknown/unpin", "")
        .await
        .refused(404, "not_found");
}

async fn a_debuggable_build_is_refused_until_it_is_allowed(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.operator(Role::Admin);
    let debuggable = apks::sign(apks::release(PACKAGE, 1).debuggable(true));
    let before = ada.everything().await;
    let problem = ada.upload(&debuggable).await.refused(422, "debuggable");
    assert!(
        problem["detail"].as_str().unwrap().contains("debuggable"),
        "{problem}"
    );
    assert_eq!(ada.everything().await, before);

    let path = format!("/v1/packages/{PACKAGE}/allow-debuggable");
    assert_eq!(
        ada.post(&path, &json!({ "allow": true })).await.ok()["allow_debuggable"],
        true
    );
    assert_eq!(ada.upload(&debuggable).await.ok()["debuggable"], true);
    assert_eq!(
        ada.post(&path, &json!({ "allow": false })).await.ok()["allow_debuggable"],
        false
    );
    let next = apks::sign(apks::release(PACKAGE, 2).debuggable(true));
    ada.upload(&next).await.refused(422, "debuggable");
}

async fn a_pin_must_be_a_fingerprint(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.operator(Role::Admin);
    let path = format!("/v1/packages/{PACKAGE}/pin");
    for fingerprint in ["", "AB:CD", &"zz".repeat(32), &"00".repeat(33)] {
        let pin = json!({ "signer_fingerprint": fingerprint });
        ada.post(&path, &pin).await.invalid("signer_fingerprint");
    }
    ada.post(
        "/v1/packages/not%20a%20package/pin",
        &json!({ "signer_fingerprint": own() }),
    )
    .await
    .invalid("package_name");
    assert_eq!(packages(&ada).await, json!([]));
}
