//! The audit log as people read it and take it along.

use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, text};

#[tokio::test]
async fn what_is_asked_for_stands_in_chips_and_is_taken_along() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("=cmd|'/C calc'!A0", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 7)).await;
    ci.promote(build, 30).await.ok();
    ci.adjust(build, 40).await.ok();

    let page = viewer
        .page("/audit?action=ota.rollout.adjust&from=2020-01-01")
        .await;
    assert_eq!(page.matches("data-seq=").count(), 1);
    assert!(page.contains("Action: <b>ota.rollout.adjust</b>"), "{page}");
    assert!(
        page.contains("href=\"/audit?action=ota.rollout.adjust\""),
        "without its day"
    );
    assert!(
        page.contains("href=\"/audit?from=2020-01-01\""),
        "without its action"
    );
    // The file is of the same entries.
    assert!(page.contains("href=\"/audit.csv?action=ota.rollout.adjust&#38;from=2020-01-01\""));
    let answer = viewer
        .get("/audit.csv?action=ota.rollout.adjust&from=2020-01-01")
        .await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let file = text(&answer);
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines.len(), 2, "{file}");
    assert!(lines[0].starts_with("number,at,actor,"));
    assert!(
        lines[1].contains("\"'=cmd|'/C calc'!A0\""),
        "a name is no formula: {file}"
    );
    assert!(lines[1].contains("raised 1.7 from 30 % to 40 %"), "{file}");
    let refused = viewer.get("/audit.csv?from=yesterday").await;
    assert!(refused.status == 400 && text(&refused).contains("2026-11-23"));
}

#[tokio::test]
async fn a_file_of_many_entries_holds_each_of_them_once() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let admin = server.operator(Role::Admin);
    for _ in 0..230 {
        admin.enroll_token(1).await;
    }
    let file = text(&viewer.get("/audit.csv?action=enrollment_token.create").await);
    let mut numbers: Vec<&str> = file
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(numbers.len(), 230, "more than the server holds at once");
    numbers.dedup();
    assert_eq!(numbers.len(), 230);
    let newest_first = |pair: &[&str]| pair[0].parse::<i64>().unwrap() > pair[1].parse::<i64>().unwrap();
    assert!(numbers.windows(2).all(newest_first));
}

#[tokio::test]
async fn nobody_without_a_session_takes_the_log_along() {
    let server = TestServer::start(Engine::Sqlite).await;
    let answer = server
        .http()
        .get(server.admin_url("/audit.csv"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303);
}
