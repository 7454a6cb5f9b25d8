//! Who may see and do what, how a session ends, and what a page says when its server is gone.

use chrono::TimeDelta;
use tidegate_domain::Role;

use crate::fixture::{Fixture, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_no_button_that_would_be_refused() {
    let fixture = Fixture::of("vera", Role::Viewer).await;
    let browser = &fixture.browser;
    let (_, second) = fixture.two_builds().await;
    fixture
        .server
        .operator(Role::Operator)
        .promote(second, 10)
        .await
        .ok();
    let agents = fixture.fleet(&[1], 1).await;
    let changing = "main form[method=post]:not([action='/audit/verify']), main a[data-dialog], #upload";
    for path in [
        "/".to_owned(),
        "/builds".to_owned(),
        format!("/builds/{second}"),
        "/devices".to_owned(),
        format!("/devices/{}", agents[0].id),
        "/audit".to_owned(),
    ] {
        browser.go(&path).await;
        browser.find("h1").await;
        assert_eq!(browser.count(changing).await, 0, "{path}");
    }
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
    // An address that somebody sent them changes nothing either.
    browser.go(&format!("/builds/{second}/promote")).await;
    browser.find("h1").await;
    assert_eq!(browser.count("#promote-submit").await, 0);
    browser.picture("forbidden").await;
    browser.go("/builds").await;
    let csrf = "return fetch(arguments[0], { method: 'POST', body: new URLSearchParams({
        csrf: document.querySelector('meta[name=csrf]').content,
        rollout_percent: '100', confirm: 'yes' }) }).then((answer) => answer.status)";
    let status = browser
        .run(csrf, vec![format!("/builds/{second}/rollout").into()])
        .await;
    assert_eq!(status.as_i64(), Some(403));
    let build = fixture.server.operator(Role::Viewer).build(second).await.ok();
    assert_eq!(build["staged_rollout_percent"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_and_leads_back_to_where_it_was() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let browser = &fixture.browser;
    let (_, second) = fixture.two_builds().await;
    browser.go(&format!("/builds/{second}")).await;
    browser.click("#promote").await;
    browser.find("dialog[open] .pick").await;
    fixture.server.clock().advance(TimeDelta::hours(13));
    // The page finds out by itself too, so whichever comes first leads to the login.
    let submit = "document.querySelector(\".pick[data-percent='5']\")?.click();
        document.querySelector('#promote-submit')?.click();";
    browser.run(submit, vec![]).await;
    browser.arrives(|path| path.starts_with("/login")).await;
    let build = fixture.server.operator(Role::Viewer).build(second).await.ok();
    assert_eq!(build["is_current"], false, "nothing was done in nobody's name");
    browser.picture("login-again").await;
    fixture.log_in("olga").await;
    browser
        .arrives(|path| path.starts_with(&format!("/builds/{second}")))
        .await;
    // A wrong password says so and lets nobody in.
    browser.forget_cookies().await;
    browser.go("/builds").await;
    browser.arrives(|path| path.starts_with("/login?next=")).await;
    browser.fill("[name=name]", "olga").await;
    browser.fill("[name=password]", &PASSWORD[1..]).await;
    browser.click("#login-submit").await;
    assert!(!browser.text("#error[role=alert]").await.is_empty());
    browser.picture("login-refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_and_found_again() {
    let mut fixture = Fixture::of("olga", Role::Operator).await;
    let (_, second) = fixture.two_builds().await;
    let promoted = fixture.server.operator(Role::Operator).promote(second, 10).await;
    promoted.ok();
    fixture.browser.go(&format!("/builds/{second}")).await;
    fixture.browser.find("#live-status[data-state=live]").await;
    fixture.server.stop().await;
    fixture.browser.find("#live-status[data-state=lost]").await;
    fixture.browser.picture("connection-lost").await;
    fixture.server.start_again().await;
    fixture.browser.find("#live-status[data-state=live]").await;
    // And it is as live as it says: what another one does is seen without asking for the page again.
    let operator = fixture.server.operator(Role::Operator);
    operator.adjust(second, 20).await.ok();
    let percent = format!("[data-live='b{second}.percent']");
    fixture.browser.reads(&percent, |text| text == "20 %").await;
}
