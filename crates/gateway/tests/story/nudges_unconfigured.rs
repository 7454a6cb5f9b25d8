//! A server that cannot nudge says so, and changes nothing; what devices say of commands that never were is refused.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    without_fcm_a_nudge_says_so_and_changes_nothing,
    an_answer_to_a_command_that_never_was_is_refused,
);

async fn without_fcm_a_nudge_says_so_and_changes_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    server.device("pixel-1").await;
    let before = olga.everything().await;
    for body in [json!({}), json!({ "device_ids": ["pixel-1"] })] {
        let answer = olga.post("/v1/apk/nudge-update", &body).await;
        answer.refused(409, "fcm_not_configured");
        assert!(
            answer.json()["detail"]
                .as_str()
                .unwrap()
                .contains("TIDEGATE_FCM_SERVICE_ACCOUNT")
        );
    }
    assert_eq!(olga.get("/v1/nudges").await.ok()["items"], json!([]));
    assert_eq!(olga.everything().await, before);
    olga.get("/v1/nudges/1").await.refused(404, "not_found");
    for verb in ["cancel", "pause"] {
        let answer = olga.post_text(&format!("/v1/nudges/1/{verb}"), "").await;
        answer.refused(404, "not_found");
    }
    let vera = server.person("vera", Role::Viewer);
    vera.post("/v1/apk/nudge-update", &json!({}))
        .await
        .refused(403, "role_too_low");
}

async fn told(device: &Agent, result: &Value) -> Answer {
    Answer::to(device.request(Method::POST, "/v1/action-result").json(result)).await
}

async fn an_answer_to_a_command_that_never_was_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let result = json!({
        "request_id": "a-command", "device_id": "pixel-1", "action": "update", "outcome": "done",
        "finished_at": "2026-11-23T12:00:00Z",
    });
    told(&device, &result).await.refused(404, "unknown_command");
    let with = |field: &str, value: Value| {
        let mut result = result.clone();
        result[field] = value;
        result
    };
    told(&device, &with("device_id", json!("pixel-2")))
        .await
        .refused(403, "foreign_device");
    for (field, value) in [
        ("request_id", json!("")),
        ("request_id", json!("x".repeat(65))),
        ("action", json!("")),
        ("outcome", json!("x".repeat(33))),
        ("outcome", json!("do\u{0}ne")),
        ("message", json!("x".repeat(1025))),
        ("finished_at", json!("yesterday")),
        ("finished_at", Value::Null),
    ] {
        let answer = told(&device, &with(field, value)).await;
        answer.refused(400, "invalid_argument");
        assert_eq!(answer.json()["field"], field);
    }
    let nobody = Answer::to(server.http().post(server.url("/v1/action-result")).json(&result)).await;
    nobody.refused(401, "no_token");
}
