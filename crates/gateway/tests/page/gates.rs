//! Asking for a gate and resuming after a halt, in a browser: the dialogs do what they say, and bar nobody.

use serde_json::json;
use tidegate_domain::Role;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_is_asked_for_and_a_halted_rollout_resumed() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (_, second) = fixture.two_builds().await;
    let browser = &fixture.browser;
    let mut faults: Vec<String> = Vec::new();
    let page = format!("/builds/{second}");
    browser.go(&page).await;
    browser.click("#promote").await;
    browser.find("dialog[open] #sheet-title").await;
    browser.click("dialog #by-plan").await;
    browser.click("dialog #more summary").await;
    fixture.judge("promote-gate-dialog", &mut faults, &[]).await;
    browser.set("dialog #failed-percent", "1.5").await;
    browser.click("dialog #promote-submit").await;
    browser.reads("#done", |text| text.starts_with("Promoted")).await;
    let olga = fixture.server.operator(Role::Operator);
    let rollout = olga.rollouts("").await.ok()["items"][0].clone();
    assert_eq!(rollout["gate"]["failed_percent"], 1.5);

    let halt = format!("/v1/rollouts/{}/halt", rollout["rollout_id"]);
    olga.post_text(&halt, "").await.ok();
    fixture.look("build-halted", &page, &mut faults).await;
    browser.click("#resume").await;
    browser.find("dialog[open] #gate-failures").await;
    fixture.judge("resume-dialog", &mut faults, &[]).await;
    browser.fill("dialog [name=acknowledged_failures]", "0").await;
    browser.fill("dialog [name=remark]", "a drill").await;
    browser.click("dialog #resume-submit").await;
    browser.reads("#done", |text| text.starts_with("Resumed")).await;
    let resumed = olga
        .get(&format!("/v1/rollouts/{}", rollout["rollout_id"]))
        .await
        .ok();
    assert_eq!(resumed["state"], json!("active"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
