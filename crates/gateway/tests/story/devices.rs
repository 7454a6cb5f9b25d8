//! Taking devices in, looking at them, shutting them out.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::{DeviceId, Role};
use tidegate_signing::ExposeSecret as _;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    a_device_is_given_all_it_needs,
    enrolling_again_gives_the_same,
    a_one_time_token_enrols_one_device,
    one_time_tokens_hold_against_a_crowd,
    a_token_ends,
    a_made_up_token_enrols_nobody,
    ids_with_a_separator_are_refused,
    attributes_have_bounds,
    a_revoked_device_is_refused_until_it_enrols_again,
    operators_find_their_devices,
    a_device_can_be_nudged_where_it_says,
);

async fn a_device_is_given_all_it_needs(engine: Engine) {
    let server = TestServer::start(engine).await;
    server
        .operator(Role::Operator)
        .uploaded(&apks::build(PACKAGE, 7))
        .await;
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let request = json!({
        "enrollment_token": token, "device_id": "pixel-1", "alias": "Front desk", "model": "Pixel 6",
        "manufacturer": "Google", "sdk": 34, "android_version": "14", "region": "eu", "tags": ["kiosk", "pilot"],
        "fcm_token": "fcm-1", "package_name": PACKAGE, "current_version_code": 7,
    });
    let device = server.enroll_as(&request).await.unwrap();
    let enrollment = &device.enrollment;
    assert_eq!(enrollment["device_id"], "pixel-1");
    let id = DeviceId::parse("pixel-1").unwrap();
    let key = server.keys().command_keys(&id, 1).primary;
    assert_eq!(
        enrollment["command_keys"],
        json!({ "primary": key.text().expose_secret(), "rotation": null })
    );
    assert!(
        enrollment["poll_after_s"]
            .as_i64()
            .is_some_and(|seconds| seconds > 0)
    );
    assert_eq!(device.poll(7).await.why_not(), "no_current_build");

    let page = server.operator(Role::Viewer).device("pixel-1").await.ok();
    assert_eq!(
        (&page["alias"], &page["model"]),
        (&json!("Front desk"), &json!("Pixel 6"))
    );
    assert_eq!(
        (&page["manufacturer"], &page["sdk"]),
        (&json!("Google"), &json!(34))
    );
    assert_eq!(
        (&page["android_version"], &page["region"]),
        (&json!("14"), &json!("eu"))
    );
    assert_eq!(page["tags"], json!(["kiosk", "pilot"]));
    assert_eq!(page["has_fcm_token"], true);
    assert_eq!(
        page["installed"],
        json!([{ "package_name": PACKAGE, "version_code": 7 }])
    );
    let text = page.to_string();
    for secret in [
        "fcm-1",
        &device.token,
        enrollment["command_keys"]["primary"].as_str().unwrap(),
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}

async fn enrolling_again_gives_the_same(engine: Engine) {
    let server = TestServer::start(engine).await;
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let first = server.enroll(&token, "pixel-1").await;
    let second = server.enroll(&token, "pixel-1").await;
    assert_eq!(
        first.enrollment, second.enrollment,
        "a lost answer must be repeatable"
    );
    let devices = server.operator(Role::Viewer).devices("").await.ok();
    assert_eq!(devices["items"].as_array().unwrap().len(), 1);
}

async fn a_one_time_token_enrols_one_device(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = server.operator(Role::Viewer);
    let token = server.operator(Role::Admin).enroll_token(1).await;
    server.enroll(&token, "pixel-1").await;
    enroll(&server, &token, "pixel-2")
        .await
        .refused(401, "enrollment_token_used_up");
    viewer.device("pixel-2").await.refused(404, "not_found");

    let token = server.operator(Role::Admin).enroll_token(2).await;
    server.enroll(&token, "pixel-2").await;
    server.enroll(&token, "pixel-3").await;
    enroll(&server, &token, "pixel-4")
        .await
        .refused(401, "enrollment_token_used_up");
}

async fn enroll(server: &TestServer, token: &str, id: &str) -> Answer {
    let request = json!({ "enrollment_token": token, "device_id": id });
    server.enroll_as(&request).await.unwrap_err()
}

async fn one_time_tokens_hold_against_a_crowd(engine: Engine) {
    let server = TestServer::start(engine).await;
    let token = server.operator(Role::Admin).enroll_token(3).await;
    let requests: Vec<_> = (0..12)
        .map(|number| json!({ "enrollment_token": token, "device_id": format!("pixel-{number}") }))
        .collect();
    let answers = futures::future::join_all(requests.iter().map(|request| server.enroll_as(request))).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        refusal.refused(401, "enrollment_token_used_up");
    }
    assert_eq!(taken, 3);
}

