//! How far a build's patches reach, on its page.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::person::{Person, between};

/// An app of which most stays from version to version.
fn app(code: i64) -> Vec<u8> {
    let apk = apks::release(PACKAGE, code).padding(60_000);
    apks::sign(apk.file("classes.dex", format!("the code of version {code}")))
}

#[tokio::test]
async fn a_release_says_how_far_its_patches_reach() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("ci", Role::Operator);
    let first = ci.uploaded(&app(1)).await;
    let second = ci.uploaded(&app(2)).await;
    ci.promote(first, 100).await.ok();
    let phone = server.device("phone").await;
    server.device("new").await.poll(0).await;
    phone.poll(1).await;
    let page = viewer.page(&format!("/builds/{first}")).await;
    assert!(!page.contains("id=\"patches\""), "nobody wants one: {page}");

    ci.promote(second, 100).await.ok();
    let path = format!("/builds/{second}");
    let line = async || {
        let page = viewer.page(&path).await;
        match page.contains("id=\"patches\"") {
            true => between(&page, "Patches: <span class=\"number\">", "</span>").to_owned(),
            false => String::new(),
        }
    };
    let all = "1 of 1 made, for 100 % of the devices on older versions";
    eventually(line, |line| line == all).await;
    let page = viewer.page(&path).await;
    let row = between(&page, "aria-label=\"Patches\"", "</table>");
    assert!(
        row.contains(&format!("<a href=\"/builds/{first}\" class=\"number\">1</a>")),
        "{row}"
    );
    assert!(
        row.contains(">offered<") && row.contains(" of the file<") && row.contains(" s</td>"),
        "{row}"
    );

    let manifest = phone.poll_as(PACKAGE, 1, "&patches=tgp1").await.manifest.unwrap();
    let patch = &manifest["patch"];
    Answer::to(server.http().get(patch["url"].as_str().unwrap())).await;
    let report = json!({
        "build_id": second, "status": "downloaded", "rollout_id": manifest["rollout_id"],
        "attempt": manifest["attempt"], "offer": manifest["offer"], "patch": "applied",
    });
    phone.report_as(&report).await.ok();
    let told = eventually(line, |line| line.ends_with("saved")).await;
    assert!(
        told.starts_with("1 of 1 made, for ") && told.contains("kB saved"),
        "{told}"
    );
}
