//! What a server behind a proxy knows of those who call, and whom it believes.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_service::{MAX_FAILURES_PER_ADDRESS, MAX_FAILURES_PER_NAME};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::event_log;

const PASSWORD: &str = "correct horse battery";

async fn behind_a_proxy() -> TestServer {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.max_connections_per_address = 2;
    })
    .await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    server
}

async fn log_in(server: &TestServer, from: &str, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "password": password });
    let request = server.http().post(server.url("/v1/auth/login")).json(&body);
    Answer::to(request.header("x-forwarded-for", from)).await
}

#[tokio::test]
async fn each_address_behind_a_trusted_proxy_has_its_own_failures() {
    let server = behind_a_proxy().await;
    for number in 0..MAX_FAILURES_PER_ADDRESS {
        // What the guesser writes in front of the address that the proxy saw changes nothing.
        let from = format!("198.51.100.{number}, 192.0.2.1");
        let answer = log_in(&server, &from, &format!("name-{number}"), "guess").await;
        answer.refused(401, "login_refused");
    }
    log_in(&server, "192.0.2.1", "olga", PASSWORD)
        .await
        .refused(429, "too_many_failed_logins");
    log_in(&server, "192.0.2.2", "olga", PASSWORD).await.ok();
}

#[tokio::test]
async fn what_others_say_of_themselves_is_not_believed() {
    let server = TestServer::start(Engine::Sqlite).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    for number in 0..MAX_FAILURES_PER_ADDRESS {
        let from = format!("192.0.2.{number}");
        log_in(&server, &from, &format!("name-{number}"), "guess").await;
    }
    log_in(&server, "203.0.113.1", "olga", PASSWORD)
        .await
        .refused(429, "too_many_failed_logins");
}

#[tokio::test]
async fn an_address_has_its_share_of_requests_without_a_credential_and_others_theirs() {
    let server = behind_a_proxy().await;
    let address = server.config().listen;
    let unfinished = |from: &'static str| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/auth/login HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {from}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let other = unfinished("192.0.2.2").await;
    let mut oldest = unfinished("192.0.2.1").await;
    // The server has certainly begun with each before the next one comes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut rest = vec![];
    for _ in 0..2 {
        rest.push(unfinished("192.0.2.1").await);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut answer = vec![0; 2048];
    let read = oldest.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("too_many_requests"), "{answer}");
    for stream in rest.iter().chain([&other]) {
        let waits = stream.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    }

    // Those who have a credential are as many as they are.
    let device = server.device("pixel-1").await;
    let polls = (0..20).map(|_| device.poll(1));
    for polled in futures::future::join_all(polls).await {
        assert_eq!(polled.build(), None);
    }
}

#[tokio::test]
async fn logins_are_told_in_the_log_and_the_good_ones_in_the_audit_log() {
    event_log::record();
    let server = behind_a_proxy().await;
    log_in(&server, "192.0.2.71", "olga", PASSWORD).await.ok();
    log_in(&server, "192.0.2.72", "olga", "guess").await;
    log_in(&server, "192.0.2.73", "a password in the wrong field", "guess").await;
    let logged = |event: &str, address: &str| {
        let mut found = event_log::of(event, "address", address);
        assert_eq!(found.len(), 1, "{event} {address}");
        found.remove(0)
    };
    assert_eq!(logged("ota.login", "192.0.2.71")["name"], "olga");
    let refused = logged("ota.login.refused", "192.0.2.72");
    assert_eq!(
        (&*refused["name"], &*refused["reason"]),
        ("olga", "login_refused")
    );
    assert_eq!(logged("ota.login.refused", "192.0.2.73")["name"], "(unknown)");
    for _ in 0..MAX_FAILURES_PER_NAME {
        log_in(&server, "192.0.2.74", "olga", "guess").await;
    }
    let throttled = event_log::of("ota.login.refused", "reason", "too_many_failed_logins");
    assert!(
        throttled
            .iter()
            .any(|line| line["address"] == "192.0.2.74" && line["name"] == "olga")
    );

    let audit = server.operator(Role::Admin).audit("?action=user.login").await;
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!(audit[0]["actor"], "olga");
    assert_eq!(audit[0]["target"], "user/olga");
    assert_eq!(audit[0]["after"]["address"], "192.0.2.71");
    assert!(audit[0]["request_id"].is_string(), "{audit:?}");
}

#[tokio::test]
async fn a_form_is_judged_by_the_name_that_the_browser_used() {
    let server = behind_a_proxy().await;
    let post = |origin: &'static str, forwarded: &'static str| {
        let form = [("name", "olga"), ("password", PASSWORD)];
        let request = server.http().request(Method::POST, server.url("/login"));
        let request = request.header("host", "127.0.0.1:8080").header("origin", origin);
        Answer::to(request.header("x-forwarded-host", forwarded).form(&form))
    };
    assert_eq!(post("https://tide.example", "tide.example").await.status, 303);
    assert_eq!(post("https://evil.example", "tide.example").await.status, 403);

    let open = TestServer::start(Engine::Sqlite).await;
    open.add_user("olga", Role::Operator, PASSWORD).await;
    let form = [("name", "olga"), ("password", PASSWORD)];
    let request = open.http().post(open.url("/login")).form(&form);
    let request = request
        .header("origin", "https://evil.example")
        .header("x-forwarded-host", "evil.example");
    assert_eq!(
        Answer::to(request).await.status,
        403,
        "nobody forwards that is trusted"
    );
    let logins = || async { open.operator(Role::Admin).audit("?action=user.login").await.len() };
    eventually(logins, |logins| *logins == 0).await;
}
