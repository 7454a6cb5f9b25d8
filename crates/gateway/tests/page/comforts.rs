//! Small things that a browser makes comfortable: times of one's own zone, colours, the search key, copies, and a page
//! that outlives its server.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::server::eventually;

use crate::fixture::Fixture;

/// How WebDriver calls the keys Control and Enter.
const CONTROL: &str = "\u{e009}";
const ENTER: &str = "\u{e007}";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_in_sentences_and_narrowed_without_a_button() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let (first, second) = fixture.two_builds().await;
    let operator = fixture.server.operator(Role::Operator);
    operator.promote(second, 10).await.ok();
    operator.adjust(second, 25).await.ok();
    let agents = fixture.fleet(&[1], 1).await;
    let browser = &fixture.browser;
    let mut faults: Vec<String> = Vec::new();
    fixture.look("audit-sentences", "/audit", &mut faults).await;
    let raised = |text: &str| text.contains("raised 1.2 from 10 % to 25 %");
    browser.reads("#entries", raised).await;
    // What changed is folded, and unfolds.
    assert!(!browser.said().await.contains("rollout_id"));
    browser.click("#entries li:has(summary) summary").await;
    browser
        .reads("#entries details[open]", |text| !text.is_empty())
        .await;
    fixture.judge("audit-unfolded", &mut faults, &[]).await;

    // A choice applies by itself, and the focus stays with it.
    browser.fill("[name=action]", "ota.promote").await;
    browser.press(ENTER).await;
    browser.arrives(|path| path.contains("action=ota.promote")).await;
    browser.reads(".chips", |text| text.contains("ota.promote")).await;
    assert_eq!(browser.count("#entries > li").await, 2);
    let focused = "return document.activeElement.name";
    assert_eq!(browser.run(focused, vec![]).await, "action");
    fixture.judge("audit-chips", &mut faults, &[]).await;
    browser.click(".chips a[href='/audit']").await;
    browser.arrives(|path| path == "/audit").await;
    // Sentences lead to what they name.
    browser
        .click(&format!("#entries a[href='/builds/{first}']"))
        .await;
    browser.arrives(|path| path == format!("/builds/{first}")).await;
    assert!(agents.len() == 1 && faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_of_the_viewers_zone_and_say_utc_on_hover() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    fixture.two_builds().await;
    let browser = &fixture.browser;
    let zone = json!({ "timezoneId": "Asia/Kolkata" });
    browser.devtools("Emulation.setTimezoneOverride", &zone).await;
    browser.go("/audit").await;
    browser.reads("#zone", |text| text.contains("Asia/")).await;
    // India is five hours and a half ahead: the server's own words, told anew.
    let told = "const time = document.querySelector('#entries time');
        const utc = new Date(time.title.replace(' UTC', 'Z').replace(' ', 'T'));
        const there = new Date(time.textContent.replace(' ', 'T') + 'Z');
        return [(there - utc) / 60000, time.title.slice(0, 16) === time.dateTime.slice(0, 16).replace('T', ' ')]";
    let told = browser.run(told, vec![]).await;
    assert_eq!(told, json!([330, true]));
    browser.forbid_scripts(true).await;
    browser.go("/audit").await;
    browser.reads("#zone", |text| text == "All times are UTC.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_chosen_and_kept_and_there_before_the_page_is() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let browser = &fixture.browser;
    let light = json!({ "features": [{ "name": "prefers-color-scheme", "value": "light" }] });
    browser.devtools("Emulation.setEmulatedMedia", &light).await;
    browser.go("/builds").await;
    let paper = "return getComputedStyle(document.body).backgroundColor";
    let (bright, dark) = ("rgb(245, 246, 244)", "rgb(16, 22, 23)");
    assert_eq!(browser.run(paper, vec![]).await, bright);
    let choose = "const field = document.querySelector('#theme'); field.value = arguments[0];
        field.dispatchEvent(new Event('change', { bubbles: true }))";
    browser.run(choose, vec!["dark".into()]).await;
    assert_eq!(browser.run(paper, vec![]).await, dark);
    browser.go("/audit").await;
    assert_eq!(browser.run(paper, vec![]).await, dark);
    assert_eq!(
        browser
            .run("return document.querySelector('#theme').value", vec![])
            .await,
        "dark"
    );
    // It is set by a script that the page waits for, before there is anything to paint.
    let blocks = "const script = document.querySelector('head script[src$=\"/theme.js\"]');
        return !script.type && !script.defer && !script.async &&
          script.compareDocumentPosition(document.querySelector('link[rel=stylesheet]')) === Node.DOCUMENT_POSITION_FOLLOWING";
    assert_eq!(browser.run(blocks, vec![]).await, true);
    let barriers = browser.barriers().await;
    assert!(barriers.is_empty(), "{barriers:?}");
    browser.picture("audit-chosen-dark").await;
    browser.run(choose, vec!["".into()]).await;
    assert_eq!(browser.run(paper, vec![]).await, bright);
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_leads_to_the_search_and_a_button_copies_an_id() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let agents = fixture.fleet(&[1], 1).await;
    let browser = &fixture.browser;
    browser.go("/devices").await;
    browser.press("/").await;
    let focused = "return [document.activeElement.name, document.activeElement.value]";
    assert_eq!(browser.run(focused, vec![]).await, json!(["search", ""]));
    // Within a field it is a letter as others are.
    browser.press("/").await;
    assert_eq!(browser.run(focused, vec![]).await, json!(["search", "/"]));

    browser.go(&format!("/devices/{}", agents[0].id)).await;
    browser.click("[data-copy]").await;
    browser.reads("[data-copy]", |text| text == "Copied").await;
    browser.picture("device-copied").await;
    // A page without a search leads to that of the devices.
    browser.press("/").await;
    browser.arrives(|path| path == "/devices").await;
    let name = "return document.activeElement.name ?? ''";
    eventually(|| browser.run(name, vec![]), |name| name == "search").await;
    browser.press(&format!("{CONTROL}v")).await;
    assert_eq!(
        browser.run(focused, vec![]).await,
        json!(["search", agents[0].id])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_costs_neither_the_page_nor_what_was_typed() {
    let mut fixture = Fixture::of("ada", Role::Admin).await;
    let (_, second) = fixture.two_builds().await;
    fixture.browser.go(&format!("/builds/{second}/notes")).await;
    fixture.browser.fill("[name=notes]", "Faster at the till.").await;
    fixture.server.stop().await;
    fixture.browser.find("#live-status[data-state=lost]").await;
    let send = "main form[method=post] button:not([type=button])";
    fixture.browser.click(send).await;
    let said = fixture.browser.text("#unreachable[role=alert]").await;
    assert!(said.starts_with("The server could not be reached."), "{said}");
    fixture.browser.picture("unreachable").await;
    fixture.browser.click("header a[href='/builds']").await;
    fixture.browser.find("#unreachable").await;
    let typed = "return document.querySelector('[name=notes]').value";
    assert_eq!(fixture.browser.run(typed, vec![]).await, "Faster at the till.");
    // Once it is there again, the same click does it.
    fixture.server.start_again().await;
    fixture.browser.find("#live-status[data-state=live]").await;
    fixture.browser.click(send).await;
    fixture
        .browser
        .reads("#done", |text| text.starts_with("The notes were changed."))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_and_an_address_of_nothing_are_pages_as_others_are() {
    let fixture = Fixture::of("ada", Role::Admin).await;
    let mut faults: Vec<String> = Vec::new();
    fixture.look("first-run", "/", &mut faults).await;
    fixture.browser.find("#first-run").await;
    fixture.browser.go("/nowhere").await;
    fixture.judge("nowhere", &mut faults, &["404"]).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
