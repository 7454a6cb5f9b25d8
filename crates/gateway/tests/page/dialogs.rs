//! The dialogs that release and take back: what they say, what they refuse, and that a keyboard is enough.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::browser::keys;
use tidegate_testkit::server::eventually;

use crate::fixture::Fixture;

/// Whether the focus is in the dialog, or on nothing of the page.
const FOCUS_IS_KEPT: &str = "const at = document.activeElement;
    return at === document.body || document.querySelector('dialog').contains(at)";

/// More than there are fields in any dialog.
const TABS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_takes_a_share_a_hand_and_where_it_is_grave_a_confirmation() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (first, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[0, 3, 8, 20, 40, 49, 60, 80, 99], 1).await;
    fixture.is_counted(9).await;
    let page = format!("/builds/{second}");
    browser.go(&page).await;

    // Opened by a key that is held down for too long: that releases nothing.
    fixture.focus("#promote").await;
    browser.press(keys::ENTER).await;
    browser.find("dialog[open] #share").await;
    assert_eq!(fixture.focused().await, "sheet-title");
    browser.press(keys::ENTER).await;
    browser.press(keys::TAB).await;
    assert_eq!(fixture.focused().await, "by-share");
    browser.press(keys::ENTER).await;
    browser.press(keys::TAB).await;
    assert_eq!(fixture.focused().await, "minus");
    fixture.focus("dialog #share").await;
    browser.press(keys::ENTER).await;
    assert_eq!(browser.count("dialog[open]").await, 1);

    // At 0 there is nothing to send; a step further is one per cent.
    fixture.focus("dialog #share-slider").await;
    browser.press(keys::HOME).await;
    let covers = browser.text("#covers").await;
    assert_eq!(covers, "0 % is nobody: choose a share.");
    assert!(!browser.find("#promote-submit").await.is_enabled().await.unwrap());
    browser.press(keys::RIGHT).await;
    let covers = browser.text("#covers").await;
    assert_eq!(covers, "1 % is 1 device now. They leave 1.1 (1).");
    assert!(browser.find("#promote-submit").await.is_enabled().await.unwrap());
    browser.find("dialog #foretold:not([aria-busy]) #waterfall").await;
    for _ in 0..TABS {
        browser.press(keys::TAB).await;
        assert_eq!(browser.run(FOCUS_IS_KEPT, vec![]).await, json!(true));
    }
    fixture.focus("dialog #share").await;
    browser.press(keys::ESCAPE).await;
    assert_eq!(browser.count("dialog[open]").await, 0);
    assert_eq!(
        fixture.focused().await,
        "promote",
        "the focus is back where it was"
    );

    // An audience is checked from the dialog, which stays open and keeps what was typed.
    browser.click("#promote").await;
    browser.find("dialog[open] #share").await;
    browser.fill("dialog #audience", "sdk = 1").await;
    browser
        .reads("dialog #audience-fault", |text| text.contains("character 5"))
        .await;
    browser.fill("dialog #audience", "!has(region)").await;
    browser.press(keys::ENTER).await;
    assert_eq!(
        browser.count("dialog[open]").await,
        1,
        "Enter in a field sends nothing"
    );
    browser
        .reads("dialog #reach", |text| {
            text.starts_with("The audience is 9 of 9 devices")
        })
        .await;
    assert_eq!(operator.build(second).await.ok()["is_current"], false);
    browser.fill("dialog #audience", "").await;
    browser.press(keys::ESCAPE).await;

    // Each quick pick says whom it takes; above a quarter, and with "must install", somebody has to mean it.
    browser.click("#promote").await;
    browser.find("dialog[open] #share").await;
    for (pick, devices, is_grave) in [
        (1, "1 device ", false),
        (5, "2 devices ", false),
        (10, "3 devices ", false),
        (25, "4 devices ", false),
        (50, "6 devices ", true),
        (100, "9 devices ", true),
    ] {
        browser.click(&format!(".pick[data-percent='{pick}']")).await;
        let field = browser
            .run("return document.querySelector('dialog #share').value", vec![])
            .await;
        assert_eq!(field, json!(pick.to_string()));
        let covers = browser.text("#covers").await;
        assert!(covers.starts_with(&format!("{pick} % is {devices}")), "{covers}");
        assert_eq!(fixture.asks().await, is_grave, "{pick} %");
    }
    browser.click("#promote-submit").await;
    assert_eq!(
        browser.count("dialog[open]").await,
        1,
        "nothing is sent unconfirmed"
    );
    browser.click(".pick[data-percent='10']").await;
    assert!(!fixture.asks().await);
    browser.click("dialog #more summary").await;
    browser.click("dialog [name=must_install]").await;
    assert!(fixture.asks().await);
    assert_eq!(operator.build(second).await.ok()["is_current"], false);
    fixture.focus("dialog [name=confirm]").await;
    browser.press(" ").await;
    // What it would do is told by itself, and the button repeats it.
    browser.find("dialog #waterfall").await;
    browser
        .reads("#promote-submit", |text| text == "Offer 1.2 to 3 devices")
        .await;
    fixture.focus("#promote-submit").await;
    browser.press(keys::ENTER).await;
    browser.reads("#done", |text| text.starts_with("Promoted")).await;
    let build = operator.build(second).await.ok();
    assert_eq!(build["staged_rollout_percent"], 10);
    assert!(browser.said().await.contains("Must install"));

    // The notice pauses it by one click; it is let go on for what follows.
    browser.click("#toast-pause").await;
    browser.reads("#done", |text| text.starts_with("Paused")).await;
    browser.click("#rollout-actions #resume").await;
    browser.reads("#done", |text| text.starts_with("Resumed")).await;

    // Plus and minus, and how many that adds.
    browser.click("#adjust").await;
    browser.find("dialog[open] #plus").await;
    for (step, share, added) in [
        ("#plus", 15, 0),
        ("#plus", 20, 0),
        ("#minus", 15, 0),
        ("#plus", 20, 0),
    ] {
        browser.click(step).await;
        let covers = browser.text("#covers").await;
        assert!(covers.starts_with(&format!("{share} % is 3 devices")), "{covers}");
        assert!(covers.contains(&format!("{added} of them are added")), "{covers}");
    }
    browser.click("#plus").await;
    let covers = browser.text("#covers").await;
    assert_eq!(
        covers,
        "25 % is 4 devices now that do not run it yet: 1 of them is added. They leave 1.1 (4)."
    );
    browser.press(keys::ESCAPE).await;

    // Its numbers move while it is open, and it pauses and resumes as the page itself does.
    browser.click("#adjust").await;
    let eligible = format!("dialog[open] [data-live='b{second}.eligible']");
    assert_eq!(browser.text(&eligible).await, "0");
    assert_eq!(agents[0].poll(1).await.build(), Some(second));
    browser.reads(&eligible, |text| text == "1").await;
    browser.click("#sheet-pause").await;
    browser.find("#rollout-actions #resume").await;
    assert_eq!(agents[0].poll(1).await.build(), None);
    browser.click("#adjust").await;
    browser.click("#sheet-resume").await;
    browser.find("#rollout-actions #pause").await;
    assert_eq!(agents[0].poll(1).await.build(), Some(second));

    // Taking it back takes the version's name, and no other.
    // Whom it touches is counted every second.
    let touched = || async {
        browser.go(&format!("/builds/{second}/rollback")).await;
        browser.text("#touched").await
    };
    let expected = "Pending: 1 device. What they were offered ends. Running it now: 0 devices. They are stranded on it until \
                    a higher version is released, unless they are forced back.";
    eventually(touched, |told| told == expected).await;
    browser.go(&format!("/builds/{second}")).await;
    browser.click("#rollback").await;
    browser.find("dialog[open] #from").await;
    let told = browser.text("dialog .sheet").await;
    for truth in [
        "refuses to install a lower version code",
        "device owner is not enough",
        "data goes with it",
    ] {
        assert!(told.contains(truth), "{told}");
    }
    assert_eq!(browser.text("#rollback-submit").await, "Roll back 1.2");
    assert!(browser.text("#from").await.contains("1.2") && browser.text("#to").await.contains("1.1"));
    browser.click("dialog [name=force_downgrade]").await;
    browser.fill("dialog [name=version_name]", "1.1").await;
    assert!(!browser.find("#rollback-submit").await.is_enabled().await.unwrap());
    browser.press(keys::ENTER).await;
    browser.fill("dialog [name=version_name]", "1.2").await;
    browser.press(keys::ENTER).await;
    browser
        .arrives(|path| path.starts_with(&format!("/builds/{first}")))
        .await;
    eventually(
        || async { operator.build(first).await.ok()["is_current"] == true },
        |is| *is,
    )
    .await;
    assert!(browser.said().await.contains("Forces downgrades"));
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

