//! What changes when a build takes the place of the current one.

use serde_json::{Value, json};
use tidegate_apk::build::{ApkBuilder, XmlAttribute, XmlElement, XmlValue};
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::grpc;

on_both_engines!(
    a_build_is_compared_with_the_current_one,
    a_build_is_compared_with_any_other_of_its_package,
    what_cannot_be_compared_is_told,
    an_upload_is_told_what_devices_with_the_current_build_hold_against_it,
);

fn named(element: &str, name: &str) -> XmlElement {
    let name = XmlValue::Text(name.to_owned());
    XmlElement::new(element).with(XmlAttribute::android(0x0101_0003, "name", name))
}

fn with(version_code: i64, target_sdk: u32, edit: impl FnOnce(&mut XmlElement)) -> ApkBuilder {
    apks::release(PACKAGE, version_code)
        .target_sdk(target_sdk)
        .edit_manifest(edit)
}

/// The list of this name, if it changed.
fn list<'a>(comparison: &'a Value, name: &str) -> Option<&'a Value> {
    let mut lists = comparison["lists"].as_array().unwrap().iter();
    lists.find(|list| list["name"] == name)
}

async fn a_build_is_compared_with_the_current_one(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, vera) = (server.operator(Role::Operator), server.operator(Role::Viewer));
    let camera = |root: &mut XmlElement| {
        root.children
            .push(named("uses-permission", "android.permission.CAMERA"));
    };
    let old = olga.uploaded(&apks::sign(with(1, 34, camera))).await;
    let next = with(2, 33, |root| {
        root.children
            .push(named("uses-permission", "android.permission.NFC"));
        let user = XmlValue::Text("com.example.shared".to_owned());
        root.attributes
            .push(XmlAttribute::android(0x0101_000b, "sharedUserId", user));
    });
    let new = olga.uploaded(&apks::sign(next.padding(50_000))).await;
    let diff = format!("/v1/apk/{new}/diff");
    vera.get(&diff).await.refused(404, "nothing_current");
    olga.promote(old, 100).await.ok();

    let comparison = vera.get(&diff).await.ok();
    assert_eq!(
        (&comparison["from_build_id"], &comparison["to_build_id"]),
        (&json!(old), &json!(new))
    );
    assert_eq!(
        comparison["changed"],
        json!([
            { "name": "version_code", "from": "1", "to": "2" },
            { "name": "version_name", "from": "1.1", "to": "1.2" },
            { "name": "target_sdk", "from": "34", "to": "33" },
        ])
    );
    let permissions = list(&comparison, "permissions").unwrap();
    assert_eq!(permissions["added"], json!(["android.permission.NFC"]));
    assert_eq!(permissions["removed"], json!(["android.permission.CAMERA"]));
    assert_eq!(list(&comparison, "abis"), None);
    let whole = &comparison["sizes"][0];
    assert_eq!(whole["part"], "file");
    assert!(whole["to_bytes"].as_i64().unwrap() > whole["from_bytes"].as_i64().unwrap() + 40_000);
    let findings = comparison["update_findings"].as_array().unwrap();
    let told: Vec<_> = findings
        .iter()
        .map(|finding| (finding["code"].as_str().unwrap(), finding["blocks"] == true))
        .collect();
    assert_eq!(told, [("shared-user-changed", true), ("target-lowered", false)]);
}

async fn a_build_is_compared_with_any_other_of_its_package(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let forth = olga
        .get(&format!("/v1/apk/{second}/diff?from_build_id={first}"))
        .await
        .ok();
    let back = olga
        .get(&format!("/v1/apk/{first}/diff?from_build_id={second}"))
        .await
        .ok();
    assert_eq!(
        forth["changed"][0],
        json!({ "name": "version_code", "from": "1", "to": "2" })
    );
    assert_eq!(
        back["changed"][0],
        json!({ "name": "version_code", "from": "2", "to": "1" })
    );
    // The current build itself has nothing beside it.
    olga.promote(first, 100).await.ok();
    olga.get(&format!("/v1/apk/{first}/diff"))
        .await
        .refused(404, "nothing_current");
}

async fn what_cannot_be_compared_is_told(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let ours = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let theirs = olga.uploaded(&apks::build("com.example.other", 1)).await;
    olga.get(&format!("/v1/apk/{ours}/diff?from_build_id={theirs}"))
        .await
        .invalid("from_build_id");
    olga.get(&format!("/v1/apk/{ours}/diff?from_build_id=999"))
        .await
        .refused(404, "not_found");
    olga.get("/v1/apk/999/diff").await.refused(404, "not_found");
}

async fn an_upload_is_told_what_devices_with_the_current_build_hold_against_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let ours = |version: i64, target: u32, abis: &[&str]| {
        let mut apk = apks::release(PACKAGE, version).target_sdk(target);
        for abi in abis {
            apk = apk.lib(abi, "libapp.so", vec![1; 100]);
        }
        apks::sign(apk)
    };
    let file = ours(1, 34, &["arm64-v8a", "armeabi-v7a"]);
    let first = olga.upload(&file).await;
    assert_eq!(first.status, 201);
    assert!(
        first.json().get("against_current").is_none(),
        "nothing is current"
    );
    let current = first.json()["build_id"].as_i64().unwrap();
    olga.promote(current, 100).await.ok();

    let lower = ours(2, 33, &["arm64-v8a"]);
    let taken = olga.upload(&lower).await;
    assert_eq!(taken.status, 201);
    let taken = taken.json();
    let told = &taken["against_current"];
    assert_eq!(told["base_build_id"], json!(current), "{taken}");
    let codes = |told: &Value| -> Vec<String> {
        let findings = told["findings"].as_array().unwrap();
        let codes = findings.iter().map(|finding| finding["code"].as_str().unwrap());
        codes.map(str::to_owned).collect()
    };
    assert_eq!(codes(told), ["target-lowered", "abi-removed"], "{taken}");
    let lost = told["findings"][1]["message"].as_str().unwrap();
    assert!(lost.contains("armeabi-v7a"), "{lost}");
    // Sent once more, and over gRPC.
    let again = olga.upload(&lower).await;
    assert_eq!(
        (again.status, again.json()["against_current"].clone()),
        (200, told.clone())
    );
    let over_grpc = grpc::upload(&server, olga.token(), &lower).await;
    let over_grpc = over_grpc.against_current.unwrap();
    assert_eq!((over_grpc.base_build_id, over_grpc.findings.len()), (current, 2));
    // The build has none of it: another one may be current tomorrow.
    let next = taken["build_id"].as_i64().unwrap();
    let build = olga.build(next).await.ok();
    assert!(build.get("against_current").is_none(), "{build}");
    assert_eq!(build["findings"], taken["findings"]);
    let diff = olga.get(&format!("/v1/apk/{next}/diff")).await.ok();
    assert_eq!(diff["update_findings"], told["findings"]);

    // One that nobody holds anything against says so, and the current one itself is compared with nothing.
    let third = olga.upload(&ours(3, 34, &[])).await.json();
    assert_eq!(
        third["against_current"],
        json!({ "base_build_id": current, "findings": [] })
    );
    let same = olga.upload(&file).await;
    assert_eq!((same.status, same.json().get("against_current")), (200, None));
}