async fn a_token_ends(engine: Engine) {
    let server = TestServer::start(engine).await;
    let admin = server.operator(Role::Admin);
    let made = admin
        .post("/v1/enrollment-tokens", &json!({ "uses": 5, "ttl_s": 60 }))
        .await
        .ok();
    assert_eq!(made["uses"], 5);
    let token = made["enrollment_token"].as_str().unwrap();
    server.enroll(token, "pixel-1").await;
    server.clock().advance(TimeDelta::seconds(61));
    enroll(&server, token, "pixel-2")
        .await
        .refused(401, "enrollment_token_expired");

    let bad = [
        ("uses", json!({ "uses": -1 })),
        ("uses", json!({ "uses": 1_000_001 })),
        ("ttl_s", json!({ "ttl_s": -5 })),
        ("ttl_s", json!({ "ttl_s": 367 * 86_400 })),
        ("ttl_s", json!({ "ttl_s": i64::MAX })),
        ("note", json!({ "note": "x".repeat(257) })),
    ];
    for (field, request) in bad {
        admin.post("/v1/enrollment-tokens", &request).await.invalid(field);
    }
}

async fn a_made_up_token_enrols_nobody(engine: Engine) {
    let server = TestServer::start(engine).await;
    let real = server.operator(Role::Admin).enroll_token(1).await;
    let other = format!("{}{}", &real[..real.len() - 4], "AAAA");
    enroll(&server, "", "pixel-1").await.invalid("enrollment_token");
    for token in ["secret", "' OR 1=1 --", &other, &"x".repeat(5000)] {
        enroll(&server, token, "pixel-1")
            .await
            .refused(401, "enrollment_refused");
    }
}

async fn ids_with_a_separator_are_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let token = server.operator(Role::Admin).enroll_token(1).await;
    for id in ["pixel|1", "|", "", " pixel", "pixel\n1", &"x".repeat(300)] {
        let problem = enroll(&server, &token, id).await.invalid("device_id");
        assert!(problem["detail"].as_str().unwrap().len() < 300, "{problem}");
    }
    server.enroll(&token, "pixel-1").await;
}

async fn attributes_have_bounds(engine: Engine) {
    let server = TestServer::start(engine).await;
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let bad = [
        ("alias", json!("x".repeat(257))),
        ("sdk", json!(-1)),
        ("sdk", json!(5_000_000_000_i64)),
        ("tags", json!(vec!["x"; 1000])),
        ("fcm_token", json!("x".repeat(4097))),
        ("package_name", json!("not a package")),
        ("current_version_code", json!(-1)),
    ];
    for (field, value) in bad {
        let mut request =
            json!({ "enrollment_token": token, "device_id": "pixel-1", "package_name": PACKAGE });
        request[field] = value;
        server.enroll_as(&request).await.unwrap_err().invalid(field);
    }
    // None of it used the token up. Agents may say more than is known here.
    let more = json!({ "enrollment_token": token, "device_id": "pixel-1", "colour": "red" });
    server.enroll_as(&more).await.unwrap();
}

