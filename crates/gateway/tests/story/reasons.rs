//! Each reason for offering nothing, and that `explain` never says otherwise than the poll.

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    nothing_was_released,
    the_device_is_up_to_date,
    the_device_is_outside_the_share,
    the_device_is_not_addressed,
    the_rollout_is_paused,
    the_api_level_is_too_low,
    the_api_level_does_not_install_it,
    no_native_code_fits,
    the_device_gave_the_build_up,
    explain_names_every_rule_that_was_asked,
);

/// A server with one build at 100 %, and a device with all attributes that a device can have.
async fn day(engine: Engine, apk: Vec<u8>) -> (TestServer, Operator, i64, Agent) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apk).await;
    olga.promote(build, 100).await.ok();
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let request = json!({
        "enrollment_token": token, "device_id": "pixel-1", "sdk": 30, "region": "eu", "model": "Pixel 6",
        "package_name": PACKAGE, "current_version_code": 1,
    });
    let device = server.enroll_as(&request).await.unwrap();
    (server, olga, build, device)
}

const ATTRIBUTES: &str = "&sdk=30&region=eu&model=Pixel%206";

/// What the poll says; `explain` must say the same. A device says its instruction sets only when it polls.
async fn why(olga: &Operator, device: &Agent, package: &str, version: i64) -> String {
    let polled = device.poll_as(package, version, ATTRIBUTES).await;
    let explained = olga.explain(&device.id, package, version).await.ok();
    assert_eq!(
        explained["update_offered"],
        polled.manifest.is_some(),
        "{explained}"
    );
    assert_eq!(explained["build_id"].as_i64(), polled.build(), "{explained}");
    assert_eq!(
        explained["reason"].as_str(),
        polled.reason.as_deref(),
        "{explained}"
    );
    polled.reason.unwrap_or_default()
}

async fn nothing_was_released(engine: Engine) {
    let (_server, olga, _, device) = day(engine, apks::build(PACKAGE, 2)).await;
    assert_eq!(
        why(&olga, &device, "com.example.unknown", 1).await,
        "no_current_build"
    );
    olga.uploaded(&apks::build("com.example.shelved", 2)).await;
    assert_eq!(
        why(&olga, &device, "com.example.shelved", 1).await,
        "no_current_build"
    );
}

async fn the_device_is_up_to_date(engine: Engine) {
    let (_server, olga, _, device) = day(engine, apks::build(PACKAGE, 2)).await;
    assert_eq!(why(&olga, &device, PACKAGE, 2).await, "already_current");
    assert_eq!(why(&olga, &device, PACKAGE, 3).await, "newer_installed");
    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "");
    assert_eq!(why(&olga, &device, PACKAGE, 0).await, "");
}

async fn the_device_is_outside_the_share(engine: Engine) {
    let (server, olga, build, device) = day(engine, apks::build(PACKAGE, 2)).await;
    olga.adjust(build, 1).await.ok();
    let devices = [
        device,
        server.device("pixel-2").await,
        server.device("pixel-3").await,
    ];
    let chosen = crate::fleet::cohort(&devices, 1);
    let outside = devices
        .iter()
        .find(|device| !chosen.contains(&device.id))
        .unwrap();
    assert_eq!(why(&olga, outside, PACKAGE, 1).await, "not_in_cohort");
    olga.adjust(build, 100).await.ok();
    assert_eq!(why(&olga, outside, PACKAGE, 1).await, "");
}

async fn the_device_is_not_addressed(engine: Engine) {
    let (server, olga, build, device) = day(engine, apks::build(PACKAGE, 2)).await;
    let to = |audience: Value| json!({ "rollout_percent": 100, "audience": audience });
    for elsewhere in [
        json!({ "regions": ["us"] }),
        json!({ "models": ["Pixel 9", "Pixel 8"] }),
    ] {
        olga.promote_as(build, &to(elsewhere)).await.ok();
        assert_eq!(why(&olga, &device, PACKAGE, 1).await, "not_in_audience");
    }
    olga.promote_as(
        build,
        &to(json!({ "regions": ["us", "eu"], "models": ["Pixel 6"] })),
    )
    .await
    .ok();
    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "");
    // One that does not say where it is can't be known to be addressed.
    let silent = server.device("silent").await;
    assert_eq!(silent.poll(1).await.why_not(), "not_in_audience");
}

async fn the_rollout_is_paused(engine: Engine) {
    let (_server, olga, build, device) = day(engine, apks::build(PACKAGE, 2)).await;
    olga.pause(build).await.ok();
    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "paused");
}

