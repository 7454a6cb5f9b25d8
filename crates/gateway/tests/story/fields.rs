//! Fields with values that they cannot have: each refusal names its field, and nothing changes.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    a_share_has_two_decimals_at_most,
    a_verb_that_has_to_be_told_something_wants_a_body,
    an_unknown_field_is_refused_by_its_name,
    a_field_of_another_type_is_refused_by_its_name,
    what_is_not_json_is_refused,
    an_unknown_build_is_not_found,
    a_build_that_is_not_released_cannot_be_adjusted,
    a_page_has_bounds,
    a_page_token_is_good_for_its_list_alone,
    a_path_and_a_body_must_agree,
);

async fn day(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    olga.promote(build, 50).await.ok();
    (server, olga, build)
}

async fn a_share_has_two_decimals_at_most(engine: Engine) {
    let (_server, olga, build) = day(engine).await;
    let before = olga.everything().await;
    let bad = [
        json!(0),
        json!(101),
        json!(-1),
        json!("ten"),
        json!("10"),
        json!(10.505),
        json!(0.001),
        json!(-0.5),
        json!(1e30),
        json!(null),
        json!([10]),
    ];
    for percent in bad {
        for verb in ["promote", "rollout"] {
            let answer = olga
                .post(
                    &format!("/v1/apk/{build}/{verb}"),
                    &json!({ "rollout_percent": percent }),
                )
                .await;
            let problem = answer.invalid("rollout_percent");
            assert!(
                problem["detail"].as_str().unwrap().contains("rollout_percent"),
                "{problem}"
            );
        }
    }
    assert_eq!(olga.everything().await, before);
}

/// What must be said, verb by verb.
const TO_BE_SAID: [(&str, &[&str]); 14] = [
    ("/v1/agent/enroll", &["device_id", "enrollment_token"]),
    ("/v1/agent/report", &["build_id", "status"]),
    ("/v1/agent/fcm-token", &["fcm_token"]),
    (
        "/v1/action-result",
        &["action", "finished_at", "outcome", "request_id"],
    ),
    ("/v1/auth/login", &["name", "password"]),
    ("/v1/apk/1/promote", &["rollout_percent"]),
    ("/v1/apk/1/rollout", &["rollout_percent"]),
    ("/v1/experiments", &["arms", "package_name"]),
    ("/v1/experiments/1/conclude", &["winner"]),
    ("/v1/packages/com.example.app/pin", &["signer_fingerprint"]),
    ("/v1/packages/com.example.app/allow-debuggable", &["allow"]),
    // These have a default for every field, which is no reason to do something for who said nothing at all.
    ("/v1/apk/rollback", &[]),
    ("/v1/audiences/check", &[]),
    ("/v1/enrollment-tokens", &[]),
];

async fn a_verb_that_has_to_be_told_something_wants_a_body(engine: Engine) {
    let (server, olga, _) = day(engine).await;
    let ada = server.operator(Role::Admin);
    ada.promote(ada.uploaded(&apks::build(PACKAGE, 2)).await, 50)
        .await
        .ok();
    let device = server.device("pixel-1").await;
    device.set_fcm_token("a-token").await.ok();
    let before = (olga.everything().await, olga.device("pixel-1").await.ok());
    let send = async |path: &str, body: &str| {
        let (method, token) = match path {
            "/v1/agent/fcm-token" => (Method::PUT, device.token.as_str()),
            "/v1/agent/report" | "/v1/action-result" => (Method::POST, device.token.as_str()),
            _ => (Method::POST, ada.token()),
        };
        let request = ada.with_token(token).request(method, path);
        Answer::to(request.body(body.to_owned())).await
    };
    for (path, fields) in TO_BE_SAID {
        send(path, "").await.refused(400, "invalid_argument");
        if fields.is_empty() {
            continue;
        }
        let field = send(path, "{}").await.refused(400, "invalid_argument")["field"].clone();
        assert!(fields.iter().any(|one| field == *one), "{path}: {field}");
    }
    send("/v1/apk/nudge-update", "")
        .await
        .refused(400, "invalid_argument");
    assert_eq!(
        (olga.everything().await, olga.device("pixel-1").await.ok()),
        before
    );
    // These have nothing that would have to be said.
    for path in ["/v1/apk/2/pause", "/v1/apk/2/resume", "/v1/devices/pixel-1/retry"] {
        ada.post_text(path, "").await.ok();
    }
}

