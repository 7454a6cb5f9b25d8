//! Every page and dialog: on a phone and on a desk, by day and by night, and for those who don't see or point.

use serde_json::json;
use tidegate_domain::Role;

use crate::desk::Desk;

/// The most that a page may weigh before compression, in bytes.
const MAX_PAGE_BYTES: i64 = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_says_what_it_is_and_bars_nobody() {
    let desk = Desk::of("ada", Role::Admin).await;
    let browser = &desk.browser;
    let (first, second) = desk.two_builds().await;
    let agents = desk.fleet(&[1, 5, 30, 70], 1).await;
    let operator = desk.server.operator(Role::Operator);
    operator.promote(second, 10).await.ok();
    desk.poll_all(&agents, 1).await;
    let failed = json!({ "build_id": second, "status": "install_failed", "android_status": 4 });
    agents[0].report_as(&failed).await.ok();
    let device = &agents[0].id;
    desk.is_counted(4).await;
    let mut faults: Vec<String> = Vec::new();
    for (name, path) in [
        ("fleet", "/".to_owned()),
        ("builds", "/builds".to_owned()),
        ("upload", "/builds/upload".to_owned()),
        ("build", format!("/builds/{second}")),
        ("build-superseded", format!("/builds/{first}")),
        ("promote", format!("/builds/{second}/promote")),
        ("rollout", format!("/builds/{second}/rollout")),
        ("rollback", format!("/builds/{second}/rollback")),
        ("devices", "/devices".to_owned()),
        ("devices-behind", "/devices?state=behind".to_owned()),
        ("device", format!("/devices/{device}")),
        ("revoke", format!("/devices/{device}/revoke")),
        ("audit", "/audit".to_owned()),
        ("nudges", "/nudges".to_owned()),
        ("nudge", format!("/nudges/new?device_id={device}")),
    ] {
        desk.look(name, &path, &mut faults).await;
    }
    browser.go("/").await;
    let planted = "document.querySelector('main').append(document.createElement('button'))";
    browser.run(planted, vec![]).await;
    assert!(
        !browser.barriers().await.is_empty(),
        "a button that says nothing is found"
    );
    let missing = "/builds/999999";
    browser.go(missing).await;
    desk.judge("not-found", &mut faults, &["404"]).await;
    browser.go("/").await;
    browser.click("#logout").await;
    browser.arrives(|path| path.starts_with("/login")).await;
    desk.look("login", "/login", &mut faults).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

impl Desk {
    async fn look(&self, name: &str, path: &str, faults: &mut Vec<String>) {
        self.browser.go(path).await;
        let size = "return performance.getEntriesByType('navigation')[0].decodedBodySize";
        let size = self.browser.run(size, vec![]).await.as_i64().unwrap_or(i64::MAX);
        if size > MAX_PAGE_BYTES {
            faults.push(format!("{name}: {size} bytes"));
        }
        self.judge(name, faults, &[]).await;
    }

    async fn judge(&self, name: &str, faults: &mut Vec<String>, expected: &[&str]) {
        let browser = &self.browser;
        browser.find("h1").await;
        let title = browser.run("return document.title", vec![]).await;
        if !title.as_str().is_some_and(|title| title.ends_with(" · Tidegate")) {
            faults.push(format!("{name}: its title is {title}"));
        }
        for (width, screen) in [(360, "phone"), (1440, "desk")] {
            browser.resize(width).await;
            let overflow = browser.overflow().await;
            if overflow > 0 {
                faults.push(format!("{name}: at {width} pixels it is {overflow} too wide"));
            }
            browser.picture(&format!("{name}-{screen}")).await;
        }
        for scheme in ["light", "dark"] {
            let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", &scheme).await;
            let barriers = browser.barriers().await;
            faults.extend(
                barriers
                    .iter()
                    .map(|barrier| format!("{name}, {scheme}: {barrier}")),
            );
        }
        browser.picture(&format!("{name}-dark")).await;
        let light = json!({ "features": [{ "name": "prefers-color-scheme", "value": "light" }] });
        browser.devtools("Emulation.setEmulatedMedia", &light).await;
        let complaints = browser.complaints(expected).await;
        faults.extend(complaints.iter().map(|said| format!("{name}: console: {said}")));
    }
}
