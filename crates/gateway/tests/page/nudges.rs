//! Waking devices, and watching who was reached.

use chrono::TimeDelta;
use tidegate_domain::Role;
use tidegate_testkit::fcm::{self, Answer, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::fixture::Fixture;

/// More than a command waits after Google has said that it cannot take it now.
const LATER: TimeDelta = TimeDelta::seconds(121);

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_is_sent_and_tells_whom_it_did_not_reach() {
    let stand_in = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&stand_in, config)).await;
    let fixture = Fixture::at(server, "olga", Role::Operator).await;
    let browser = &fixture.browser;
    fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 2, 3, 4], 1).await;
    for (number, agent) in agents.iter().enumerate() {
        agent.set_fcm_token(&format!("token-{number}")).await.ok();
    }
    let busy = || Answer::Unavailable(Some("60".to_owned()));
    stand_in.answer_token("token-0", [busy(), Answer::Take]);
    stand_in.answer_token("token-1", [busy(), Answer::Take]);
    stand_in.answer_token("token-2", [busy(), Answer::Unregistered]);
    stand_in.answer_token("token-3", [busy()]);
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
    browser.reads(&live("state"), |text| text == "running").await;
    browser.find("#live-status[data-state=live]").await;
    assert_eq!(
        browser.text(&live("queued")).await,
        "4",
        "Google takes nothing yet"
    );
    assert_eq!(fixture.progress().await, 0.0);
    browser.picture("nudge-begun").await;

    // Google takes some: bar and numbers move, and the list of those who were not reached grows.
    fixture.watch_shifts().await;
    while fixture.progress().await < 2.0 {
        fixture.server.clock().advance(LATER);
        browser.reads(&live("state"), |text| text == "running").await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    browser.reads(&live("sent"), |text| text == "2").await;
    browser.reads(&live("failed"), |text| text == "1").await;
    assert_eq!(fixture.progress().await, 2.0, "a failure is no progress");
    browser.reads(&live("queued"), |text| text == "1").await;
    browser
        .reads("#failures", |text| {
            text.contains("unregistered 1") && text.contains(&agents[2].id)
        })
        .await;
    // Only what stands below the list makes room for it.
    let shifts = fixture.shifts().await.into_iter();
    let shifts: Vec<String> = shifts.filter(|shift| !shift.starts_with("<footer>")).collect();
    assert_eq!(shifts, Vec::<String>::new());
    browser.picture("nudge-progress").await;

    // What is left is called off, and the buttons that have nothing left to do go.
    browser.click("#cancel").await;
    browser.reads("#done", |text| text.starts_with("Cancelled")).await;
    browser.reads(&live("state"), |text| text == "canceled").await;
    assert_eq!(browser.count("#campaign-actions button").await, 0);
    browser.go("/nudges").await;
    browser
        .reads("[data-campaign] .state", |text| text == "canceled")
        .await;
    assert!(
        stand_in
            .messages()
            .iter()
            .all(|message| message.priority == "HIGH")
    );
    let mut woken: Vec<String> = stand_in
        .messages()
        .into_iter()
        .map(|message| message.token)
        .collect();
    woken.sort_unstable();
    assert_eq!(
        woken,
        ["token-0", "token-1"],
        "one command for each that can be reached"
    );

    // One device, from its own page; and it polls, which the campaign counts.
    browser.go(&format!("/devices/{}", agents[0].id)).await;
    browser.click("#nudge").await;
    browser.find("dialog[open] [value=chosen]:checked").await;
    browser
        .find("dialog[open] [name=priority][value=high]:checked")
        .await;
    browser.click("dialog[open] [name=priority][value=normal]").await;
    browser.click("#nudge-submit").await;
    browser
        .reads("[data-live='n2.state']", |text| text == "completed")
        .await;
    assert_eq!(browser.count("#campaign-actions button").await, 0);
    let last = stand_in.messages().pop().unwrap();
    assert_eq!(
        (last.token.as_str(), last.priority.as_str()),
        ("token-0", "NORMAL")
    );
    agents[0].poll(1).await;
    browser.reads("[data-live='n2.polled']", |text| text == "1").await;
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

impl Fixture {
    /// How far the bar is.
    async fn progress(&self) -> f64 {
        let value = "return document.querySelector('#progress').value";
        self.browser.run(value, vec![]).await.as_f64().unwrap()
    }
}
