//! Gates on the pages: one question asks for one, its card says what it found, and who resumes says what they saw.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_domain::gate::{Arms, GateFacts, StepCounts, StepProgress};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

/// What a gate finds of 14 failures among 120 devices.
fn found() -> GateFacts {
    let step = StepCounts {
        reached: 120,
        begun: 120,
        sent: 120,
        failed: 14,
        in_trouble: 14,
        ..StepCounts::default()
    };
    GateFacts {
        fleet: 20_000,
        weights: Default::default(),
        steps: vec![step],
        lost_arms: Arms::default(),
        lost: Default::default(),
        crashing_arms: None,
        crashing: Default::default(),
        polls_expected: 0,
        polls_seen: 0,
        progress: StepProgress::Ramping,
        waited_seconds: 0,
    }
}

#[tokio::test]
async fn a_release_by_plan_is_watched_halted_and_resumed_from_the_pages() {
    let server = TestServer::start(Engine::Sqlite).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let (page, promote) = (format!("/builds/{build}"), format!("/builds/{build}/promote"));
    let dialog = operator.page(&promote).await;
    let question = between(&dialog, "<fieldset id=\"gate\"", "</fieldset>");
    assert!(
        question.contains("Gate: when more than this share fails"),
        "{question}"
    );
    assert!(question.contains("name=\"failed_percent\"") && question.contains("value=\"2\""));

    let plan = between(&dialog, "name=\"plan\" value=\"", "\"").replace("&#34;", "\"");
    let by_plan = |failed, on_halt| {
        [
            ("by", "plan"),
            ("plan", plan.as_str()),
            ("failed_percent", failed),
            ("on_halt", on_halt),
        ]
    };
    for (failed, on_halt) in [("99", "hold"), ("two", "hold"), ("2", "stop")] {
        let refused = operator.post(&promote, &by_plan(failed, on_halt)).await;
        assert_eq!(refused.status, 400, "{failed} {on_halt}");
    }
    let kept = operator.post(&promote, &by_plan("99", "roll_back")).await;
    assert!(text(&kept).contains("value=\"99\""), "what was typed is kept");
    let made = operator.post(&promote, &by_plan("1.5", "roll_back")).await;
    assert_eq!(
        made.header("location"),
        format!("/builds/{build}?done=promoted&rollout=1")
    );
    let rollout = olga.get("/v1/rollouts/1").await.ok();
    assert_eq!(
        (
            &rollout["gate"]["failed_percent"],
            &rollout["gate"]["mode"],
            &rollout["on_halt"]
        ),
        (&json!(1.5), &json!("act"), &json!("roll_back"))
    );
    assert!(operator.page(&page).await.contains("data-live=\"r1.gate\">"));
    assert!(
        operator
            .page(&page)
            .await
            .contains("data-verdict>Not looked at yet")
    );

    olga.post_text("/v1/rollouts/1/halt", "").await.ok();
    server.keep_gate_look(1, found()).await;
    let sentence = "14 of 120 phones that fetched";
    for person in [&operator, &viewer] {
        let shown = person.page(&page).await;
        assert!(shown.contains(sentence), "{shown}");
        let health = between(&shown, "id=\"health-1\"", "</section>");
        for told in [
            "<span class=\"badge bad\" data-verdict>Bad: failed",
            "14 of 120",
            "up to 1 tolerated (1.5 %)",
            "no agent tells it",
        ] {
            assert!(health.contains(told), "{told}: {health}");
        }
        assert!(!health.contains("badge good"), "nothing was judged to be good");
        assert_eq!(
            shown.contains("href=\"/rollouts/1/resume\""),
            std::ptr::eq(person, &operator)
        );
    }
    let path = "/rollouts/1/resume";
    let dialog = operator.page(path).await;
    assert!(
        dialog.contains(sentence) && dialog.contains("id=\"gate-failures\">14<"),
        "{dialog}"
    );
    let refused = operator.post(&format!("/builds/{build}/resume"), &[]).await;
    assert_eq!(refused.status, 400, "the plain button is no way round");
    for (failures, remark, status, says) in [
        ("", "seen", 400, "acknowledged_failures must be"),
        ("many", "seen", 400, "acknowledged_failures must be"),
        ("14", "", 400, "remark must say why"),
        ("13", "seen", 409, "14 failures by now"),
    ] {
        let said = [("acknowledged_failures", failures), ("remark", remark)];
        let refused = operator.post(path, &said).await;
        assert_eq!(refused.status, status, "{failures} {remark}");
        assert!(text(&refused).contains(says), "{}", text(&refused));
        assert!(
            text(&refused).contains(&format!("required value=\"{remark}\"")),
            "what was typed is kept"
        );
    }
    let said = [
        ("acknowledged_failures", "14"),
        ("remark", "one shop without power"),
    ];
    assert_eq!(viewer.post(path, &said).await.status, 403);
    let resumed = operator.post(path, &said).await;
    assert_eq!(
        resumed.header("location"),
        format!("/builds/{build}?done=resumed")
    );
    assert_eq!(olga.get("/v1/rollouts/1").await.ok()["state"], "active");
    assert_eq!(operator.post("/rollouts/x/resume", &said).await.status, 404);
}

#[tokio::test]
async fn an_empty_share_asks_for_no_gate_and_the_package_proposes_one() {
    let server = TestServer::start(Engine::Sqlite).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    let proposed = json!({ "gate": { "failed_percent": 0.5, "lost": false }, "on_halt": "roll_back" });
    let path = format!("/v1/packages/{PACKAGE}");
    let edit = ada.request(reqwest::Method::PATCH, &path).json(&proposed);
    tidegate_testkit::answer::Answer::to(edit).await.ok();
    let operator = Person::logged_in(&server, Role::Operator).await;
    let promote = format!("/builds/{build}/promote");
    let dialog = operator.page(&promote).await;
    let question = between(&dialog, "<fieldset id=\"gate\"", "</fieldset>");
    assert!(
        question.contains("value=\"0.5\"") && question.contains("value=\"roll_back\" checked"),
        "{question}"
    );
    let plan = between(&dialog, "name=\"plan\" value=\"", "\"").replace("&#34;", "\"");

    let by_plan = [
        ("by", "plan"),
        ("plan", plan.as_str()),
        ("failed_percent", ""),
        ("on_halt", "hold"),
    ];
    operator.post(&promote, &by_plan).await;
    assert_eq!(
        ada.get("/v1/rollouts/1").await.ok()["gate"],
        serde_json::Value::Null
    );
    let by_plan = [
        ("by", "plan"),
        ("plan", plan.as_str()),
        ("failed_percent", "3"),
        ("on_halt", "hold"),
    ];
    operator.post(&promote, &by_plan).await;
    let gate = ada.get("/v1/rollouts/2").await.ok()["gate"].clone();
    assert_eq!(
        (&gate["failed_percent"], &gate["lost"]),
        (&json!(3), &json!(false)),
        "the rest as proposed"
    );
    operator.post(&promote, &[("rollout_percent", "5")]).await;
    let by_share = ada.get("/v1/rollouts/3").await.ok();
    assert_eq!(
        (&by_share["gate"]["failed_percent"], &by_share["on_halt"]),
        (&json!(0.5), &json!("roll_back"))
    );
}
