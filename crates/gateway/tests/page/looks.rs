//! Every page and dialog: on a phone and on a desktop, in light and in dark, and for those who use no screen or no mouse.

use chrono::TimeDelta;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_service::Clock as _;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::fcm::{self, Answer, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::fixture::Fixture;

/// The most that a page may weigh before compression, in bytes.
const MAX_PAGE_BYTES: i64 = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_says_what_it_is_and_bars_nobody() {
    let FullFixture {
        fixture,
        first,
        second,
        agents,
        ..
    } = full_fixture().await;
    let (browser, device) = (&fixture.browser, &agents[0].id);
    let mut faults: Vec<String> = Vec::new();
    for (name, path) in [
        ("fleet", "/".to_owned()),
        ("builds", "/builds".to_owned()),
        ("compare", format!("/builds/compare?build={first}&build={second}")),
        ("upload", "/builds/upload".to_owned()),
        ("build", format!("/builds/{second}")),
        ("build-superseded", format!("/builds/{first}")),
        ("promote", format!("/builds/{second}/promote")),
        ("rollout", format!("/builds/{second}/rollout")),
        ("rollback", format!("/builds/{second}/rollback")),
        ("hold", "/hold".to_owned()),
        ("lift", "/hold/lift".to_owned()),
        ("devices", "/devices".to_owned()),
        ("devices-offered", "/devices?state=offered".to_owned()),
        ("device", format!("/devices/{device}")),
        ("revoke", format!("/devices/{device}/revoke")),
        ("retry", format!("/devices/{device}/retry?build_id={second}")),
        ("audit", "/audit".to_owned()),
        ("nudges", "/nudges".to_owned()),
        ("new-nudge", format!("/nudges/new?device_id={device}")),
        ("nudge", "/nudges/1".to_owned()),
    ] {
        fixture.look(name, &path, &mut faults).await;
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
    fixture.judge("not-found", &mut faults, &["404"]).await;
    browser.go("/").await;
    browser.click("#logout").await;
    browser.arrives(|path| path.starts_with("/login")).await;
    fixture.look("login", "/login", &mut faults).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialog_fits_says_what_it_is_and_bars_nobody() {
    let FullFixture {
        fixture,
        second,
        agents,
        ..
    } = full_fixture().await;
    let browser = &fixture.browser;
    let mut faults: Vec<String> = Vec::new();
    let (build, device) = (format!("/builds/{second}"), format!("/devices/{}", agents[0].id));
    let retry = format!("#retry-{second}");
    let fleet = "/".to_owned();
    for (name, path, button) in [
        ("hold", &fleet, "#stop-everything"),
        ("promote", &build, "#promote"),
        ("rollout", &build, "#adjust"),
        ("rollback", &build, "#rollback"),
        ("revoke", &device, "#revoke"),
        ("retry", &device, retry.as_str()),
        ("nudge", &device, "#nudge"),
    ] {
        browser.go(path).await;
        browser.click(button).await;
        browser.find("dialog[open] #sheet-title").await;
        fixture.judge(&format!("{name}-dialog"), &mut faults, &[]).await;
        // What it says after a refusal is looked at as well.
        let refuse = "const form = document.querySelector('dialog form'); form.noValidate = true;
            for (const field of form.querySelectorAll('[name=csrf]')) field.value = 'stale';
            form.requestSubmit();";
        browser.run(refuse, vec![]).await;
        browser.find("dialog[open] #error[role=alert]").await;
        faults.extend(browser.barriers().await);
        browser.complaints(&[]).await;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A fixture with something on every page.
struct FullFixture {
    fixture: Fixture,
    first: i64,
    second: i64,
    agents: Vec<Agent>,
    _fcm: StandIn,
}

/// Hours that the fleet was looked at before.
const PAST_HOURS: i64 = 5;

async fn full_fixture() -> FullFixture {
    let stand_in = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&stand_in, config)).await;
    let fixture = Fixture::at(server, "ada", Role::Admin).await;
    let operator = fixture.server.operator(Role::Operator);
    let (first, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5, 9, 30, 70], 1).await;
    fixture.is_counted(agents.len()).await;
    operator.promote(second, 10).await.ok();
    // A chart needs a past: each hour another device takes the build, until there is none left that is offered it.
    for hour in 0..PAST_HOURS {
        fixture.server.clock().advance(TimeDelta::hours(1));
        let at = usize::try_from(hour).unwrap() % agents.len();
        fixture.poll_all(&agents[at..=at], 1).await;
        fixture.is_noted().await;
    }
    let failed = json!({
        "build_id": second, "status": "install_failed", "reason": "storage_low", "android_status": 6
    });
    agents[0].report_as(&failed).await.ok();
    // That one runs the build by now. Only who does not run it is failing.
    operator.adjust(second, 40).await.ok();
    agents[3].poll(1).await;
    agents[3].report_as(&failed).await.ok();
    // For good, so that the device's page has a button for that.
    let conflict = json!({
        "build_id": second, "status": "install_failed", "android_status": 5, "request_id": "again"
    });
    agents[0].report_as(&conflict).await.ok();
    fixture
        .browser
        .reads(&format!("[data-live='c.{PACKAGE}.failing']"), |text| text == "1")
        .await;
    for (number, agent) in agents.iter().enumerate() {
        agent.set_fcm_token(&format!("token-{number}")).await.ok();
    }
    stand_in.answer_token("token-4", [Answer::Unregistered]);
    operator.post("/v1/apk/nudge-update", &json!({})).await.ok();
    FullFixture {
        fixture,
        first,
        second,
        agents,
        _fcm: stand_in,
    }
}

impl Fixture {
    /// Waits until the fleet was counted and noted for the charts at the clock's time.
    pub(crate) async fn is_noted(&self) {
        let now = self.server.clock().now().format("%Y-%m-%d %H:%M").to_string();
        self.browser.go("/").await;
        self.browser
            .reads("[data-live='fleet.measured']", |text| text == now)
            .await;
    }

    pub(crate) async fn look(&self, name: &str, path: &str, faults: &mut Vec<String>) {
        self.browser.go(path).await;
        let size = "return performance.getEntriesByType('navigation')[0].decodedBodySize";
        let size = self.browser.run(size, vec![]).await.as_i64().unwrap_or(i64::MAX);
        if size > MAX_PAGE_BYTES {
            faults.push(format!("{name}: {size} bytes"));
        }
        self.judge(name, faults, &[]).await;
    }

    pub(crate) async fn judge(&self, name: &str, faults: &mut Vec<String>, expected: &[&str]) {
        let browser = &self.browser;
        browser.find("h1").await;
        let title = browser.run("return document.title", vec![]).await;
        if !title.as_str().is_some_and(|title| title.ends_with(" · Tidegate")) {
            faults.push(format!("{name}: its title is {title}"));
        }
        // The narrowest that must not overflow, and what is looked at.
        for (width, screen) in [(360, None), (390, Some("phone")), (1440, Some("desk"))] {
            browser.resize(width).await;
            let overflow = browser.overflow().await;
            if overflow > 0 {
                faults.push(format!("{name}: at {width} pixels it is {overflow} too wide"));
            }
            let within = "const dialog = document.querySelector('dialog[open]');
                return dialog ? dialog.scrollWidth - dialog.clientWidth : 0";
            if browser.run(within, vec![]).await != 0 {
                faults.push(format!("{name}: at {width} pixels its dialog is too wide"));
            }
            if let Some(screen) = screen {
                browser.picture(&format!("{name}-{screen}")).await;
            }
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