async fn an_unknown_field_is_refused_by_its_name(engine: Engine) {
    let (server, olga, build) = day(engine).await;
    let before = olga.everything().await;
    let typo = json!({ "rollout_percent": 10, "wify_only": true });
    let problem = olga.promote_as(build, &typo).await.invalid("wify_only");
    assert!(
        problem["detail"].as_str().unwrap().contains("wifi_only"),
        "names those that exist: {problem}"
    );
    olga.post("/v1/apk/rollback", &json!({ "force": true }))
        .await
        .invalid("force");
    olga.post(&format!("/v1/apk/{build}/pause"), &json!({ "for": "1h" }))
        .await
        .invalid("for");
    olga.builds("?pagesize=3").await.invalid("pagesize");
    olga.get("/v1/audit?who=olga").await.invalid("who");
    server
        .operator(Role::Admin)
        .post("/v1/enrollment-tokens", &json!({ "count": 3 }))
        .await
        .invalid("count");
    assert_eq!(olga.everything().await, before);
}

async fn a_field_of_another_type_is_refused_by_its_name(engine: Engine) {
    let (_server, olga, build) = day(engine).await;
    let before = olga.everything().await;
    let with = |name: &str, value: Value| {
        let mut settings = json!({ "rollout_percent": 10 });
        settings[name] = value;
        settings
    };
    let bad = [
        ("wifi_only", with("wifi_only", json!("yes"))),
        ("keep_previous", with("keep_previous", json!(1))),
        ("salt", with("salt", json!(7))),
        ("salt", with("salt", json!(""))),
        ("salt", with("salt", json!("x".repeat(65)))),
        ("audience.regions", with("audience", json!({ "regions": "eu" }))),
        ("audience.country", with("audience", json!({ "country": ["eu"] }))),
        ("audience", with("audience", json!(7))),
        ("audience", with("audience", json!(["eu"]))),
        ("audience", with("audience", json!(""))),
        ("audience", with("audience", json!("region = \"eu\""))),
        ("audience", with("audience", json!({ "expression": "sdk >" }))),
        (
            "audience",
            with("audience", json!({ "expression": "sdk > 1", "regions": ["eu"] })),
        ),
        (
            "audience",
            with("audience", json!({ "models": vec!["x"; 1_001] })),
        ),
    ];
    for (field, settings) in bad {
        println!("{settings}");
        olga.promote_as(build, &settings).await.invalid(field);
    }
    assert_eq!(olga.everything().await, before);
}

