//! People: logging in, and who may do what.

use reqwest::Method;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::credentials::{VERBS, call};

on_both_engines!(
    a_person_logs_in_and_works,
    a_wrong_login_does_not_say_what_was_wrong,
    guessing_at_once_has_a_bound,
    each_role_may_do_its_share_and_no_more,
);

async fn log_in(server: &TestServer, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "password": password });
    Answer::to(server.http().post(server.url("/v1/auth/login")).json(&body)).await
}

async fn a_person_logs_in_and_works(engine: Engine) {
    let server = TestServer::start(engine).await;
    server
        .add_user("olga", Role::Operator, "correct horse battery")
        .await;
    let login = log_in(&server, "olga", "correct horse battery").await.ok();
    assert_eq!(login["role"], "operator");
    assert_eq!(
        login["expires_at"].as_str().unwrap().len(),
        "2026-11-24T00:00:00.000003Z".len(),
        "{login}"
    );
    let olga = server
        .operator(Role::Viewer)
        .with_token(login["token"].as_str().unwrap());
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    assert_eq!(olga.build(build).await.ok()["uploaded_by"], "olga");

    server.clock().advance(chrono::TimeDelta::hours(13));
    olga.builds("").await.refused(401, "invalid_token");
}

async fn a_wrong_login_does_not_say_what_was_wrong(engine: Engine) {
    let server = TestServer::start(engine).await;
    server
        .add_user("olga", Role::Operator, "correct horse battery")
        .await;
    let wrong = log_in(&server, "olga", "incorrect horse")
        .await
        .refused(401, "login_refused");
    let unknown = log_in(&server, "nobody", "correct horse battery")
        .await
        .refused(401, "login_refused");
    assert_eq!(wrong, unknown);
    log_in(&server, "", "").await.refused(401, "login_refused");
    log_in(&server, "OLGA", "correct horse battery")
        .await
        .refused(401, "login_refused");
}

async fn guessing_at_once_has_a_bound(engine: Engine) {
    let server = TestServer::start(engine).await;
    server
        .add_user("olga", Role::Operator, "correct horse battery")
        .await;
    let login_throttle: Vec<_> = (0..12).map(|number| format!("guess {number}")).collect();
    let answers =
        futures::future::join_all(login_throttle.iter().map(|guess| log_in(&server, "olga", guess))).await;
    let (told, bounded): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 401);
    assert!(
        !told.is_empty() && !bounded.is_empty(),
        "{} and {}",
        told.len(),
        bounded.len()
    );
    for answer in bounded {
        answer.refused(429, "too_many_logins");
        assert!(!answer.header("retry-after").is_empty());
    }
    log_in(&server, "olga", "correct horse battery").await.ok();
}

async fn each_role_may_do_its_share_and_no_more(engine: Engine) {
    let server = TestServer::start(engine).await;
    let build = server
        .operator(Role::Admin)
        .uploaded(&apks::build(PACKAGE, 1))
        .await;
    assert_eq!(build, 1, "the table below names it");
    server.device("pixel-1").await;
    let before = server.operator(Role::Viewer).everything().await;
    for (method, path, needed, body) in VERBS {
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            if role >= *needed {
                continue;
            }
            let answer = call(&server, method, path, Some(server.operator(role).token()), body).await;
            let problem = answer.refused(403, "role_too_low");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains(needed.as_str()) && detail.contains(role.as_str()),
                "{path}: {detail}"
            );
        }
    }
    assert_eq!(server.operator(Role::Viewer).everything().await, before);
    let olga = server.operator(Role::Operator);
    let add = json!({ "add": ["pixel-1"] });
    olga.post("/v1/tags/lab/devices", &add).await.ok();
    let hold = json!({ "tag": "lab", "hold": true, "remark": "tests" });
    assert_eq!(olga.post("/v1/policies", &hold).await.json()["policy_id"], 1);
    let calendar = json!({ "name": "nights", "zone": "device" });
    assert_eq!(olga.post("/v1/calendars", &calendar).await.status, 201);
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let arm = |build| json!({ "build_id": build, "width_percent": 10 });
    let experiment = json!({ "package_name": PACKAGE, "arms": [arm(build), arm(second)] });
    let begun = olga.post("/v1/experiments", &experiment).await.json();
    assert_eq!(begun["experiment_id"], 1);
    let gated = json!({ "revision": 1, "gate": {} });
    let gated = olga.request(Method::PATCH, "/v1/rollouts/1").json(&gated);
    Answer::to(gated).await.ok();
    // There is no campaign to be looked at: nudging is not configured.
    let reads = VERBS
        .iter()
        .filter(|verb| verb.0 == "GET" && !verb.1.starts_with("/v1/nudges/1"));
    for (method, path, needed, body) in reads {
        let answer = call(
            &server,
            method,
            path,
            Some(server.operator(*needed).token()),
            body,
        )
        .await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.json());
    }
    // The upload's body is not even looked at.
    let viewer = server.operator(Role::Viewer);
    let request = viewer.request(Method::POST, "/v1/apk/upload").body("x");
    Answer::to(request).await.refused(403, "role_too_low");
}
