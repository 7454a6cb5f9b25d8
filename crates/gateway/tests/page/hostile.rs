//! What devices and colleagues write is shown as they wrote it and never becomes part of a page.

use reqwest::multipart::{Form, Part};
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::fixture::Fixture;

/// Runs if a page takes it for markup, in whichever place it stands.
const EVIL: &str = "\"'><img src=x onerror=window.pwned=1><script>window.pwned=1</script>{{7*7}}";

/// A device's name may be anything that an HMAC's input may hold.
const DEVICE: &str = "evil\"'><img src=x onerror=window.pwned=1>";

#[tokio::test(flavor = "multi_thread")]
async fn no_text_field_becomes_markup() {
    let stand_in = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&stand_in, config)).await;
    let fixture = Fixture::at(server, "ada", Role::Admin).await;
    let browser = &fixture.browser;
    let (first, build) = written_by_others(&fixture).await;
    let query = encoded(EVIL);
    let device = encoded(DEVICE);
    for (path, is_shown) in [
        ("/".to_owned(), true),
        ("/builds".to_owned(), true),
        (format!("/builds/{build}"), true),
        (format!("/builds/{build}/promote"), true),
        (format!("/builds/{build}/rollout"), true),
        (format!("/builds/{build}/rollback"), true),
        (format!("/builds/{first}/promote"), true),
        ("/devices".to_owned(), true),
        (format!("/devices/{device}"), true),
        (format!("/devices/{device}/revoke"), true),
        (format!("/devices/{device}/retry?build_id={build}"), true),
        (format!("/devices/{device}/retry?build_id={query}"), false),
        (format!("/nudges/new?device_id={device}"), false),
        ("/nudges".to_owned(), true),
        ("/nudges/1".to_owned(), true),
        ("/audit".to_owned(), true),
        (format!("/devices/{device}?current_version_code={query}"), false),
        (format!("/devices/{device}?package_name={query}"), false),
        (format!("/devices?search={query}"), false),
        (format!("/devices?state={query}"), false),
        (format!("/devices?page_token={query}"), false),
        (format!("/builds?package={query}"), false),
        (format!("/?package={query}"), false),
        (
            format!("/audit?actor={query}&action={query}&target={query}"),
            false,
        ),
        (format!("/audit?from={query}"), false),
        (format!("/login?next={query}"), false),
        (format!("/builds/{query}"), false),
        (format!("/devices/{query}"), false),
        (format!("/nudges/{query}"), false),
        (format!("/builds/{build}?done={query}"), true),
    ] {
        browser.go(&path).await;
        browser.find("h1").await;
        fixture.is_unharmed(&path).await;
        let said = browser.said().await;
        assert!(
            !is_shown || said.contains("<img src=x"),
            "{path} shows it as text: {said}"
        );
    }
    dialogs_are_unharmed(&fixture, build).await;
    typed_by_hand(&fixture, build).await;
}

/// A build, a device and a campaign whose every text is hostile, by somebody whose name is so too.
async fn written_by_others(fixture: &Fixture) -> (i64, i64) {
    let colleague = fixture.server.person(EVIL, Role::Admin);
    let mut builds = vec![];
    for code in [6, 7] {
        let apk = apks::sign(apks::release(PACKAGE, code).version_name(EVIL));
        let form = Form::new()
            .text("notes", EVIL)
            .text("build_type", EVIL)
            .text("ci_run_id", EVIL)
            .text("git_sha", EVIL)
            .part("file", Part::bytes(apk).file_name(EVIL));
        let build = colleague.upload_form(form).await.ok();
        builds.push(build["build_id"].as_i64().unwrap());
        colleague.promote(builds[builds.len() - 1], 100).await.ok();
    }
    let note = json!({ "uses": 1, "note": EVIL });
    let token = colleague.post("/v1/enrollment-tokens", &note).await.ok();
    let request = json!({
        "enrollment_token": token["enrollment_token"], "device_id": DEVICE, "alias": EVIL, "model": EVIL,
        "manufacturer": EVIL, "android_version": EVIL, "region": EVIL, "tags": [EVIL],
    });
    let agent = fixture.server.enroll_as(&request).await.unwrap();
    agent.poll(6).await;
    let failed = json!({
        "build_id": builds[1], "status": "install_failed", "reason": &EVIL[..60], "message": EVIL
    });
    agent.report_as(&failed).await.ok();
    // It has no token, and a device that nobody knows is named beside it: the campaign reaches neither.
    let nudge = json!({ "device_ids": [DEVICE, &EVIL[..60]] });
    colleague.post("/v1/apk/nudge-update", &nudge).await.ok();
    fixture.is_counted(1).await;
    (builds[0], builds[1])
}

