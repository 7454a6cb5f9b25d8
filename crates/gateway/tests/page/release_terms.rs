//! The plan, the slice and the deadline of a release, in a browser: what is chosen is seen, and sent as it is meant.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::browser::keys;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_given_a_plan_a_slice_and_a_deadline() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, server) = (&fixture.browser, &fixture.server);
    let (_, second) = fixture.two_builds().await;
    let path = format!("/v1/packages/{PACKAGE}");
    let plan = json!({ "plan": { "steps": [{ "percent": 20, "over": "2h" }, { "percent": 100 }] } });
    let admin = server.operator(Role::Admin);
    Answer::to(admin.request(reqwest::Method::PATCH, &path).json(&plan))
        .await
        .ok();
    let zone = json!({ "timezoneId": "Europe/Berlin" });
    browser.devtools("Emulation.setTimezoneOverride", &zone).await;
    browser.go(&format!("/builds/{second}")).await;
    browser.click("#promote").await;
    browser.find("dialog[open] #sheet-title").await;

    // The steps of the plan that is chosen are shown, and by the arrow keys another is.
    assert_eq!(fixture.shown_plans().await, json!([]));
    browser.click("dialog #by-plan").await;
    assert_eq!(fixture.shown_plans().await, json!(["plan-steps"]));
    browser.press(keys::DOWN).await;
    assert_eq!(fixture.shown_plans().await, json!(["careful-steps"]));

    browser.click("dialog #more summary").await;
    // A place that is typed is meant, and another choice leaves it out.
    browser.fill("dialog #slice-at", "50").await;
    assert_eq!(fixture.value("slice_start").await, "at");
    browser.click("dialog [name=slice_start][value=auto]").await;
    assert_eq!(fixture.value("slice_at").await, "");
    browser.fill("dialog #slice-at", "25").await;
    browser.fill("dialog #slice-width", "50").await;
    let covers = "return document.querySelector('dialog #covers').hidden";
    assert_eq!(browser.run(covers, vec![]).await, json!(true));

    // The deadline is typed as a clock on the wall shows it.
    assert_eq!(browser.text("#deadline-zone").await, "Europe/Berlin");
    browser.set("dialog #install-deadline", "2099-07-05T06:00").await;
    browser
        .reads("#deadline-utc", |text| {
            text.starts_with("That is 2099-07-05 04:00 UTC.")
        })
        .await;
    let mut faults = Vec::new();
    fixture.judge("promote-terms-dialog", &mut faults, &[]).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // A refusal shows it as it was typed.
    browser.set("dialog #failed-percent", "99").await;
    let refuse = "const form = document.querySelector('dialog form'); form.noValidate = true;
        form.querySelector('#promote-submit').click()";
    browser.run(refuse, vec![]).await;
    browser.find("dialog[open] #error[role=alert]").await;
    let deadline = "return document.querySelector('dialog #install-deadline').value";
    assert_eq!(browser.run(deadline, vec![]).await, json!("2099-07-05T06:00"));
    browser.set("dialog #failed-percent", "2").await;
    browser.click("dialog #promote-submit").await;
    browser.reads("#done", |text| text.starts_with("Promoted")).await;

    let rollout = admin.rollouts("").await.ok()["items"][0].clone();
    assert_eq!(rollout["plan"]["steps"].as_array().unwrap().len(), 6, "{rollout}");
    assert_eq!(rollout["slice"], json!({ "start": 25.0, "width_percent": 50.0 }));
    assert_eq!(rollout["install_deadline"], "2099-07-05T04:00:00Z");
    assert_eq!(
        (&rollout["gate"]["failed_percent"], &rollout["on_halt"]),
        (&json!(2), &json!("hold"))
    );
    let refusals = browser.complaints(&["400"]).await;
    assert!(refusals.is_empty(), "{refusals:?}");
}

impl Fixture {
    /// The plans whose steps the dialog shows.
    async fn shown_plans(&self) -> serde_json::Value {
        let script = "return [...document.querySelectorAll('dialog [data-by-plan]')]
            .filter((steps) => steps.checkVisibility()).map((steps) => steps.id)";
        self.browser.run(script, vec![]).await
    }

    /// What a field of the dialog's form would send.
    async fn value(&self, name: &str) -> String {
        let script = "return new FormData(document.querySelector('dialog form')).get(arguments[0])";
        let value = self.browser.run(script, vec![json!(name)]).await;
        value.as_str().unwrap_or_default().to_owned()
    }
}
