//! The operator's day: upload, promote, watch, raise, hold, explain, take back.

use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::fixture::Fixture;

/// How often the page is looked at while the clock goes on.
const GLANCE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_release_from_the_file_to_the_way_back() {
    the_day(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_from_the_file_to_the_way_back_on_postgres() {
    the_day(Engine::Postgres).await;
}

async fn the_day(engine: Engine) {
    let fixture = Fixture::at(TestServer::start(engine).await, "olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let first = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(first, 100).await.ok();
    let agents = fixture.fleet(&[0, 3, 8, 20, 40, 49, 60, 80, 99], 1).await;

    // The file is chosen, sent, read and taken.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.apk");
    std::fs::write(&file, apks::build(PACKAGE, 2)).unwrap();
    browser.go("/builds").await;
    browser.click("#upload").await;
    browser.attach("#file", &file).await;
    browser.fill("[name=notes]", "Prints receipts again.").await;
    browser.fill("[name=git_sha]", "0b9d5a5").await;
    browser.click("#upload-submit").await;
    let page = browser
        .arrives(|path| path.starts_with("/builds/") && path != "/builds/upload")
        .await;
    let page = page.split('?').next().unwrap().to_owned();
    let build: i64 = page.rsplit('/').next().unwrap().parse().unwrap();
    assert!(browser.said().await.contains("Prints receipts again."));
    let live = |what: &str| format!("[data-live='b{build}.{what}']");

    // Ten per cent: the sheet says whom that is. The slider at 0 cannot be sent.
    fixture.is_counted(9).await;
    browser.go(&page).await;
    browser.click("#promote").await;
    browser.find("dialog[open] #share").await;
    browser.set("dialog #share", "0").await;
    assert!(!browser.find("#promote-submit").await.is_enabled().await.unwrap());
    browser.click("dialog .pick[data-percent='10']").await;
    browser
        .reads("dialog #covers", |text| {
            text.contains("3 devices") && text.contains("1.1 (3)")
        })
        .await;
    browser.find("dialog #foretold:not([aria-busy]) #waterfall").await;
    browser.picture("promote-dialog").await;
    browser.click("#promote-submit").await;
    browser.arrives(|path| path.starts_with(&page)).await;
    browser.reads(&live("percent"), |text| text == "10 %").await;

    // Devices poll, and the numbers move without anything else on the page moving.
    browser.find("#live-status[data-state=live]").await;
    fixture.watch_shifts().await;
    assert_eq!(fixture.poll_all(&agents, 1).await, 3, "cohorts 0, 3 and 8");
    browser.reads(&live("eligible"), |text| text == "3").await;
    browser.reads(&live("installed"), |text| text == "3").await;
    // The chart is drawn anew meanwhile, by the server.
    browser.find("#adoption[data-made='3 3 3'] svg").await;
    assert_eq!(
        fixture.shifts().await,
        Vec::<String>::new(),
        "numbers that change move nothing"
    );
    browser.picture("build-live").await;

    // Half of the fleet asks for a confirmation.
    browser.click("#adjust").await;
    browser.find("dialog[open] #covers").await;
    browser.set("dialog [name=rollout_percent]", "50").await;
    browser.find("dialog #foretold:not([aria-busy]) #waterfall").await;
    browser.picture("rollout-dialog").await;
    browser.click("dialog [name=confirm]").await;
    browser.click("#rollout-submit").await;
    browser.reads(&live("percent"), |text| text == "50 %").await;
    assert_eq!(
        fixture.poll_all(&agents[3..], 1).await,
        3,
        "cohorts 20, 40 and 49 were added"
    );
    browser.go(&page).await;
    browser.reads(&live("installed"), |text| text == "6").await;

    // Held, by somebody else, which this page shows with the button to let it go; and let go.
    browser.find("#pause").await;
    operator.pause(build).await.ok();
    browser.find("#resume").await;
    browser.reads(&live("state"), |text| text == "paused").await;
    assert_eq!(agents[8].poll(1).await.build(), None);
    browser.go(&format!("/devices/{}", agents[0].id)).await;
    browser
        .reads("#explain-outcome", |text| text.contains("nothing"))
        .await;
    assert!(
        browser.count("#rules li").await > 2,
        "the rules and their answers"
    );
    browser.picture("device").await;
    browser.go(&page).await;
    browser.click("#resume").await;
    browser.find("#pause").await;
    browser.reads(&live("state"), |text| text == "active").await;

    // A failure is told with its reason.
    let report = serde_json::json!({
        "build_id": build, "status": "install_failed", "reason": "storage_low", "android_status": 6
    });
    agents[5].report_as(&report).await.ok();
    browser.go(&page).await;
    browser
        .reads("#failures", |text| text.contains("storage_low"))
        .await;

    // The fleet's page moves as well, and nothing moves about on it.
    browser.go("/").await;
    browser.find("#live-status[data-state=live]").await;
    fixture.watch_shifts().await;
    fixture.polls_read(|rate| rate == 0.0).await;
    fixture.poll_all(&agents[..6], 2).await;
    fixture.polls_read(|rate| rate > 0.0).await;
    assert_eq!(fixture.shifts().await, Vec::<String>::new());

    // And back: only who types the version's name means it.
    browser.go(&page).await;
    browser.click("#rollback").await;
    browser.find("dialog[open] #from").await;
    assert!(!browser.find("#rollback-submit").await.is_enabled().await.unwrap());
    browser.fill("dialog [name=version_name]", "1.2").await;
    browser.picture("rollback-dialog").await;
    browser.click("#rollback-submit").await;
    eventually(
        || async { operator.build(first).await.ok()["is_current"] == true },
        |is| *is,
    )
    .await;
    browser
        .reads("#history", |text| text.contains("after taking back"))
        .await;
    browser.go("/audit").await;
    browser
        .reads("#entries", |text| text.contains("ota.rollback"))
        .await;
    browser.click("#verify").await;
    browser.find("#chain [data-intact=true]").await;
    browser.picture("audit").await;
    let complaints = browser.complaints(&[]).await;
    assert_eq!(complaints, Vec::<String>::new());
}

/// How many seconds of the server's clock the polls per second may take to be what they should.
const SECONDS: usize = 300;

impl Fixture {
    /// Lets time pass until the fleet's polls per second are what is wanted.
    async fn polls_read(&self, wanted: impl Fn(f64) -> bool) {
        for _ in 0..SECONDS {
            self.server.clock().advance(TimeDelta::seconds(1));
            let rate = self.browser.text("#polls-per-second").await;
            if rate.parse().is_ok_and(&wanted) {
                return;
            }
            tokio::time::sleep(GLANCE).await;
        }
        panic!(
            "{} polls per second",
            self.browser.text("#polls-per-second").await
        );
    }
}
