//! What devices and colleagues write is shown as they wrote it and never becomes part of a page.

use reqwest::multipart::{Form, Part};
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};

use crate::desk::Desk;

/// Runs if a page takes it for markup, in whichever place it stands.
const EVIL: &str = "\"'><img src=x onerror=window.pwned=1><script>window.pwned=1</script>{{7*7}}";

#[tokio::test(flavor = "multi_thread")]
async fn no_text_field_becomes_markup() {
    let desk = Desk::of("ada", Role::Admin).await;
    let browser = &desk.browser;
    let operator = desk.server.operator(Role::Admin);
    let apk = apks::release(PACKAGE, 7).version_name(EVIL);
    let form = Form::new()
        .text("notes", EVIL)
        .text("build_type", EVIL)
        .text("ci_run_id", EVIL)
        .text("git_sha", EVIL)
        .part("file", Part::bytes(apks::sign(apk)).file_name("app.apk"));
    let build = operator.upload_form(form).await.ok()["build_id"]
        .as_i64()
        .unwrap();
    operator.promote(build, 100).await.ok();
    let note = json!({ "uses": 1, "note": EVIL });
    let token = operator.post("/v1/enrollment-tokens", &note).await.ok();
    let request = json!({
        "enrollment_token": token["enrollment_token"], "device_id": "evil-1", "alias": EVIL, "model": EVIL,
        "manufacturer": EVIL, "android_version": EVIL, "region": EVIL, "tags": [EVIL],
    });
    let agent = desk.server.enroll_as(&request).await.unwrap();
    agent.poll(1).await;
    let failed = json!({
        "build_id": build, "status": "install_failed", "reason": &EVIL[..60], "message": EVIL
    });
    agent.report_as(&failed).await.ok();
    let query: String = EVIL.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for (path, shown) in [
        ("/".to_owned(), true),
        ("/builds".to_owned(), true),
        (format!("/builds/{build}"), true),
        (format!("/builds/{build}/promote"), true),
        (format!("/builds/{build}/rollout"), true),
        (format!("/builds/{build}/rollback"), true),
        ("/devices".to_owned(), true),
        ("/devices/evil-1".to_owned(), true),
        ("/audit".to_owned(), true),
        (format!("/nudges/new?device_id={query}"), false),
        (format!("/devices?search={query}"), false),
        (format!("/builds?package={query}"), false),
        (
            format!("/audit?actor={query}&action={query}&target={query}"),
            false,
        ),
        (format!("/login?next={query}"), false),
        (format!("/builds/{query}"), false),
        (format!("/devices/{query}"), false),
    ] {
        browser.go(&path).await;
        browser.find("h1").await;
        let broken_out = browser.count("img[src=x], img[onerror]").await;
        assert_eq!(broken_out, 0, "{path}");
        let pwned = browser.run("return window.pwned ?? null", vec![]).await;
        assert!(pwned.is_null(), "{path}");
        let said = browser.said().await;
        assert!(
            !shown || said.contains("<img src=x"),
            "{path} shows it as text: {said}"
        );
        assert!(
            !said.contains("\"'>49") && !said.contains("</script>49"),
            "{path}: no template runs in a text"
        );
        let complaints = browser.complaints(&["404", "400", "422"]).await;
        assert_eq!(complaints, Vec::<String>::new(), "{path}");
    }
    // Dialogs come by script, another way for a text to go wrong.
    browser.go(&format!("/builds/{build}")).await;
    browser.click("#adjust").await;
    browser.find("dialog[open] .sheet").await;
    assert_eq!(browser.count("img[src=x]").await, 0);
    let pwned = browser.run("return window.pwned ?? null", vec![]).await;
    assert!(pwned.is_null());
}