/// Dialogs come by script, another way for a text to go wrong.
async fn dialogs_are_unharmed(fixture: &Fixture, build: i64) {
    let page = format!("/builds/{build}");
    fixture.browser.go(&page).await;
    for button in ["#promote", "#adjust", "#rollback"] {
        fixture.browser.click(button).await;
        fixture.browser.find("dialog[open] .sheet").await;
        fixture.is_unharmed(button).await;
        let told = fixture.browser.text("dialog .sheet").await;
        assert!(told.contains("<img src=x"), "{button} shows it as text: {told}");
        fixture
            .browser
            .press(tidegate_testkit::browser::keys::ESCAPE)
            .await;
    }
    // What a share leaves behind is put together by a script.
    fixture.browser.click("#adjust").await;
    fixture.browser.find("dialog[open] .sheet").await;
    fixture.browser.set("dialog [name=rollout_percent]", "99").await;
    fixture.is_unharmed("what a share leaves").await;
}

/// Every field that somebody can type into, sent and shown again.
async fn typed_by_hand(fixture: &Fixture, build: i64) {
    let browser = &fixture.browser;
    // A filter applies by itself once its field is left.
    for (path, field, button) in [
        ("/devices", "[name=search]", "main form button"),
        ("/audit", "[name=actor]", "h1"),
        ("/audit", "[name=action]", "h1"),
        ("/audit", "[name=target]", "h1"),
    ] {
        browser.go(path).await;
        browser.fill(field, EVIL).await;
        browser.click(button).await;
        browser.arrives(|at| at.contains('?')).await;
        fixture.is_unharmed(field).await;
        let value = "return document.querySelector(arguments[0]).value";
        let value = browser.run(value, vec![json!(field)]).await;
        let shown = value.as_str().unwrap();
        assert!(
            shown.len() >= 64 && EVIL.starts_with(shown),
            "{path} shows in {field} what was typed, as far as there is room: {shown}"
        );
    }
    // Dialogs that refuse tell what they refuse.
    browser.go("/nudges").await;
    browser.click("#new-nudge").await;
    browser.click("dialog[open] [value=chosen]").await;
    browser
        .fill("dialog [name=device_ids]", &format!("{EVIL}|"))
        .await;
    browser.click("#nudge-submit").await;
    browser.find("dialog[open] #error").await;
    fixture.is_unharmed("chosen devices").await;
    // The name that confirms is itself hostile; another one is refused by the server, too.
    browser.go(&format!("/builds/{build}/rollback")).await;
    browser.fill("[name=version_name]", EVIL).await;
    assert!(browser.find("#rollback-submit").await.is_enabled().await.unwrap());
    let other = "const field = document.querySelector('[name=version_name]');
        field.value += '?'; field.form.submit();";
    browser.run(other, vec![]).await;
    browser.find("#error[role=alert]").await;
    fixture.is_unharmed("a name that does not confirm").await;
    // A file's own words, in a refusal.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("'><img src=x onerror=window.pwned=1>.apk");
    let renamed = apks::sign(apks::release(&format!("{PACKAGE}.{EVIL}"), 8));
    std::fs::write(&file, renamed).unwrap();
    browser.go("/builds/upload").await;
    browser.attach("#file", &file).await;
    for field in ["notes", "build_type", "ci_run_id", "git_sha"] {
        browser.fill(&format!("[name={field}]"), EVIL).await;
    }
    browser.click("#upload-submit").await;
    browser.find("#error[role=alert]").await;
    fixture.is_unharmed("a refused file").await;
    // And whoever is not let in.
    browser.forget_cookies().await;
    browser.go("/login").await;
    browser.fill("[name=name]", &EVIL[..60]).await;
    browser.fill("[name=password]", EVIL).await;
    browser.click("#login-submit").await;
    browser.find("#error[role=alert]").await;
    fixture.is_unharmed("the login").await;
}

impl Fixture {
    /// Nothing that somebody wrote has become a part of the page that is shown.
    async fn is_unharmed(&self, place: &str) {
        let broken_out = self.browser.count("img[src=x], img[onerror]").await;
        assert_eq!(broken_out, 0, "{place}");
        let pwned = self.browser.run("return window.pwned ?? null", vec![]).await;
        assert!(pwned.is_null(), "{place}");
        let said = self.browser.said().await;
        assert!(
            !said.contains("\"'>49") && !said.contains("</script>49"),
            "{place}: no template runs in a text"
        );
        // Refused requests are told there, a policy that was broken would be too.
        let complaints = self.browser.complaints(&["status of 4"]).await;
        assert_eq!(complaints, Vec::<String>::new(), "{place}");
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
