//! The one dialog that releases a build and raises its share: what it says that it would do, and what it does.

use reqwest::Method;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::person::{Person, between, text};

/// A server with build 1 for everybody, build 2 for nobody, and ten devices: six run version 1, three version 2, and one has
/// given build 2 up.
async fn with_ten_devices() -> (TestServer, Operator, i64) {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person("ci", Role::Operator);
    let first = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    ci.promote(second, 100).await.ok();
    let gone = server.device("till-9").await;
    assert_eq!(gone.poll(1).await.build(), Some(second));
    let conflict = json!({ "build_id": second, "status": "install_failed", "android_status": 5 });
    gone.report_as(&conflict).await.ok();
    ci.promote(first, 100).await.ok();
    for number in 0..9 {
        let version = if number < 6 { 1 } else { 2 };
        server.device(&format!("till-{number}")).await.poll(version).await;
    }
    (server, ci, second)
}

/// The rows of the waterfall: words and numbers.
fn falls(page: &str) -> Vec<(String, String)> {
    let table = between(page, "id=\"waterfall\"", "</table>");
    let rows = table.split("<th scope=\"row\">").skip(1);
    rows.map(|row| {
        let words = row.split('<').next().unwrap().to_owned();
        (words, between(row, "class=\"number\">", "<").to_owned())
    })
    .collect()
}

#[tokio::test]
async fn a_release_tells_as_a_waterfall_whom_it_would_reach_and_its_button_repeats_it() {
    let (server, ci, build) = with_ten_devices().await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let promote = format!("/builds/{build}/promote");
    let before = operator.page(&promote).await;
    assert!(!before.contains("id=\"waterfall\"") && before.contains(">Promote 1.2</button>"));

    let everybody = [("rollout_percent", "100"), ("check", "yes")];
    let expected = [
        ("In the share", "10"),
        ("On it or newer already", "−3"),
        ("Incompatible", "0"),
        ("Gave it up", "−1"),
        ("Will be offered it", "6"),
    ];
    let expected = expected.map(|(words, number)| (words.to_owned(), number.to_owned()));
    // What polls told is written once a second.
    let told = eventually(
        || async { text(&operator.post(&promote, &everybody).await) },
        |told| falls(told) == expected,
    )
    .await;
    assert!(told.contains(">Offer 1.2 to 6 devices</button>"), "{told}");
    assert!(told.contains("half within "), "{told}");

    let again = [
        ("rollout_percent", "100"),
        ("retry_failed", "yes"),
        ("check", "yes"),
    ];
    let told = text(&operator.post(&promote, &again).await);
    assert!(
        told.contains(">Offer 1.2 to 7 devices</button>"),
        "who gave it up is asked again: {told}"
    );
    let nobody = [
        ("rollout_percent", "100"),
        ("audience", "region == \"x\""),
        ("check", "yes"),
    ];
    let told = text(&operator.post(&promote, &nobody).await);
    assert!(told.contains("Nobody would be offered it.") && told.contains("The audience is 0 of 10 devices"));
    assert_eq!(
        ci.build(build).await.ok()["is_current"],
        false,
        "nothing was released"
    );
}

#[tokio::test]
async fn a_raise_tells_whom_it_adds_and_what_becomes_of_the_plan() {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    let plan = json!({ "steps": [{ "percent": 20, "bake": "1day" }, { "percent": 100 }] });
    ci.promote_as(build, &json!({ "plan": plan })).await.ok();
    for number in 0..40 {
        server.device(&format!("till-{number}")).await.poll(1).await;
    }
    let operator = Person::logged_in(&server, Role::Operator).await;
    let rollout = format!("/builds/{build}/rollout");
    let dialog = operator.page(&rollout).await;
    assert!(
        dialog.contains("goes by a plan, and is at step 1 of 2"),
        "{dialog}"
    );

    let ask = |percent| [("rollout_percent", percent), ("check", "yes")];
    let told = eventually(
        || async { text(&operator.post(&rollout, &ask("100")).await) },
        |told| falls(told)[0].1 == "40",
    )
    .await;
    let rows = falls(&told);
    let number = |words: &str| -> i64 {
        let row = rows.iter().find(|(row, _)| row == words).expect(words);
        row.1.replace('−', "").parse().unwrap()
    };
    assert_eq!(number("In the share"), 40);
    let (has, more) = (number("Offered it already"), number("Will be offered it"));
    assert!(has > 0 && more > has && has + more == 40, "{rows:?}");
    assert!(
        told.contains(&format!(">Raise to 100 %: {more} more devices</button>")),
        "{told}"
    );
    // A deadline that has passed meanwhile keeps nobody from asking.
    let path = format!(
        "/v1/rollouts/{}",
        ci.rollouts("").await.ok()["items"][0]["rollout_id"]
    );
    let soon = server.clock().read() + chrono::TimeDelta::hours(1);
    let due = json!({ "revision": 1, "install_deadline": soon.to_rfc3339() });
    Answer::to(ci.request(Method::PATCH, &path).json(&due)).await.ok();
    server.clock().advance(chrono::TimeDelta::hours(2));
    let told = text(&operator.post(&rollout, &ask("100")).await);
    assert!(told.contains("id=\"waterfall\""), "{told}");

    for (percent, says) in [
        ("20", "choose another share"),
        ("5", "takes nothing back from devices"),
        ("ten", "What it would do is not told: rollout_percent"),
    ] {
        let told = text(&operator.post(&rollout, &ask(percent)).await);
        assert!(
            told.contains(says) && !told.contains("id=\"waterfall\""),
            "{percent}: {told}"
        );
    }
    assert_eq!(ci.get("/v1/rollouts/1").await.ok()["rollout_percent"], 20);

    let raised = operator
        .post(&rollout, &[("rollout_percent", "25"), ("confirm", "yes")])
        .await;
    assert_eq!(
        raised.header("location"),
        format!("/builds/{build}?done=adjusted&rollout=1")
    );
    assert_eq!(ci.get("/v1/rollouts/1").await.ok()["phase"], "held");
}

