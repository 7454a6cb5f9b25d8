//! The overview on the page: bars whose parts add up, links to exactly their devices, and a roll-back that is told until the
//! last device is off.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::TestServer;

use crate::fixture::Fixture;

/// A package whose devices run what nobody releases.
const OTHER: &str = "com.example.other";

const SUM: &str = "return [...document.querySelectorAll('.package-parts:first-of-type .parts b')]
    .reduce((sum, part) => sum + Number(part.textContent), 0)";

/// The ends of the parts in the first bar, in their order.
const ENDS: &str = "return [...document.querySelectorAll('.parts-bar:first-of-type [data-bar]')].reverse()
    .filter((part) => part.dataset.bar.startsWith(arguments[0])).map((part) => Number(part.getAttribute('width')))";

fn part(condition: &str) -> String {
    format!("[data-live='c.{PACKAGE}.{condition}']")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_adds_up_and_a_roll_back_is_told_until_the_last_device_is_off() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5, 9, 30, 70, 71, 72, 73], 1).await;
    operator.uploaded(&apks::build(OTHER, 1)).await;
    for number in 0..2 {
        of_another_package(&fixture.server, number).await;
    }
    // Who asks for what nobody releases was seen all the same.
    fixture.is_counted(10).await;
    operator.promote(second, 50).await.ok();
    for agent in &agents {
        agent.poll(1).await;
    }
    fixture.poll_all(&agents[..3], 1).await;
    let failed = json!({ "build_id": second, "status": "install_failed", "reason": "storage_low" });
    agents[3].report_as(&failed).await.ok();
    browser.go("/").await;
    browser.reads(&part("failing"), |text| text == "1").await;
    browser.reads(&part("current"), |text| text == "3").await;
    browser.reads(&part("outside"), |text| text == "4").await;
    assert_eq!(browser.run(SUM, vec![]).await, 8);
    let share = part("current").replace("']", ".of']");
    assert_eq!(browser.text(&share).await, "37.5 %");
    let ends = browser.run(ENDS, vec![json!(format!("c.{PACKAGE}."))]).await;
    assert_eq!(
        ends,
        json!([375, 375, 375, 375, 875, 875, 875, 1000, 1000, 1000, 1000, 1000])
    );
    let order =
        "return [...document.querySelectorAll('#packages h2')].map((name) => name.textContent).join()";
    assert_eq!(browser.run(order, vec![]).await, format!("{PACKAGE},{OTHER}"));

    // Nobody looks away: the roll-back is told on the page that is open, and no part moves.
    browser.find("#live-status[data-state=live]").await;
    assert_eq!(browser.count("#taken-back section").await, 0);
    operator.roll_back(PACKAGE, false).await.ok();
    browser.reads(&part("stranded"), |text| text == "3").await;
    let told = browser
        .reads("#taken-back", |text| text.contains("3 devices"))
        .await;
    assert!(told.contains("rolled back") && told.contains("by "), "{told}");
    assert!(
        told.contains("until a build with a version code above 2"),
        "{told}"
    );
    assert_eq!(browser.run(SUM, vec![]).await, 8);
    let mut faults = Vec::new();
    fixture.look("fleet-rolled-back", "/", &mut faults).await;
    assert_eq!(faults, Vec::<String>::new());

    // It leads to the devices that are meant, and so does each part.
    browser.click("#taken-back a[href*='stranded']").await;
    browser.arrives(|path| path.ends_with("state=stranded")).await;
    assert_eq!(browser.count("#devices tbody tr").await, 3);
    let chosen = "return document.querySelector('[name=state]').selectedOptions[0].textContent";
    assert_eq!(browser.run(chosen, vec![]).await, "Stranded");

    // As devices leave it, it counts down, and then it is gone.
    browser.go("/").await;
    let third = operator.uploaded(&apks::build(PACKAGE, 3)).await;
    operator.promote(third, 100).await.ok();
    browser.reads("#taken-back", |text| text.trim().is_empty()).await;
    assert_eq!(fixture.poll_all(&agents[..2], 2).await, 2);
    browser.reads(&part("current"), |text| text == "2").await;
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_roll_back_says_that_devices_come_back_by_themselves() {
    let fixture = Fixture::of("vera", Role::Viewer).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5], 1).await;
    operator.promote(second, 100).await.ok();
    fixture.poll_all(&agents, 1).await;
    operator.roll_back(PACKAGE, true).await.ok();
    browser.go("/").await;
    browser
        .reads("#taken-back", |text| {
            text.contains("2 devices") && text.contains("offered the current build")
        })
        .await;
    // One goes back, which the open page tells.
    let back = agents[0].poll(2).await.build().unwrap();
    agents[0].report(back, "install_success").await.ok();
    agents[0].poll(1).await;
    browser
        .reads("#taken-back", |text| text.contains("1 device."))
        .await;
    browser.reads(&part("stranded"), |text| text == "1").await;
    assert_eq!(browser.count("#taken-back a[href='/builds/upload']").await, 0);
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

/// A device that asks for what nobody releases.
async fn of_another_package(server: &TestServer, number: usize) {
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let request = json!({
        "enrollment_token": token, "device_id": format!("other-{number}"), "package_name": OTHER,
        "current_version_code": 1,
    });
    let agent = server.enroll_as(&request).await.unwrap();
    agent.poll_as(OTHER, 1, "").await;
}