async fn what_is_not_json_is_refused(engine: Engine) {
    let (_server, olga, build) = day(engine).await;
    let before = olga.everything().await;
    let path = format!("/v1/apk/{build}/promote");
    for text in [
        "{",
        "rollout_percent=10",
        "[]",
        "[1, 10]",
        "null",
        "{} {}",
        "\u{feff}{}",
    ] {
        olga.post_text(&path, text).await.refused(400, "invalid_argument");
    }
    let deep = format!("{}1{}", r#"{"audience":"#.repeat(5000), "}".repeat(5000));
    olga.post_text(&path, &deep)
        .await
        .refused(400, "invalid_argument");
    assert_eq!(olga.everything().await, before);
}

async fn an_unknown_build_is_not_found(engine: Engine) {
    let (_server, olga, _) = day(engine).await;
    let before = olga.everything().await;
    for unknown in [9999, 0, -1, i64::MAX] {
        olga.build(unknown).await.refused(404, "not_found");
        olga.promote(unknown, 10).await.refused(404, "not_found");
        olga.adjust(unknown, 10).await.refused(404, "not_found");
        olga.pause(unknown).await.refused(404, "not_found");
        olga.resume(unknown).await.refused(404, "not_found");
        olga.get(&format!("/v1/apk/{unknown}/deployment-stats"))
            .await
            .refused(404, "not_found");
    }
    for number in ["one", "1.5", "99999999999999999999", "%00"] {
        let path = format!("/v1/apk/{number}");
        let problem = olga.get(&path).await.refused(404, "not_found");
        assert!(problem["detail"].as_str().unwrap().contains(&path), "{problem}");
    }
    assert_eq!(olga.everything().await, before);
}

async fn a_build_that_is_not_released_cannot_be_adjusted(engine: Engine) {
    let (_server, olga, _) = day(engine).await;
    let shelved = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let before = olga.everything().await;
    olga.adjust(shelved, 10).await.refused(409, "not_serving");
    olga.pause(shelved).await.refused(409, "not_serving");
    olga.resume(shelved).await.refused(409, "not_serving");
    assert_eq!(olga.everything().await, before);
}

async fn a_page_has_bounds(engine: Engine) {
    let (_server, olga, build) = day(engine).await;
    let lists = [
        "/v1/apk",
        "/v1/rollouts",
        "/v1/packages",
        "/v1/devices",
        "/v1/audit",
    ];
    for list in lists {
        // Zero is how gRPC says "not said"; in a query it says the same. What is more than the most is the most.
        for size in ["0", "500", "501", "9223372036854775807"] {
            olga.get(&format!("{list}?page_size={size}")).await.ok();
        }
        for size in ["-1", "ten", "99999999999999999999"] {
            let problem = olga
                .get(&format!("{list}?page_size={size}"))
                .await
                .invalid("page_size");
            assert!(problem["detail"].as_str().unwrap().len() < 300, "{problem}");
        }
        for token in ["garbage", "%F0%9F%8C%8A", "-1", "MTIzNDU2"] {
            olga.get(&format!("{list}?page_token={token}"))
                .await
                .invalid("page_token");
        }
    }
    olga.get(&format!("/v1/apk/{build}/deployment-stats?hours=721"))
        .await
        .invalid("hours");
    olga.get(&format!("/v1/apk/{build}/deployment-stats?hours=-1"))
        .await
        .invalid("hours");
    olga.builds("?package_name=not%20a%20package")
        .await
        .invalid("package_name");
}

async fn a_page_token_is_good_for_its_list_alone(engine: Engine) {
    let (_server, olga, _) = day(engine).await;
    olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let first = olga
        .builds(&format!("?package_name={PACKAGE}&page_size=1"))
        .await
        .ok();
    let token = first["next_page_token"].as_str().unwrap();
    // The size may change on the way.
    let next = olga
        .builds(&format!("?package_name={PACKAGE}&page_size=7&page_token={token}"))
        .await
        .ok();
    assert_eq!(next["items"].as_array().unwrap().len(), 1);
    for foreign in [
        "/v1/apk?",
        "/v1/apk?package_name=com.example.other&",
        "/v1/rollouts?",
        "/v1/audit?",
        "/v1/devices?",
        "/v1/packages?",
        "/v1/nudges?",
    ] {
        olga.get(&format!("{foreign}page_token={token}"))
            .await
            .invalid("page_token");
    }
}

async fn a_path_and_a_body_must_agree(engine: Engine) {
    let (server, olga, build) = day(engine).await;
    let before = olga.everything().await;
    let other = json!({ "rollout_percent": 10, "build_id": build + 1 });
    olga.promote_as(build, &other).await.invalid("build_id");
    server.device("pixel-1").await;
    let ada = server.operator(Role::Admin);
    ada.post("/v1/devices/pixel-1/revoke", &json!({ "device_id": "pixel-2" }))
        .await
        .invalid("device_id");
    ada.post(
        "/v1/packages/com.example.app/unpin",
        &json!({ "package_name": "com.example.other" }),
    )
    .await
    .invalid("package_name");
    let after = olga.everything().await;
    for list in 0..3 {
        assert_eq!(after[list], before[list]);
    }
}
