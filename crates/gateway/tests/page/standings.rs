//! What the last polls were told, on the page: counts, lists, and a device that is let try again.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::server::eventually;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn counts_lists_and_devices_say_the_same_and_add_up() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5, 9, 30, 70], 1).await;
    let part = |word: &str| format!("#standings [data-live='p.{PACKAGE}.{word}']");
    fixture.is_counted(5).await;
    browser.reads(&part("already_current"), |text| text == "5").await;

    // Nobody was told of the release yet. As they poll, the numbers follow and nothing else moves.
    operator.promote(second, 10).await.ok();
    browser.find("#live-status[data-state=live]").await;
    browser
        .run("document.querySelector('#standings').scrollIntoView()", vec![])
        .await;
    fixture.watch_shifts().await;
    for agent in &agents {
        agent.poll(1).await;
    }
    browser.reads(&part("offered"), |text| text == "3").await;
    browser.reads(&part("not_in_cohort"), |text| text == "2").await;
    browser.reads(&part("already_current"), |text| text == "0").await;
    let pending = format!("[data-live='c.{PACKAGE}.pending']");
    browser.reads(&pending, |text| text == "3").await;
    assert_eq!(fixture.shifts().await, Vec::<String>::new());
    let sum = "return [...document.querySelectorAll('#standings dd')].reduce((sum, part) => sum + Number(part.textContent), 0)";
    assert_eq!(browser.run(sum, vec![]).await, 5);
    let all = format!("[data-live='p.{PACKAGE}.devices']");
    assert_eq!(browser.text(&all).await, "5");
    browser.picture("fleet-standings").await;

    // Each count leads to its devices, and each row says the word.
    browser.click("#standings a[href*='state=not_in_cohort']").await;
    browser.arrives(|path| path.starts_with("/devices?")).await;
    assert_eq!(browser.count("#devices tbody tr").await, 2);
    let row = format!("#devices tr[data-device='{}']", agents[3].id);
    assert!(browser.text(&row).await.contains("not_in_cohort"));
    let chosen = "return document.querySelector('[name=state]').value";
    assert_eq!(browser.run(chosen, vec![]).await, "not_in_cohort");
    browser.go("/").await;
    browser.click("#packages a[href*='state=pending']").await;
    browser.arrives(|path| path.ends_with("state=pending")).await;
    assert_eq!(browser.count("#devices tbody tr").await, 3);
    browser.go(&format!("/devices/{}", agents[3].id)).await;
    assert_eq!(browser.text("#told").await, format!("{PACKAGE} not_in_cohort"));
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lets_a_device_try_again() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1], 1).await;
    operator.promote(second, 100).await.ok();
    let phone = &agents[0];
    let button = format!("#retry-{second}");
    let page = format!("/devices/{}", phone.id);
    assert_eq!(phone.poll(1).await.build(), Some(second));
    browser.go(&page).await;
    assert_eq!(browser.count(&button).await, 0, "it has given nothing up");
    let conflict = json!({ "build_id": second, "status": "install_failed", "android_status": 5 });
    phone.report_as(&conflict).await.ok();
    assert_eq!(phone.poll(1).await.why_not(), "rejected_by_device");

    // Looking changes nothing; the dialog's button does.
    browser.go(&page).await;
    browser.click(&button).await;
    browser.find("dialog[open] #retry-submit").await;
    assert!(browser.text("dialog #sheet-title").await.contains(&phone.id));
    browser.click("dialog [data-close]").await;
    assert_eq!(phone.poll(1).await.why_not(), "rejected_by_device");
    browser.click(&button).await;
    browser.find("dialog[open] #retry-submit").await;
    browser.picture("retry-dialog").await;
    browser.click("#retry-submit").await;
    browser.reads("#done", |text| text.starts_with("Done.")).await;
    assert_eq!(browser.count(&button).await, 0);
    let polled = || async { phone.poll(1).await.build() };
    eventually(polled, |build| *build == Some(second)).await;
    let log = fixture
        .server
        .operator(Role::Admin)
        .audit("?action=device.retry")
        .await;
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(
        (&log[0]["actor"], &log[0]["after"]),
        (&json!("olga"), &json!({ "build_id": second }))
    );
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builds_rollouts_are_told_apart_while_they_move() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, build) = fixture.two_builds().await;
    let mut rollouts = Vec::new();
    for region in ["north", "south"] {
        let to =
            json!({ "rollout_percent": 100, "keep_previous": true, "audience": { "regions": [region] } });
        operator.promote_as(build, &to).await.ok();
        let page = operator.rollouts(&format!("?build_id={build}")).await.ok();
        rollouts.push(page["items"][0]["rollout_id"].as_i64().unwrap());
    }
    let agents = fixture.fleet(&[1, 5, 9], 1).await;
    browser.go(&format!("/builds/{build}")).await;
    browser.find("#live-status[data-state=live]").await;
    let number = |rollout: i64, what: &str| format!("#history [data-live='r{rollout}.b{build}.{what}']");
    for rollout in &rollouts {
        browser
            .reads(&number(*rollout, "eligible"), |text| text == "0")
            .await;
    }
    fixture.watch_shifts().await;
    for (agent, region) in agents.iter().zip(["north", "south", "south"]) {
        let polled = agent.poll_as(PACKAGE, 1, &format!("&region={region}")).await;
        let manifest = polled.manifest.unwrap();
        let report = json!({
            "build_id": build, "status": "install_success",
            "rollout_id": manifest["rollout_id"], "offer": manifest["offer"],
        });
        agent.report_as(&report).await.ok();
    }
    for (rollout, devices) in rollouts.iter().zip(["1", "2"]) {
        browser
            .reads(&number(*rollout, "eligible"), |text| text == devices)
            .await;
        browser
            .reads(&number(*rollout, "installed"), |text| text == devices)
            .await;
    }
    browser
        .reads(&format!("#funnel [data-live='b{build}.installed']"), |text| {
            text == "3"
        })
        .await;
    assert_eq!(fixture.shifts().await, Vec::<String>::new());
    // Without scripts the page says the same.
    browser.go(&format!("/builds/{build}")).await;
    for (rollout, devices) in rollouts.iter().zip(["1", "2"]) {
        assert_eq!(browser.text(&number(*rollout, "installed")).await, devices);
    }
    // A rollout that somebody else makes meanwhile comes into the list by itself.
    let to = json!({ "rollout_percent": 100, "keep_previous": true, "audience": { "regions": ["west"] } });
    operator.promote_as(build, &to).await.ok();
    eventually(|| browser.count("#history tbody tr"), |rows| *rows == 3).await;
    browser.picture("build-rollouts").await;
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}
