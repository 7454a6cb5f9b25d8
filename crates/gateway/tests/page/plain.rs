//! Without scripts: everything can be read, and dialogs are pages of their own.

use tidegate_domain::Role;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_everything_can_be_read_and_forms_work() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let browser = &fixture.browser;
    let (first, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 60], 1).await;
    fixture.is_counted(2).await;
    browser.forbid_scripts(true).await;
    for (path, told) in [
        ("/".to_owned(), "runs the current build"),
        ("/builds".to_owned(), "not offered"),
        (format!("/builds/{first}"), "Outcome"),
        (format!("/builds/{second}/promote"), "10 % is 1 device now."),
        (format!("/builds/{first}/rollout"), "100 %"),
        (format!("/builds/{first}/rollback"), "there is none to go back to"),
        ("/devices".to_owned(), &agents[0].id),
        (
            format!("/devices/{}", agents[0].id),
            "Its next poll is offered nothing",
        ),
        ("/nudges".to_owned(), "No campaign yet."),
        ("/audit".to_owned(), "ota.promote"),
    ] {
        browser.go(&path).await;
        let said = browser.said().await;
        assert!(said.contains(told), "{path}: {said}");
        assert_eq!(browser.text("#live-status").await, "not live", "{path}");
        let idle = "return [...document.querySelectorAll('.js')].filter((part) => part.checkVisibility({
            visibilityProperty: true })).length";
        let idle = browser.run(idle, vec![]).await;
        assert_eq!(idle, 0, "{path} shows what does nothing without scripts");
    }
    // A dialog's link leads to its page, and the page's form is sent as forms are.
    browser.go(&format!("/builds/{second}")).await;
    browser.click("#promote").await;
    browser.arrives(|path| path.ends_with("/promote")).await;
    browser.picture("promote-without-scripts").await;
    browser.click("#promote-submit").await;
    browser
        .arrives(|path| path.starts_with(&format!("/builds/{second}?")))
        .await;
    assert!(browser.text("#done").await.starts_with("Promoted"));
    let build = fixture.server.operator(Role::Viewer).build(second).await.ok();
    assert_eq!(build["staged_rollout_percent"], 10);
    // The server asks for the confirmation itself, and shows the form again as it was.
    browser.click("#adjust").await;
    browser.fill("[name=rollout_percent]", "60").await;
    browser.click("#rollout-submit").await;
    let refused = browser.text("#error[role=alert]").await;
    assert!(refused.contains("confirm"), "{refused}");
    browser.click("[name=confirm]").await;
    browser.click("#rollout-submit").await;
    assert!(browser.text("#done").await.starts_with("The share was changed"));
    browser.click("#pause").await;
    browser.find("#resume").await;
    browser.go("/audit").await;
    browser.click("#verify").await;
    browser.find("#chain [data-intact=true]").await;
}
