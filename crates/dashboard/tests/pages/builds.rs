//! The builds as a table by package, and two of them beside each other.

use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::person::{Person, text};

#[tokio::test]
async fn builds_stand_by_package_with_what_became_of_them() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("ci", Role::Operator);
    let first = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let other = ci.uploaded(&apks::build("com.example.other", 1)).await;
    let second = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    ci.promote(first, 100).await.ok();
    ci.promote(second, 50).await.ok();
    let token = server.operator(Role::Admin).enroll_token(4).await;
    for number in 0..4 {
        let device = serde_json::json!({ "enrollment_token": token, "device_id": format!("till-{number}") });
        let agent = server.enroll_as(&device).await.unwrap();
        if agent.poll(1).await.build() == Some(second) {
            agent.report(second, "install_failed").await.ok();
        }
    }
    let page = viewer.page("/builds").await;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
    let group = |package| at(&format!("scope=\"rowgroup\" colspan=\"8\">{package}<"));
    let row = |build| at(&format!("<tr id=\"build-{build}\">"));
    assert!(
        group(PACKAGE) < row(second) && row(second) < row(first),
        "newest first"
    );
    assert!(row(first) < group("com.example.other") && group("com.example.other") < row(other));
    assert!(
        page.contains("100 %</span>"),
        "all that tried the second have failed: {page}"
    );
    assert!(page[row(other)..].contains("not offered"));
    let only = viewer.page("/builds?package=com.example.other").await;
    assert!(!only.contains(&format!("<tr id=\"build-{first}\">")));
}

#[tokio::test]
async fn two_builds_are_compared_and_no_other_number_of_them() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("ci", Role::Operator);
    let first = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    let other = ci.uploaded(&apks::build("com.example.other", 1)).await;
    // The older one comes first, whichever was ticked first.
    for (one, another) in [(first, second), (second, first)] {
        let page = viewer
            .page(&format!("/builds/compare?build={one}&build={another}"))
            .await;
        assert!(page.contains("1.1 → 1.2"), "{page}");
        assert!(page.contains("Version code: 1 → 2"), "{page}");
    }
    for (query, status, says) in [
        (String::new(), 400, "names 0 builds"),
        (format!("?build={first}"), 400, "names 1 builds"),
        (
            format!("?build={first}&build={second}&build={other}"),
            400,
            "names 3 builds",
        ),
        (format!("?build={first}&build=x"), 400, "must be the number"),
        (
            format!("?build={first}&build={other}"),
            400,
            "is a build of com.example",
        ),
        (format!("?build={first}&build=99"), 404, "build 99"),
    ] {
        let answer = viewer.get(&format!("/builds/compare{query}")).await;
        assert_eq!(answer.status, status, "{query}");
        assert!(text(&answer).contains(says), "{query}: {}", text(&answer));
    }
}

/// Both are where somebody decides.
#[tokio::test]
async fn what_keeps_devices_from_installing_a_build_stands_on_its_page_and_where_it_is_promoted() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ci = server.person("ci", Role::Operator);
    let blocked = apks::release(PACKAGE, 1)
        .min_sdk(24)
        .target_sdk(34)
        .file("resources.arsc", vec![0; 5000])
        .lib("armeabi-v7a", "libapp.so", vec![1; 100]);
    let blocked = ci.uploaded(&apks::sign(blocked)).await;
    let plain = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    for path in ["", "/promote"] {
        let page = operator.page(&format!("/builds/{blocked}{path}")).await;
        let list = page.split_once("data-testid=\"findings\"");
        let (_, list) = list.unwrap_or_else(|| panic!("{path}: no findings in {page}"));
        let list = &list[..list.find("</ul>").unwrap()];
        assert!(
            list.contains("does not install: resources.arsc: "),
            "{path}: {list}"
        );
        assert!(list.contains("[resources-compressed]"), "{path}: {list}");
        assert!(list.contains("note: "), "{path}: {list}");
        assert!(list.contains("[only-32-bit]"), "{path}: {list}");
        let page = operator.page(&format!("/builds/{plain}{path}")).await;
        assert!(!page.contains("data-testid=\"findings\""), "{path}: {page}");
    }
}

/// Who deletes a build sees whom it concerns.
#[tokio::test]
async fn the_devices_that_still_run_a_build_are_told_before_it_is_deleted() {
    let server = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 3)).await;
    let sheet = format!("/builds/{build}/delete");
    assert!(!admin.page(&sheet).await.contains("id=\"running\""));
    for (name, version) in [("till-1", 3), ("till-2", 3), ("till-3", 2)] {
        server.device(name).await.poll(version).await;
    }
    let told = "min_version=3&#38;max_version=3\">2 devices</a> still run this version";
    eventually(|| admin.page(&sheet), |page| page.contains(told)).await;
}
