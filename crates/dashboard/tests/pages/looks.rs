//! What every page has to be: safe to look at, whatever it shows, and small.

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

/// A text that would run where it is not escaped, in each of the places that a page has.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}";

/// How large a page may be, in bytes.
const MAX_PAGE_BYTES: usize = 100_000;

/// A fleet whose every text is hostile.
async fn hostile() -> TestServer {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person(HOSTILE, Role::Operator);
    for code in 1..=30 {
        let apk = apks::sign(apks::release(PACKAGE, code).version_name(HOSTILE));
        let form = reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::bytes(apk).file_name("app.apk"))
            .text("notes", HOSTILE.repeat(if code == 30 { 700 } else { 1 }))
            .text("build_type", HOSTILE)
            .text("ci_run_id", HOSTILE)
            .text("git_sha", HOSTILE);
        ci.upload_form(form).await.ok();
    }
    ci.promote_as(29, &json!({ "rollout_percent": 20, "salt": "x" }))
        .await
        .ok();
    ci.promote_as(30, &json!({ "rollout_percent": 10, "keep_previous": true }))
        .await
        .ok();
    let token = server.operator(Role::Admin).enroll_token(60).await;
    for number in 0..60 {
        let request = json!({
            "enrollment_token": token, "device_id": format!("{HOSTILE}{number}"), "alias": HOSTILE.repeat(3),
            "model": HOSTILE, "manufacturer": HOSTILE, "android_version": HOSTILE, "region": HOSTILE,
            "tags": [HOSTILE], "fcm_token": HOSTILE, "package_name": PACKAGE, "current_version_code": 3,
        });
        server.enroll_as(&request).await.unwrap();
    }
    server
}

#[tokio::test]
async fn hostile_texts_are_shown_and_do_nothing_and_pages_stay_small() {
    let server = hostile().await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let devices = admin.page("/devices").await;
    let device = between(&devices, "<th scope=\"row\"><a href=\"", "\"").to_owned();
    let paths = [
        "/",
        "/settings/people",
        "/settings/service-accounts",
        "/settings/enrolment",
        "/settings/packages",
        "/settings/tags",
        "/settings/policies",
        "/settings/calendars",
        "/settings/server",
        "/hold",
        "/hold/lift?package_name=com.example.app",
        "/builds",
        "/builds/30",
        "/builds/30/promote",
        "/builds/30/rollout",
        "/builds/30/rollback",
        "/builds/upload",
        "/devices",
        &device,
        &format!("{device}/revoke"),
        &format!("{device}/retry?build_id=30"),
        "/nudges",
        "/nudges/new",
        "/audit",
        "/builds?package=com.example.app&page_token=",
        "/login",
    ];
    let mut shown = 0;
    for path in paths {
        let answer = admin.get(path).await;
        let page = text(&answer);
        assert!(
            matches!(answer.status, 200 | 303),
            "{path}: {} {page}",
            answer.status
        );
        assert!(page.len() < MAX_PAGE_BYTES, "{path} has {} bytes", page.len());
        for live in ["<script>alert", "<img src=x", "49{{", " onerror=alert(2)>\""] {
            assert!(!page.contains(live), "{path} holds {live}");
        }
        shown += usize::from(page.contains("&#60;script&#62;"));
        // Nothing that the policy would have to allow.
        for inline in [" style=\"", " onclick=", " onload=", "javascript:", "<style"] {
            assert!(!page.contains(inline), "{path} holds {inline}");
        }
        for script in page.match_indices("<script").map(|(at, _)| &page[at..]) {
            assert!(
                script.starts_with("<script type=\"module\" src=\"/assets/")
                    || script.starts_with("<script src=\"/assets/"),
                "{path}"
            );
        }
    }
    assert!(shown >= 9, "only {shown} pages show the texts at all");
    for search in [
        "/devices?search=",
        "/audit?actor=",
        "/login?next=/",
        "/builds?done=",
        "/devices?state=",
    ] {
        let answer = admin
            .get(&format!("{search}%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))
            .await;
        assert!(!text(&answer).contains("<script>alert"), "{search}");
    }
}

#[tokio::test]
async fn every_page_has_a_strict_policy_and_is_kept_by_nobody() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    for path in [
        "/",
        "/builds",
        "/builds/7",
        "/devices",
        "/audit",
        "/login",
        "/session",
        "/builds/upload",
    ] {
        let answer = viewer.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_for_a_year_under_a_name_that_changes_with_them() {
    let server = TestServer::start(Engine::Sqlite).await;
    let page = text(&Answer::to(server.http().get(server.admin_url("/login"))).await);
    let path = format!(
        "/assets/{}",
        between(&page, "rel=\"stylesheet\" href=\"/assets/", "\"")
    );
    let style = Answer::to(server.http().get(server.admin_url(&path))).await;
    assert_eq!(
        (style.status, style.header("content-type")),
        (200, "text/css; charset=utf-8")
    );
    assert!(style.header("cache-control").contains("immutable"));
    let old = Answer::to(
        server
            .http()
            .get(server.admin_url("/assets/0000000000000000/app.css")),
    )
    .await;
    assert_eq!((old.status, old.header("cache-control")), (200, "no-cache"));
    let none = Answer::to(server.http().get(server.admin_url("/assets/0/passwd"))).await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn agents_on_a_port_of_their_own_find_no_page_there() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.admin_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    for path in ["/", "/login", "/builds", "/live"] {
        assert_eq!(
            Answer::to(server.http().get(server.url(path))).await.status,
            404,
            "{path}"
        );
    }
    assert_eq!(
        Answer::to(server.http().get(server.admin_url("/login")))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn numbers_come_by_themselves_and_a_stop_waits_for_no_listener() {
    let mut server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    ci.promote(build, 30).await.ok();
    let response = viewer.request(Method::GET, "/live").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut heard = String::new();
    while !heard.contains("event: tick") || !heard.ends_with("\n\n") {
        heard.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(
        heard.contains("\"b1.percent\":\"30 %\"") && heard.contains("\"b1.state\":\"active\""),
        "{heard}"
    );
    assert!(heard.contains("\"fleet.seen\""), "{heard}");
    server.stop().await;
    while let Some(Ok(_)) = stream.next().await {}
}