#[tokio::test]
async fn after_a_release_one_click_pauses_it() {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let made = operator
        .post(&format!("/builds/{build}/promote"), &[("rollout_percent", "5")])
        .await;
    let next = made.header("location").to_owned();
    assert_eq!(next, format!("/builds/{build}?done=promoted&rollout=1"));
    let pause = "action=\"/rollouts/1/pause\"";
    assert!(operator.page(&next).await.contains(pause));
    assert!(!viewer.page(&next).await.contains(pause));
    // A link of somebody else's claims nothing.
    let linked = operator
        .request(Method::GET, &next)
        .header("sec-fetch-site", "cross-site");
    let linked = text(&Answer::to(linked).await);
    assert!(
        !linked.contains(pause) && !linked.contains("Promoted. The next polls"),
        "{linked}"
    );
    for other in ["", "&rollout=2", "&rollout=x"] {
        let page = operator
            .page(&format!("/builds/{build}?done=promoted{other}"))
            .await;
        assert!(
            !page.contains("/pause\" class") && !page.contains("id=\"toast-pause\""),
            "{other}"
        );
    }
    let paused = operator.post("/rollouts/1/pause", &[]).await;
    assert_eq!(paused.header("location"), format!("/builds/{build}?done=paused"));
    assert_eq!(ci.get("/v1/rollouts/1").await.ok()["state"], "paused");
    assert!(
        !operator.page(&next).await.contains("id=\"toast-pause\""),
        "it is paused already"
    );
    assert_eq!(operator.post("/rollouts/7/pause", &[]).await.status, 404);
}

#[tokio::test]
async fn what_is_folded_is_asked_for_as_well() {
    let server = TestServer::start(Engine::Sqlite).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let promote = format!("/builds/{build}/promote");
    assert!(operator.page(&promote).await.contains("Admins make calendars"));
    let nights = json!({
        "name": "nights", "zone": "device",
        "windows": [{ "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "22:00", "end": "04:00" }],
    });
    ada.post("/v1/calendars", &nights).await.ok();
    let dialog = operator.page(&promote).await;
    assert!(
        dialog.contains("<details id=\"more\" class=\"folded\">"),
        "{dialog}"
    );
    assert!(dialog.contains("<option value=\"nights\">"));

    let asked = [
        ("rollout_percent", "5"),
        ("keep_previous", "yes"),
        ("failed_percent", "3"),
        ("on_halt", "none"),
        ("install_calendar", "nights"),
        ("install_when", "charging"),
        ("install_when", "idle"),
        ("slice_start", "auto"),
    ];
    let shown = text(
        &operator
            .post(&promote, &[&asked[..], &[("check", "yes")]].concat())
            .await,
    );
    assert!(
        shown.contains("<details id=\"more\" class=\"folded\" open>"),
        "what is asked for is seen"
    );
    assert!(shown.contains("<option value=\"nights\" selected>"), "{shown}");
    operator.post(&promote, &asked).await;
    let rollout = ada.get("/v1/rollouts/1").await.ok();
    assert_eq!(
        (&rollout["calendars"]["install"], &rollout["gate"]),
        (&json!("nights"), &json!(null)),
        "{rollout}"
    );
    assert_eq!(rollout["install_when"], json!(["charging", "idle"]), "{rollout}");
    let gated = [
        ("rollout_percent", "6"),
        ("failed_percent", "3"),
        ("on_halt", "hold"),
    ];
    operator.post(&promote, &gated).await;
    assert_eq!(ada.get("/v1/rollouts/2").await.ok()["gate"]["failed_percent"], 3);
    for (field, value) in [
        ("install_calendar", "a b"),
        ("download_calendar", "days"),
        ("install_when", "rain"),
    ] {
        let refused = operator
            .post(&promote, &[("rollout_percent", "7"), (field, value)])
            .await;
        assert!(
            (400..500).contains(&refused.status),
            "{field}: {}",
            refused.status
        );
    }
}
