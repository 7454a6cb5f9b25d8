//! Logging in and out, and what becomes of a session.

use chrono::TimeDelta;
use tidegate_domain::Role;
use tidegate_service::{LOGIN_PAUSE_MINUTES, MAX_FAILURES_PER_NAME};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{PASSWORD, Person, log_in, text};

#[tokio::test]
async fn a_session_is_a_cookie_that_no_script_reads_and_a_login_leads_back() {
    let server = TestServer::start(Engine::Sqlite).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;

    let sent_away = Answer::to(
        server
            .http()
            .get(server.admin_url("/builds?package=com.example.app")),
    )
    .await;
    assert_eq!(sent_away.status, 303);
    let location = sent_away.header("location");
    assert_eq!(location, "/login?next=%2Fbuilds%3Fpackage%3Dcom.example.app");

    let answer = log_in(&server, "olga", PASSWORD, "/builds?package=com.example.app").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/builds?package=com.example.app")
    );
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    assert!(
        !cookie.contains("Secure"),
        "the page was reached without TLS: {cookie}"
    );

    let elsewhere = log_in(&server, "olga", PASSWORD, "//evil.example/").await;
    assert_eq!(elsewhere.header("location"), "/");
}

#[tokio::test]
async fn a_page_reached_by_https_gets_a_cookie_for_https_alone() {
    let server = TestServer::start(Engine::Sqlite).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    let request = server.http().post(server.admin_url("/login"));
    let request = request
        .header("host", "tide.example")
        .header("origin", "https://tide.example");
    let answer = Answer::to(request.form(&[("name", "olga"), ("password", PASSWORD)])).await;
    assert_eq!(answer.status, 303, "{}", text(&answer));
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2);
    for cookie in cookies {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.starts_with("__Host-tidegate_"), "{cookie}");
        assert!(
            cookie.ends_with("; Secure") && cookie.contains("Path=/;"),
            "{cookie}"
        );
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    let session = answer.header("set-cookie").split(';').next().unwrap();
    let page = server
        .http()
        .get(server.admin_url("/session"))
        .header("cookie", session);
    assert_eq!(Answer::to(page).await.status, 204);
}

#[tokio::test]
async fn strangers_do_not_lock_out_a_browser_that_was_logged_in_with() {
    let server = TestServer::start(Engine::Sqlite).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    let first = log_in(&server, "olga", PASSWORD, "/").await;
    let cookies = first.headers.get_all("set-cookie").iter();
    let cookies = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    let browser = cookies
        .into_iter()
        .find(|cookie| cookie.contains("browser"))
        .unwrap();
    for _ in 0..MAX_FAILURES_PER_NAME {
        log_in(&server, "olga", "guess", "/").await;
    }
    assert_eq!(log_in(&server, "olga", PASSWORD, "/").await.status, 429);
    let known = |name: &'static str, password: &'static str| {
        let form = [("name", name), ("password", password)];
        let request = server.http().post(server.admin_url("/login")).form(&form);
        Answer::to(request.header("cookie", browser))
    };
    assert_eq!(known("olga", PASSWORD).await.status, 303);
    // It opens nothing by itself, it is no help with another name, and it has an end of its own.
    server.add_user("omar", Role::Operator, PASSWORD).await;
    for _ in 0..MAX_FAILURES_PER_NAME {
        assert_eq!(known("omar", "guess").await.status, 401);
        assert_eq!(known("olga", "guess").await.status, 401);
    }
    assert_eq!(known("omar", PASSWORD).await.status, 429);
    assert_eq!(known("olga", PASSWORD).await.status, 429);
}

#[tokio::test]
async fn an_expired_session_leads_to_the_login_and_back() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    server.clock().advance(TimeDelta::hours(13));
    let answer = viewer.get("/audit?actor=olga").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/login?next=%2Faudit%3Factor%3Dolga")
    );
    assert_eq!(viewer.get("/session").await.status, 401);
    assert_eq!(viewer.get("/live").await.status, 401);
    let form = viewer.post("/builds/1/pause", &[]).await;
    assert_eq!(
        (form.status, form.header("location")),
        (303, "/login?next=%2Fbuilds%2F1")
    );
}

#[tokio::test]
async fn logging_out_takes_the_cookie_away() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let answer = viewer.post("/logout", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login"));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn guessing_a_password_has_an_end_and_says_so() {
    let server = TestServer::start(Engine::Sqlite).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    for _ in 0..MAX_FAILURES_PER_NAME {
        let answer = log_in(&server, "olga", "guess", "/").await;
        assert_eq!(answer.status, 401);
        assert!(text(&answer).contains("the name or the password is wrong"));
    }
    let answer = log_in(&server, "olga", PASSWORD, "/").await;
    assert_eq!(answer.status, 429);
    assert!(text(&answer).contains("too many logins failed for this name"));
    assert!(!answer.header("retry-after").is_empty());
    server.clock().advance(TimeDelta::minutes(LOGIN_PAUSE_MINUTES));
    assert_eq!(log_in(&server, "olga", PASSWORD, "/").await.status, 303);
}
