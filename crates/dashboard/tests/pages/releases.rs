//! Releasing builds from the pages.

use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

#[tokio::test]
async fn an_operator_promotes_raises_holds_and_takes_back() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ci = server.person("ci", Role::Operator);
    let old = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    ci.promote(old, 100).await.ok();

    let promote = format!("/builds/{new}/promote");
    assert!(operator.page(&promote).await.contains("takes the place of"));
    for (fields, told) in [
        (&[("rollout_percent", "0")][..], "must be from 0.01 to 100, not 0"),
        (&[("rollout_percent", "101")], "must be from 0.01 to 100"),
        (&[("rollout_percent", "ten")], "must be a number"),
        (&[("rollout_percent", "26")], "confirm is missing"),
        (
            &[("rollout_percent", "5"), ("must_install", "yes")],
            "confirm is missing",
        ),
    ] {
        let refused = operator.post(&promote, fields).await;
        assert_eq!(refused.status, 400, "{fields:?}");
        assert!(text(&refused).contains(told), "{fields:?}: {}", text(&refused));
    }
    let done = operator
        .post(
            &promote,
            &[
                ("rollout_percent", "10"),
                ("keep_previous", "yes"),
                ("wifi_only", "yes"),
            ],
        )
        .await;
    assert_eq!(
        done.header("location"),
        format!("/builds/{new}?done=promoted&rollout=2")
    );
    let build = ci.build(new).await.ok();
    assert_eq!(
        (&build["is_current"], &build["staged_rollout_percent"]),
        (&true.into(), &10.into())
    );
    let page = operator.page(&format!("/builds/{new}")).await;
    assert!(page.contains("Wi-Fi only") && page.contains("data-testid=\"current\""));

    let rollout = format!("/builds/{new}/rollout");
    let unsure = operator.post(&rollout, &[("rollout_percent", "50")]).await;
    assert_eq!(unsure.status, 400);
    let done = operator
        .post(&rollout, &[("rollout_percent", "50"), ("confirm", "yes")])
        .await;
    assert_eq!(
        done.header("location"),
        format!("/builds/{new}?done=adjusted&rollout=2")
    );
    let lower = operator.post(&rollout, &[("rollout_percent", "40")]).await;
    assert_eq!(lower.status, 303, "a lower share needs no confirmation");
    operator.post(&format!("/builds/{new}/pause"), &[]).await;
    assert!(
        operator
            .page(&format!("/builds/{new}"))
            .await
            .contains("id=\"resume\"")
    );
    operator.post(&format!("/builds/{new}/resume"), &[]).await;

    let rollback = format!("/builds/{new}/rollback");
    assert!(
        operator
            .page(&rollback)
            .await
            .contains("Most devices will not do it.")
    );
    let mistyped = operator.post(&rollback, &[("version_name", "1.1")]).await;
    assert!(mistyped.status == 400 && text(&mistyped).contains("type 1.2"));
    let done = operator.post(&rollback, &[("version_name", "1.2")]).await;
    assert_eq!(done.header("location"), format!("/builds/{old}?done=rolled_back"));
    let again = operator.post(&rollback, &[("version_name", "1.2")]).await;
    assert_eq!(again.status, 409, "it is not current any more");

    let audit = operator.page("/audit").await;
    let by = "<a href=\"/audit?actor=operator\">operator</a>";
    let what = format!("<a href=\"/builds/{new}\">1.2</a>");
    for (action, words) in [
        ("ota.promote", format!("{by} promoted {what} to 10 %")),
        (
            "ota.rollout.adjust",
            format!("{by} raised {what} from 10 % to 50 %"),
        ),
        (
            "ota.rollout.adjust",
            format!("{by} lowered {what} from 50 % to 40 %"),
        ),
        ("ota.rollout.pause", format!("{by} paused {what} at 40 %")),
        ("ota.rollout.resume", format!("{by} resumed {what} at 40 %")),
        (
            "ota.rollback",
            format!("back from 1.2 to <a href=\"/builds/{old}\">1.1</a>"),
        ),
    ] {
        assert!(audit.contains(&words), "{words}: {audit}");
        assert!(audit.contains(&format!(">{action}</a>")), "{action}");
    }
    assert!(audit.contains("role operator"));
    let only = operator.page("/audit?action=ota.rollback&actor=operator").await;
    assert_eq!(only.matches("data-seq=").count(), 1);
}