impl Fixture {
    async fn focus(&self, css: &str) {
        self.browser.find(css).await;
        let focus = "document.querySelector(arguments[0]).focus()";
        self.browser.run(focus, vec![json!(css)]).await;
    }

    /// The id of what has the focus.
    async fn focused(&self) -> String {
        let id = "return document.activeElement.id";
        self.browser
            .run(id, vec![])
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Whether the dialog asks for a confirmation.
    async fn asks(&self) -> bool {
        self.browser
            .find("#confirm-block")
            .await
            .is_displayed()
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_says_what_changes_from_the_current_build() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let old = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = apks::release(PACKAGE, 2).lib("arm64-v8a", "libmaps.so", vec![1; 5000]);
    let new = operator.uploaded(&apks::sign(new)).await;
    browser.go(&format!("/builds/{new}")).await;
    assert_eq!(browser.count("#comparison").await, 0, "nothing is current yet");
    operator.promote(old, 10).await.ok();

    browser.go(&format!("/builds/{new}")).await;
    browser.click("#promote").await;
    browser.click("dialog #comparison summary").await;
    let told = browser.text("dialog #comparison").await;
    for line in [
        "What changes from 1.1",
        "Version code: 1 → 2",
        "Added Native library: arm64-v8a/libmaps.so",
        "Added Native code for: arm64-v8a",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains("Permission"), "{told}");
}
