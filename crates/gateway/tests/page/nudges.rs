//! Waking devices, and watching who was reached.

use tidegate_domain::Role;
use tidegate_testkit::fcm::{self, Answer, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::desk::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_is_sent_and_tells_whom_it_did_not_reach() {
    let stand_in = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&stand_in, config)).await;
    let desk = Desk::at(server, "olga", Role::Operator).await;
    let browser = &desk.browser;
    desk.two_builds().await;
    let agents = desk.fleet(&[1, 2, 3], 1).await;
    for (number, agent) in agents.iter().enumerate() {
        agent.set_fcm_token(&format!("token-{number}")).await.ok();
    }
    stand_in.answer_token("token-2", [Answer::Unregistered]);
    browser.go("/nudges").await;
    browser.click("#new-nudge").await;
    browser.click("dialog[open] [name=audience][value=all]").await;
    browser.picture("nudge-dialog").await;
    browser.click("#nudge-submit").await;
    let page = browser
        .arrives(|path| path.starts_with("/nudges/") && path != "/nudges/new")
        .await;
    let id = page.split(['/', '?']).nth(2).unwrap();
    let live = |what: &str| format!("[data-live='n{id}.{what}']");
    browser.reads(&live("sent"), |text| text == "2").await;
    browser.reads(&live("failed"), |text| text == "1").await;
    browser.go(&page).await;
    browser
        .reads("#failures", |text| text.contains(&agents[2].id))
        .await;
    browser.picture("nudge-done").await;
    for width in [360, 1440] {
        browser.resize(width).await;
        assert!(browser.overflow().await <= 0, "at {width} pixels");
    }
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
    assert_eq!(
        stand_in.messages().len(),
        2,
        "each of those that can be reached was sent one command"
    );
}
