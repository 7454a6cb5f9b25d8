//! A new server, until its first device is offered its first build; and addresses where there is nothing.

use reqwest::Method;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, text};

#[tokio::test]
async fn a_new_server_says_what_is_left_to_do_until_it_is_done() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let page = operator.page("/").await;
    assert!(page.contains("id=\"first-run\"") && !page.contains("id=\"versions-name\""));
    assert!(page.contains("href=\"/builds/upload\"") && !page.contains("data-done"));

    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let page = operator.page("/").await;
    assert_eq!(page.matches("data-done").count(), 1);
    assert!(page.contains(&format!("/builds/{build}/promote")));

    ci.promote(build, 100).await.ok();
    assert_eq!(operator.page("/").await.matches("data-done").count(), 2);

    let token = server.operator(Role::Admin).enroll_token(1).await;
    let device = serde_json::json!({ "enrollment_token": token, "device_id": "till-1" });
    server.enroll_as(&device).await.unwrap();
    let mut page = operator.page("/").await;
    // The fleet is counted every second.
    for _ in 0..200 {
        if !page.contains("id=\"first-run\"") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        page = operator.page("/").await;
    }
    assert!(!page.contains("id=\"first-run\"") && page.contains("id=\"versions-name\""));
}

#[tokio::test]
async fn where_there_is_nothing_a_browser_is_shown_a_page_and_a_program_a_problem() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    for path in ["/nowhere", "/builds/7/nowhere", "/v1/nowhere"] {
        let looked = viewer
            .request(Method::GET, path)
            .header("accept", "text/html,*/*;q=0.8");
        let page = Answer::to(looked).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(text(&page).contains("id=\"sheet-title\">Not found"), "{path}");
        assert!(
            page.header("content-security-policy")
                .starts_with("default-src 'none'")
        );
        let asked = Answer::to(viewer.request(Method::GET, path)).await;
        assert_eq!(asked.status, 404, "{path}");
        assert!(text(&asked).contains("no_such_path"), "{path}");
        let posted = viewer.request(Method::POST, path).header("accept", "text/html");
        assert!(text(&Answer::to(posted).await).contains("no_such_path"), "{path}");
    }
}