#[tokio::test]
async fn an_audience_is_typed_checked_and_released_to() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 2)).await;
    for id in ["till-1", "till-2"] {
        server.device(id).await;
    }
    let promote = format!("/builds/{build}/promote");
    let slip = [("rollout_percent", "10"), ("audience", "sdk = 30 && <b>")];
    for (asks, status) in [(&[("check", "yes")][..], 200), (&[], 400)] {
        let refused = operator.post(&promote, &[&slip[..], asks].concat()).await;
        assert_eq!(refused.status, status);
        let page = text(&refused);
        assert!(
            page.contains("character 5: `=` does not compare; did you mean =="),
            "{page}"
        );
        assert!(
            page.contains("value=\"sdk = 30 &#38;&#38; &#60;b&#62;\""),
            "it is still there: {page}"
        );
    }
    let audience = ("audience", "!has(region) && version == 0");
    let checked = operator
        .post(&promote, &[("rollout_percent", "50"), ("check", "yes"), audience])
        .await;
    assert_eq!(checked.status, 200);
    let page = text(&checked);
    assert!(
        page.contains("The audience is 2 of 2 devices now: till-1, till-2."),
        "{page}"
    );
    assert!(page.contains("value=\"50\""), "the rest of the form is as it was");
    assert!(page.contains("2 devices ask for the package."), "{page}");
    let row = between(&page, "id=\"outlook\"", "</table>");
    assert!(row.contains("<th scope=\"row\">50 %</th>"), "{row}");
    let nobody = operator
        .post(&promote, &[("rollout_percent", "0"), ("check", "yes"), audience])
        .await;
    assert!(
        text(&nobody).contains("What it would do is not told: rollout_percent"),
        "{}",
        text(&nobody)
    );
    assert_eq!(
        ci.build(build).await.ok()["is_current"],
        false,
        "nothing was released"
    );
    let done = operator
        .post(&promote, &[("rollout_percent", "10"), audience])
        .await;
    assert_eq!(
        done.header("location"),
        format!("/builds/{build}?done=promoted&rollout=1")
    );
    let shown = ci.rollouts("").await.ok()["items"][0]["audience"]["expression"].clone();
    assert_eq!(shown, audience.1);
    let page = operator.page(&format!("/builds/{build}")).await;
    assert!(
        page.contains("<code>!has(region) &#38;&#38; version == 0</code>"),
        "{page}"
    );
}

#[tokio::test]
async fn the_chain_is_checked_when_somebody_asks() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    assert!(viewer.page("/audit").await.contains("was not checked"));
    let answer = viewer.post("/audit/verify", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/audit#chain"));
    assert!(viewer.page("/audit").await.contains("data-intact=\"true\""));
}

#[tokio::test]
async fn a_device_is_explained() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 7)).await;
    ci.promote(build, 100).await.ok();
    server.device("pixel 1/a").await;
    let page = viewer.page("/devices").await;
    assert!(page.contains("href=\"/devices/pixel%201%2Fa\""), "{page}");
    let page = viewer.page("/devices/pixel%201%2Fa").await;
    assert!(page.contains("Its next poll is offered <a href=\"/builds/1\">"));
    let page = viewer
        .page("/devices/pixel%201%2Fa?package_name=com.example.app&current_version_code=7")
        .await;
    assert!(page.contains("<b>already_current</b>") && page.contains("data-passed=\"false\""));
    assert_eq!(viewer.get("/devices/nobody").await.status, 404);
}
