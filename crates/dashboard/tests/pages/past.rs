//! What stands at the head of a release's page: how it stands, who took it back, and what releasing it would not do.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

#[tokio::test]
async fn a_build_that_was_rolled_back_says_so_first_and_its_version_is_typed_to_release_it_again() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ann = server.person("ann", Role::Operator);
    let old = ann.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = ann.uploaded(&apks::build(PACKAGE, 2)).await;
    let (page, promote) = (format!("/builds/{new}"), format!("/builds/{new}/promote"));
    let fresh = operator.page(&page).await;
    assert!(fresh.contains("data-state=\"never released\""), "{fresh}");
    assert!(!fresh.contains("id=\"funnel\"") && !fresh.contains("id=\"taken-back\""));
    assert!(
        fresh.find("id=\"facts\"") < fresh.find("id=\"history\""),
        "its facts come first"
    );

    ann.promote(old, 100).await.ok();
    ann.promote(new, 10).await.ok();
    let shown = operator.page(&page).await;
    assert!(shown.contains("data-state=\"active\"") && shown.contains("id=\"funnel\""));
    assert!(
        shown.contains("id=\"ungated\""),
        "nothing looks judged that is not"
    );
    assert!(shown.find("id=\"facts\"") > shown.find("id=\"history\""));
    let back = json!({ "package_name": PACKAGE });
    ann.post("/v1/apk/rollback", &back).await.ok();

    let taken = operator.page(&page).await;
    let first = between(&taken, "<main", "<h1>");
    assert!(
        first.contains("Rolled back by ann at 20") && first.contains("No reason was given."),
        "{first}"
    );
    assert!(taken.contains("data-state=\"rolled_back\""), "{taken}");
    assert!(
        taken.contains("<a class=\"button\" id=\"promote\""),
        "it is not the one to press"
    );
    let dialog = operator.page(&promote).await;
    assert!(dialog.contains("Rolled back by ann") && dialog.contains("name=\"version_name\""));
    for typed in ["", "1.1", "yes"] {
        let refused = operator
            .post(&promote, &[("rollout_percent", "5"), ("version_name", typed)])
            .await;
        assert_eq!(refused.status, 400, "{typed}");
        assert!(
            text(&refused).contains("type 1.2 to release it again"),
            "{}",
            text(&refused)
        );
        assert!(text(&refused).contains("value=\"5\""), "what was chosen is kept");
    }
    assert_eq!(ann.build(new).await.ok()["is_current"], false);
    let typed = [("rollout_percent", "5"), ("version_name", " 1.2 ")];
    let done = operator.post(&promote, &typed).await;
    assert_eq!(done.header("location"), format!("{page}?done=promoted&rollout=4"));
    assert!(!operator.page(&page).await.contains("id=\"taken-back\""));
    let again = operator.post(&promote, &[("rollout_percent", "6")]).await;
    assert_eq!(again.status, 303, "what is offered needs no such word");
}

#[tokio::test]
async fn an_older_build_says_that_it_is_no_way_back() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ann = server.person("ann", Role::Operator);
    let old = ann.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = ann.uploaded(&apks::build(PACKAGE, 2)).await;
    ann.promote(new, 10).await.ok();
    for path in [format!("/builds/{old}"), format!("/builds/{old}/promote")] {
        let shown = operator.page(&path).await;
        let said = between(&shown, "id=\"older\">", "</p>");
        assert!(
            said.contains("1.1 is older than 1.2") && said.contains("is no roll-back"),
            "{path}: {said}"
        );
    }
    assert!(
        !operator
            .page(&format!("/builds/{new}"))
            .await
            .contains("id=\"older\"")
    );
}

#[tokio::test]
async fn a_chart_is_asked_for_by_the_address_and_a_table_tells_the_same() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ann = server.person("ann", Role::Operator);
    let build = ann.uploaded(&apks::build(PACKAGE, 1)).await;
    ann.promote(build, 100).await.ok();
    let page = format!("/builds/{build}");
    assert!(
        operator.page(&page).await.contains("No device has met it"),
        "nothing is drawn before"
    );
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let agent = server.enroll(&token, "tablet-1").await;
    agent.poll(0).await;
    let met = |page: &String| page.contains("id=\"progress-figure\"") && page.contains("data-plot");
    let shown = tidegate_testkit::server::eventually(|| operator.page(&page), met).await;
    let chart = between(&shown, "id=\"progress-figure\"", "</figure>");
    for told in [
        "<th scope=\"col\" class=\"right\">Offered</th>",
        "aria-current=\"true\">1 h</a>",
        ": promoted, at 100 %, by ann",
        "<text class=\"unit\"",
    ] {
        assert!(chart.contains(told), "{told}: {chart}");
    }
    let week = operator.page(&format!("{page}?range=7d")).await;
    assert!(week.contains("aria-current=\"true\">7 d</a>"));
    for path in [format!("{page}?range=5h"), "/?range=week".to_owned()] {
        let refused = operator.get(&path).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(
            text(&refused).contains("1h, 24h, 7d or 30d"),
            "{}",
            text(&refused)
        );
    }
    assert!(
        operator
            .page("/?range=30d")
            .await
            .contains("aria-current=\"true\">30 d</a>")
    );
}
