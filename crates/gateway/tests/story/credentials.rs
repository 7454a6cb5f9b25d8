//! Credentials that are missing, wrong, old, forged or another's.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    without_a_token_nothing_is_told,
    an_expired_token_is_refused,
    a_forged_token_is_refused,
    alg_none_is_refused,
    another_servers_token_is_refused,
    tokens_of_devices_and_people_are_not_each_others,
    a_device_may_only_ask_for_itself,
);

/// Every admin verb: method, path, the lowest role that may, and a body that is in order.
pub(crate) const VERBS: &[(&str, &str, Role, &str)] = &[
    ("GET", "/metrics", Role::Viewer, ""),
    ("GET", "/v1/apk", Role::Viewer, ""),
    ("GET", "/v1/apk/1", Role::Viewer, ""),
    ("GET", "/v1/apk/1/diff?from_build_id=1", Role::Viewer, ""),
    ("GET", "/v1/apk/1/deployment-stats", Role::Viewer, ""),
    ("GET", "/v1/apk/1/patches", Role::Viewer, ""),
    ("GET", "/v1/rollouts", Role::Viewer, ""),
    (
        "GET",
        "/v1/rollouts/board?package_name=com.example.app",
        Role::Viewer,
        "",
    ),
    ("GET", "/v1/rollouts/1", Role::Viewer, ""),
    (
        "POST",
        "/v1/rollouts",
        Role::Operator,
        r#"{"build_id":1,"rollout_percent":10}"#,
    ),
    (
        "POST",
        "/v1/rollouts/forecast",
        Role::Viewer,
        r#"{"build_id":1,"rollout_percent":10}"#,
    ),
    ("PATCH", "/v1/rollouts/1", Role::Operator, r#"{"revision":1}"#),
    ("POST", "/v1/rollouts/1/pause", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/resume", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/halt", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/cancel", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/complete", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/roll-back", Role::Operator, ""),
    ("GET", "/v1/experiments", Role::Viewer, ""),
    ("GET", "/v1/experiments/1", Role::Viewer, ""),
    ("POST", "/v1/experiments", Role::Operator, EXPERIMENT),
    (
        "POST",
        "/v1/experiments/1/conclude",
        Role::Operator,
        r#"{"winner":"none"}"#,
    ),
    ("PATCH", "/v1/apk/1", Role::Operator, r#"{"barrier":true}"#),
    ("GET", "/v1/packages", Role::Viewer, ""),
    (
        "POST",
        "/v1/audiences/check",
        Role::Viewer,
        r#"{"audience":"sdk >= 30"}"#,
    ),
    ("GET", "/v1/fleet", Role::Viewer, ""),
    ("GET", "/v1/devices", Role::Viewer, ""),
    ("GET", "/v1/devices/pixel-1", Role::Viewer, ""),
    (
        "GET",
        "/v1/devices/pixel-1/explain?package_name=com.example.app",
        Role::Viewer,
        "",
    ),
    ("GET", "/v1/audit", Role::Viewer, ""),
    ("GET", "/v1/nudges", Role::Viewer, ""),
    ("GET", "/v1/nudges/1", Role::Viewer, ""),
    ("GET", "/v1/nudges/1/failures", Role::Viewer, ""),
    ("POST", "/v1/apk/nudge-update", Role::Operator, "{}"),
    ("POST", "/v1/nudges/1/cancel", Role::Operator, ""),
    ("POST", "/v1/nudges/1/pause", Role::Operator, ""),
    ("POST", "/v1/nudges/1/resume", Role::Operator, ""),
    ("GET", "/v1/audit/verify", Role::Viewer, ""),
    ("POST", "/v1/apk/upload", Role::Operator, ""),
    (
        "POST",
        "/v1/apk/1/promote",
        Role::Operator,
        r#"{"rollout_percent":10}"#,
    ),
    (
        "POST",
        "/v1/apk/1/rollout",
        Role::Operator,
        r#"{"rollout_percent":10}"#,
    ),
    ("POST", "/v1/apk/1/pause", Role::Operator, ""),
    ("POST", "/v1/apk/1/resume", Role::Operator, ""),
    (
        "POST",
        "/v1/apk/rollback",
        Role::Operator,
        r#"{"package_name":"com.example.app"}"#,
    ),
    ("POST", "/v1/devices/pixel-1/revoke", Role::Admin, ""),
    ("POST", "/v1/devices/pixel-1/retry", Role::Operator, "{}"),
    ("POST", "/v1/devices/pixel-1/retire", Role::Admin, ""),
    (
        "POST",
        "/v1/devices/pixel-1/erase",
        Role::Admin,
        r#"{"confirm":"pixel-1"}"#,
    ),
    ("POST", "/v1/apk/1/notes", Role::Operator, r#"{"notes":"x"}"#),
    ("POST", "/v1/apk/1/delete", Role::Admin, ""),
    ("POST", "/v1/devices/pixel-1/allow-enrolment", Role::Operator, ""),
    ("POST", "/v1/enrollment-tokens", Role::Admin, r#"{"uses":1}"#),
    ("GET", "/v1/enrollment-tokens", Role::Admin, ""),
    ("POST", "/v1/enrollment-tokens/1/revoke", Role::Admin, ""),
    ("POST", "/v1/packages/com.example.app/pin", Role::Admin, PIN),
    ("POST", "/v1/packages/com.example.app/unpin", Role::Admin, ""),
    (
        "POST",
        "/v1/packages/com.example.app/allow-debuggable",
        Role::Admin,
        r#"{"allow":true}"#,
    ),
    ("POST", "/v1/rollouts/1/start", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/advance", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/hold", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/approve", Role::Operator, ""),
    ("POST", "/v1/rollouts/1/deny", Role::Operator, ""),
    ("GET", "/v1/rollouts/1/timeline", Role::Viewer, ""),
    ("GET", "/v1/rollouts/1/gate", Role::Viewer, ""),
    (
        "PATCH",
        "/v1/packages/com.example.app",
        Role::Admin,
        r#"{"approval":"never"}"#,
    ),
    ("GET", "/v1/tags", Role::Viewer, ""),
    ("GET", "/v1/tags/lab/devices", Role::Viewer, ""),
    (
        "POST",
        "/v1/tags/lab/devices",
        Role::Operator,
        r#"{"add":["pixel-1"]}"#,
    ),
    ("POST", "/v1/tags/lab/rename", Role::Operator, r#"{"to":"room"}"#),
    ("DELETE", "/v1/tags/lab", Role::Operator, ""),
    ("GET", "/v1/policies", Role::Viewer, ""),
    ("GET", "/v1/policies/1", Role::Viewer, ""),
    (
        "POST",
        "/v1/policies",
        Role::Operator,
        r#"{"tag":"lab","hold":true,"remark":"x"}"#,
    ),
    ("PATCH", "/v1/policies/1", Role::Operator, r#"{"remark":"y"}"#),
    ("DELETE", "/v1/policies/1", Role::Operator, ""),
    ("GET", "/v1/calendars", Role::Viewer, ""),
    ("GET", "/v1/calendars/nights", Role::Viewer, ""),
    ("GET", "/v1/calendars/nights/openings", Role::Viewer, ""),
    (
        "POST",
        "/v1/calendars",
        Role::Operator,
        r#"{"name":"nights","zone":"device"}"#,
    ),
    ("PUT", "/v1/calendars/nights", Role::Operator, r#"{"zone":"UTC"}"#),
    ("DELETE", "/v1/calendars/nights", Role::Operator, ""),
    ("GET", "/v1/hold", Role::Viewer, ""),
    ("PUT", "/v1/hold", Role::Operator, r#"{"remark":"x"}"#),
    ("DELETE", "/v1/hold", Role::Operator, ""),
    ("POST", "/v1/auth/logout", Role::Viewer, ""),
    ("GET", "/v1/users", Role::Admin, ""),
    (
        "POST",
        "/v1/users",
        Role::Admin,
        r#"{"name":"omar","role":"viewer","password":"correct horse battery"}"#,
    ),
    ("POST", "/v1/users/omar/disable", Role::Admin, ""),
    ("POST", "/v1/users/omar/enable", Role::Admin, ""),
    ("POST", "/v1/users/omar/role", Role::Admin, r#"{"role":"viewer"}"#),
    (
        "POST",
        "/v1/users/omar/password",
        Role::Admin,
        r#"{"password":"correct horse battery"}"#,
    ),
    ("POST", "/v1/users/omar/remove", Role::Admin, ""),
    ("GET", "/v1/service-accounts", Role::Admin, ""),
    (
        "POST",
        "/v1/service-accounts",
        Role::Admin,
        r#"{"name":"ci","role":"operator"}"#,
    ),
    ("POST", "/v1/service-accounts/ci/tokens", Role::Admin, ""),
    ("POST", "/v1/service-accounts/ci/remove", Role::Admin, ""),
    ("GET", "/v1/tokens", Role::Admin, ""),
    ("POST", "/v1/tokens/nobody/revoke", Role::Admin, ""),
];

const EXPERIMENT: &str = r#"{"package_name":"com.example.app",
    "arms":[{"build_id":1,"width_percent":10},{"build_id":2,"width_percent":10}]}"#;

const PIN: &str =
    r#"{"signer_fingerprint":"0000000000000000000000000000000000000000000000000000000000000000"}"#;

/// Calls a verb of the table with this token.
pub(crate) async fn call(
    server: &TestServer,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = server
        .http()
        .request(method, server.admin_url(path))
        .body(body.to_owned());
    Answer::to(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await
}

async fn without_a_token_nothing_is_told(engine: Engine) {
    let server = TestServer::start(engine).await;
    for (method, path, _, body) in VERBS {
        let answer = call(&server, method, path, None, body).await;
        answer.refused(401, "no_token");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
    }
    for value in ["", "Bearer", "Bearer ", "Basic b2xnYTpzZWNyZXQ=", "Token abc"] {
        let request = server
            .http()
            .get(server.url("/v1/apk"))
            .header("authorization", value);
        Answer::to(request).await.refused(401, "no_token");
    }
    let poll = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    Answer::to(server.http().get(server.url(&poll)))
        .await
        .refused(401, "no_token");
}

/// The refusal of a token by a verb that only looks and by one that changes, and that it changed nothing.
async fn refused_everywhere(server: &TestServer, token: &str) {
    let ada = server.operator(Role::Admin);
    let before = ada.everything().await;
    for (method, path, _, body) in VERBS {
        call(server, method, path, Some(token), body)
            .await
            .refused(401, "invalid_token");
    }
    assert_eq!(ada.everything().await, before);
}

async fn an_expired_token_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let token = server.operator(Role::Admin).token().to_owned();
    server.clock().advance(TimeDelta::hours(12));
    refused_everywhere(&server, &token).await;
}

async fn a_forged_token_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = server.operator(Role::Viewer).token().to_owned();
    let (header, payload, signature) = parts(&viewer);
    let admin = raised(payload);
    let by_guess = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, b"secret"),
        format!("{header}.{admin}").as_bytes(),
    );
    let forged = [
        format!("{header}.{admin}.{signature}"),
        format!("{header}.{admin}.{}", BASE64_URL_SAFE_NO_PAD.encode(by_guess)),
        format!("{header}.{payload}.{}", "A".repeat(signature.len())),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        "x".repeat(10_000),
        "...".to_owned(),
    ];
    for token in forged {
        refused_everywhere(&server, &token).await;
    }
}

fn parts(token: &str) -> (&str, &str, &str) {
    let mut parts = token.split('.');
    (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    )
}

/// A token's payload with the role of an admin.
fn raised(payload: &str) -> String {
    let mut claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["role"] = json!("admin");
    BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())
}

async fn alg_none_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = server.operator(Role::Viewer).token().to_owned();
    let (_, payload, signature) = parts(&viewer);
    let admin = raised(payload);
    for alg in ["none", "None", "NONE", "HS512", "RS256", ""] {
        let header = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT" }).to_string());
        refused_everywhere(&server, &format!("{header}.{admin}.")).await;
        refused_everywhere(&server, &format!("{header}.{admin}.{signature}")).await;
    }
}

async fn another_servers_token_is_refused(engine: Engine) {
    let (here, there) = (TestServer::start(engine).await, TestServer::start(engine).await);
    refused_everywhere(&here, there.operator(Role::Admin).token()).await;
    let mut device = there.device("pixel-1").await;
    here.device("pixel-1").await;
    device = device.at(&here.url(""));
    device.ask(PACKAGE, 1, "").await.refused(401, "invalid_token");
}

async fn tokens_of_devices_and_people_are_not_each_others(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    refused_everywhere(&server, &device.token).await;
    let mut person = device.clone();
    person.token = server.operator(Role::Admin).token().to_owned();
    person.ask(PACKAGE, 1, "").await.refused(401, "invalid_token");
    person.report(1, "downloaded").await.refused(401, "invalid_token");
}

async fn a_device_may_only_ask_for_itself(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let own = server.device("pixel-1").await;
    server.device("pixel-2").await;
    let mut curious = own.clone();
    for other in ["pixel-2", "pixel-", "pixel-11", "PIXEL-1", "nobody", ""] {
        curious.id = other.to_owned();
        curious.ask(PACKAGE, 1, "").await.refused(403, "foreign_device");
    }
    let mut altered = own.clone();
    altered.token = own.token.replacen("pixel-1", "pixel-2", 1);
    altered.token.push('x');
    altered.ask(PACKAGE, 1, "").await.refused(401, "invalid_token");
    assert_eq!(own.poll(1).await.build(), Some(build));
}
