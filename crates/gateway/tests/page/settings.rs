//! The settings in a browser: every page and sheet, and a secret that is shown once.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::fixture::{Fixture, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_settings_fits_and_bars_nobody() {
    let stand_in = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&stand_in, config)).await;
    let fixture = Fixture::at(server, "ada", Role::Admin).await;
    fill(&fixture).await;
    let browser = &fixture.browser;
    let mut faults: Vec<String> = Vec::new();
    for name in [
        "people",
        "service-accounts",
        "enrolment",
        "packages",
        "tags",
        "policies",
        "calendars",
        "server",
    ] {
        let path = format!("/settings/{name}");
        fixture
            .look(&format!("settings-{name}"), &path, &mut faults)
            .await;
        let lit = "return document.querySelectorAll('.tabs [aria-current=page]').length";
        assert_eq!(browser.run(lit, vec![]).await, 1, "{name}");
    }
    for (name, path) in [
        ("person", "/settings/people/add".to_owned()),
        ("own-password", "/settings/password".to_owned()),
        ("account", "/settings/service-accounts/add".to_owned()),
        ("enroll-token", "/settings/enrolment/add".to_owned()),
        ("gate", format!("/settings/packages/{PACKAGE}/gate")),
        ("plan", format!("/settings/packages/{PACKAGE}/plan")),
        ("policy", "/settings/policies/add".to_owned()),
        ("calendar", "/settings/calendars/nights/change".to_owned()),
        ("rename-tag", "/settings/tags/bench/rename".to_owned()),
        ("test-message", "/settings/server/test".to_owned()),
    ] {
        fixture
            .look(&format!("settings-{name}"), &path, &mut faults)
            .await;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_in_a_dialog_and_shown_once() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let browser = &fixture.browser;
    let mut faults: Vec<String> = Vec::new();
    browser.go("/").await;
    browser.click("nav a[href='/settings']").await;
    browser.arrives(|path| path == "/settings/people").await;
    browser.click(".tabs a[href='/settings/enrolment']").await;
    browser.arrives(|path| path == "/settings/enrolment").await;
    browser.click("#add").await;
    browser.find("dialog[open] #sheet-title").await;
    browser.fill("dialog [name=component]", "agent").await;
    browser.click("dialog #sheet-submit").await;
    browser
        .reads("dialog #error", |text| {
            text.contains("must be a package and a class")
        })
        .await;
    fixture
        .judge("settings-enroll-refused-dialog", &mut faults, &["400"])
        .await;
    browser
        .set("dialog [name=component]", "com.example.agent/.Owner")
        .await;
    browser
        .fill("dialog [name=apk_url]", "https://example.com/agent.apk")
        .await;
    browser.fill("dialog [name=signer]", &"ab".repeat(32)).await;
    browser.click("dialog #sheet-submit").await;
    browser.find("dialog[open] svg.qr").await;
    browser.reads("dialog #secret", |text| text.len() > 20).await;
    fixture.judge("settings-made-dialog", &mut faults, &[]).await;
    browser.click("dialog #taken").await;
    browser
        .reads("[data-token='1']", |text| text.contains("1 of 1"))
        .await;
    // One's own password, from the name at the top.
    browser.click("#own-password").await;
    browser.fill("dialog [name=old_password]", PASSWORD).await;
    browser
        .fill("dialog [name=new_password]", "battery staple horse")
        .await;
    browser.fill("dialog [name=again]", "battery staple horse").await;
    browser.click("dialog #sheet-submit").await;
    browser
        .reads("#done", |text| text.starts_with("Your password was changed"))
        .await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Something on every page, with texts as long as they come.
async fn fill(fixture: &Fixture) {
    let server = &fixture.server;
    fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5], 1).await;
    server
        .add_user("a.person-with-a-long.name@example.com", Role::Viewer, PASSWORD)
        .await;
    let (admin, operator) = (server.operator(Role::Admin), server.operator(Role::Operator));
    let account =
        json!({ "name": "build-pipeline", "role": "operator", "verbs": ["upload"], "packages": [PACKAGE] });
    admin.post("/v1/service-accounts", &account).await.ok();
    let ids: Vec<&str> = agents.iter().map(|agent| agent.id.as_str()).collect();
    operator
        .post("/v1/tags/bench/devices", &json!({ "add": ids }))
        .await
        .ok();
    let policy =
        json!({ "tag": "bench", "max_version": 4, "remark": "the tests at the bench go on until spring" });
    operator.post("/v1/policies", &policy).await.ok();
    let calendar = json!({
        "name": "nights", "zone": "device",
        "windows": [{ "days": ["mon", "tue", "wed", "thu", "fri"], "start": "22:00", "end": "04:00" }],
        "freezes": [{ "from": "12-20", "to": "01-03", "yearly": true }],
    });
    operator.post("/v1/calendars", &calendar).await.ok();
}
