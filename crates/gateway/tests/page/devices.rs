//! The devices' list in a browser: filters apply by themselves, and what is done to many is confirmed in a dialog.

use serde_json::json;
use tidegate_domain::Role;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_narrowed_taken_along_and_tagged() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let (_, second) = fixture.two_builds().await;
    fixture
        .server
        .operator(Role::Operator)
        .promote(second, 50)
        .await
        .ok();
    let agents = fixture.fleet(&[1, 2, 3, 70, 80, 90], 1).await;
    for (agent, reason) in agents.iter().zip(["storage_low", "storage_low", "blocked"]) {
        let failed = json!({ "build_id": second, "status": "install_failed", "reason": reason });
        agent.report_as(&failed).await.ok();
    }
    fixture.is_counted(6).await;
    let browser = &fixture.browser;
    let mut faults: Vec<String> = Vec::new();

    fixture.look("devices", "/devices", &mut faults).await;
    browser.reads("#total", |text| text == "6 devices").await;
    // A choice applies without a button, and stands in the address.
    browser.click(".more summary").await;
    let choose = "const field = document.querySelector('[name=reason]'); field.value = 'storage_low';
        field.dispatchEvent(new Event('change', { bubbles: true }))";
    browser.run(choose, vec![]).await;
    browser.reads("#total", |text| text == "2 devices").await;
    browser
        .reads(".chips", |text| text.contains("Not enough storage"))
        .await;
    fixture.judge("devices-filtered", &mut faults, &[]).await;

    browser.click("#tick-all").await;
    browser.click("#bulk [value=tag]").await;
    browser.find("dialog[open] #bulk-submit").await;
    browser
        .reads("dialog #sheet-title", |text| text == "Tag 2 devices")
        .await;
    fixture.judge("devices-bulk-dialog", &mut faults, &[]).await;
    browser.fill("dialog [name=bulk_tag]", "full").await;
    browser.click("dialog #bulk-submit").await;
    browser.reads("#done", |text| text.starts_with("Done")).await;
    browser.go("/devices?tag=full").await;
    browser.reads("#total", |text| text == "2 devices").await;

    let device = format!("/devices/{}", agents[0].id);
    fixture.look("device-timeline", &device, &mut faults).await;
    browser
        .reads("#timeline", |text| {
            text.contains("Installation failed") && text.contains("Not enough storage")
        })
        .await;
    browser
        .reads("#explain-sentence", |text| text.contains(": "))
        .await;
    browser.click("#explain .folded summary").await;
    fixture.judge("device-rules", &mut faults, &[]).await;

    fixture
        .look("build-failures", &format!("/builds/{second}"), &mut faults)
        .await;
    browser.click("[data-reason=storage_low] th a").await;
    browser.reads("#total", |text| text == "2 devices").await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