async fn a_revoked_device_is_refused_until_it_enrols_again(engine: Engine) {
    let server = TestServer::start(engine).await;
    let admin = server.person("ada", Role::Admin);
    let build = admin.uploaded(&apks::build(PACKAGE, 2)).await;
    admin.promote(build, 100).await.ok();
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let (device, bystander) = (
        server.enroll(&token, "pixel-1").await,
        server.device("pixel-2").await,
    );
    let manifest = device.poll(1).await.manifest.expect("an offer");
    device.download(&manifest, None).await;
    assert_eq!(
        admin.revoke("pixel-1").await.ok(),
        json!({ "success": true, "device_id": "pixel-1" })
    );

    device.ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
    device
        .report(build, "downloaded")
        .await
        .refused(401, "token_revoked");
    device.set_fcm_token("x").await.refused(401, "token_revoked");
    device.download(&manifest, None).await.refused(403, "url_refused");
    enroll(&server, &token, "pixel-1")
        .await
        .refused(409, "device_known");
    assert_eq!(bystander.poll(1).await.build(), Some(build), "one by one");

    let leave = admin.post_text("/v1/devices/pixel-1/allow-enrolment", "").await;
    assert!(leave.ok()["allowed_until"].is_string());
    let again = server.device("pixel-1").await;
    assert_ne!(again.token, device.token);
    assert_eq!(again.poll(1).await.build(), Some(build));
    device.ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
    admin.revoke("nobody").await.refused(404, "not_found");
    let log = admin.audit("?action=device.revoke").await;
    assert_eq!(log.len(), 1);
    assert_eq!(
        (&log[0]["actor"], &log[0]["target"]),
        (&json!("ada"), &json!("device/pixel-1"))
    );
}

async fn operators_find_their_devices(engine: Engine) {
    let server = TestServer::start(engine).await;
    server
        .operator(Role::Operator)
        .uploaded(&apks::build(PACKAGE, 1))
        .await;
    let token = server.operator(Role::Admin).enroll_token(20).await;
    for number in 0..7 {
        let mut request = json!({ "enrollment_token": token, "device_id": format!("pixel-{number}") });
        if number == 3 {
            request["alias"] = json!("Front Desk");
        }
        if number < 2 {
            request["package_name"] = json!(PACKAGE);
            request["current_version_code"] = json!(1);
        }
        server.enroll_as(&request).await.unwrap();
    }
    let viewer = server.operator(Role::Viewer);
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|device| device["device_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut seen = vec![];
    let mut next = String::new();
    loop {
        let page = viewer
            .devices(&format!("?page_size=3&page_token={next}"))
            .await
            .ok();
        seen.extend(ids(&page));
        next = page["next_page_token"].as_str().unwrap().to_owned();
        if next.is_empty() {
            break;
        }
    }
    let all: Vec<_> = (0..7).map(|number| format!("pixel-{number}")).collect();
    assert_eq!(seen, all, "every device once, in order");
    assert_eq!(ids(&viewer.devices("?search=front").await.ok()), ["pixel-3"]);
    assert_eq!(ids(&viewer.devices("?search=pixel-5").await.ok()), ["pixel-5"]);
    assert_eq!(
        ids(&viewer.devices("?search=%25").await.ok()),
        [""; 0],
        "no wildcard comes from outside"
    );
    assert_eq!(
        ids(&viewer.devices(&format!("?package_name={PACKAGE}")).await.ok()),
        ["pixel-0", "pixel-1"]
    );
}

async fn a_device_can_be_nudged_where_it_says(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = server.operator(Role::Viewer);
    let device = server.device("pixel-1").await;
    let known = || async { viewer.device("pixel-1").await.ok()["has_fcm_token"].clone() };
    assert_eq!(known().await, false);
    assert_eq!(
        device.set_fcm_token("fcm-1").await.ok(),
        json!({ "success": true })
    );
    eventually(known, |known| known == true).await;
    device.set_fcm_token("").await.ok();
    eventually(known, |known| known == false).await;
    device.set_fcm_token(&"x".repeat(4097)).await.invalid("fcm_token");
}