async fn the_api_level_is_too_low(engine: Engine) {
    let apk = apks::sign(apks::release(PACKAGE, 2).min_sdk(31));
    let (server, olga, build, device) = day(engine, apk).await;
    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "incompatible_sdk");
    let newer = server.device("pixel-2").await;
    assert_eq!(newer.poll_as(PACKAGE, 1, "&sdk=31").await.build(), Some(build));
    assert_eq!(
        newer.poll(1).await.build(),
        Some(build),
        "what is not stated is not judged"
    );
}

async fn the_api_level_does_not_install_it(engine: Engine) {
    // Android 11 and later refuse a compressed resource table in what was written for them.
    let apk = apks::release(PACKAGE, 2)
        .target_sdk(34)
        .file("resources.arsc", vec![0; 5000]);
    let (server, olga, id, device) = day(engine, apks::sign(apk)).await;
    let build = olga.build(id).await.ok();
    assert_eq!(build["examined"], true, "{build}");
    assert_eq!(
        build["installs_on"],
        json!([{ "from_sdk": 24, "to_sdk": 29 }]),
        "{build}"
    );
    let finding = &build["findings"][0];
    assert_eq!(finding["code"], "resources-compressed", "{build}");
    assert_eq!(
        (&finding["blocks"], &finding["from_sdk"]),
        (&json!(true), &json!(30)),
        "{build}"
    );
    assert!(finding.get("to_sdk").is_none_or(Value::is_null), "{build}");
    let message = finding["message"].as_str().unwrap();
    assert!(message.starts_with("resources.arsc: "), "{build}");

    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "incompatible_sdk");
    let explained = olga.explain(&device.id, PACKAGE, 1).await.ok();
    let rules = explained["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["rule"] == "sdk").unwrap();
    assert_eq!(rule["inputs"]["installs_on"], "24-29", "{rule}");
    assert!(rule["answer"].as_str().unwrap().contains(message), "{rule}");

    let other = server.device("pixel-2").await;
    assert_eq!(
        other.poll_as(PACKAGE, 1, "&sdk=33").await.why_not(),
        "incompatible_sdk"
    );
    assert_eq!(other.poll_as(PACKAGE, 1, "&sdk=29").await.build(), Some(id));
}

async fn no_native_code_fits(engine: Engine) {
    let apk = apks::sign(apks::release(PACKAGE, 2).lib("arm64-v8a", "libapp.so", vec![7; 64]));
    let (_server, _, build, device) = day(engine, apk).await;
    let told = [
        ("&abi=x86_64,x86", None),
        ("&abi=arm64-v8a,armeabi-v7a", Some(build)),
        ("", Some(build)),
    ];
    for (abi, expected) in told {
        let polled = device.poll_as(PACKAGE, 1, abi).await;
        assert_eq!(polled.build(), expected, "{abi}");
        assert_eq!(
            polled.why_not(),
            if expected.is_none() {
                "incompatible_abi"
            } else {
                ""
            },
            "{abi}"
        );
    }
}

async fn the_device_gave_the_build_up(engine: Engine) {
    let (_server, olga, build, device) = day(engine, apks::build(PACKAGE, 2)).await;
    device.poll(1).await;
    let invalid = json!({ "build_id": build, "status": "install_failed", "android_status": 4 });
    device.report_as(&invalid).await.ok();
    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "rejected_by_device");
    // Having it after all is forgiveness.
    device.report(build, "install_success").await.ok();
    assert_eq!(why(&olga, &device, PACKAGE, 1).await, "");
}

async fn explain_names_every_rule_that_was_asked(engine: Engine) {
    let (server, olga, build, device) = day(engine, apks::build(PACKAGE, 2)).await;
    olga.adjust(build, 60).await.ok();
    let explained = olga.explain(&device.id, PACKAGE, 1).await.ok();
    assert_eq!(explained["current_version_code"], 1);
    let rules = explained["rules"].as_array().unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    let asked = [
        "current_rollout",
        "audience",
        "cohort",
        "version",
        "state",
        "rejection",
        "sdk",
        "abi",
    ];
    assert_eq!(names, asked);
    assert_eq!(rules[2]["inputs"]["rollout_percent"], "60");
    assert!(
        rules
            .iter()
            .all(|rule| rule["answer"].as_str().is_some_and(|answer| !answer.is_empty()))
    );

    // Without a version it is the one that the device told last.
    let path = format!("/v1/devices/{}/explain?package_name={PACKAGE}", device.id);
    assert_eq!(olga.get(&path).await.ok()["current_version_code"], 1);
    olga.explain("nobody", PACKAGE, 1).await.refused(404, "not_found");
    let device = server.operator(Role::Viewer);
    device
        .get("/v1/devices/pixel-1/explain")
        .await
        .invalid("package_name");
}
