//! Releases that wait for a second person, and who that may be.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    a_release_waits_for_another_person,
    widening_waits_and_stopping_never_does,
    only_a_person_approves_and_not_whose_machine_asked,
    lowering_the_rule_takes_two_admins,
    a_pipeline_that_may_adjust_may_not_choose_whom,
);

/// A server whose package asks for approval of everything above this, its operator, and builds 1 and 2.
async fn asking(engine: Engine, approval: &str) -> (TestServer, Operator, i64, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(first, 100).await.ok();
    let ada = server.person("ada", Role::Admin);
    let set = edit_package(&ada, &json!({ "approval": approval })).await.ok();
    assert_eq!(set["approval"], approval);
    (server, olga, first, second)
}

async fn edit_package(who: &Operator, body: &Value) -> Answer {
    let path = format!("/v1/packages/{PACKAGE}");
    Answer::to(who.request(Method::PATCH, &path).json(body)).await
}

async fn say(who: &Operator, rollout: &Value, verb: &str, body: &Value) -> Answer {
    who.post(&format!("/v1/rollouts/{rollout}/{verb}"), body).await
}

async fn a_release_waits_for_another_person(engine: Engine) {
    let (server, olga, first, second) = asking(engine, "always").await;
    let device = server.device("any").await;
    let promoted = olga.promote_as(second, &json!({ "rollout_percent": 100 })).await;
    assert_eq!(promoted.status, 202);
    let promoted = promoted.json();
    assert_eq!(promoted["state"], "proposed");
    let rollout = &promoted["rollout_id"];
    assert_eq!(device.poll(0).await.build(), Some(first), "the old one serves");
    let again = olga.promote_as(second, &json!({ "rollout_percent": 100 })).await;
    assert_eq!(
        (again.status, &again.json()["rollout_id"]),
        (202, rollout),
        "asked for twice"
    );

    let nothing = json!({});
    say(&olga, rollout, "approve", &nothing)
        .await
        .refused(409, "own_approval");
    say(&olga, rollout, "start", &nothing)
        .await
        .refused(409, "approval_required");
    say(&olga, rollout, "resume", &nothing)
        .await
        .refused(409, "wrong_state");
    let vic = server.person("vic", Role::Viewer);
    assert_eq!(say(&vic, rollout, "approve", &nothing).await.status, 403);
    let omar = server.person("omar", Role::Operator);
    say(&omar, rollout, "approve", &json!({ "revision": 7 }))
        .await
        .refused(409, "revision_mismatch");
    let approved = say(&omar, rollout, "approve", &json!({ "revision": 1 }))
        .await
        .ok();
    assert_eq!(
        (&approved["state"], &approved["approved_by"]),
        (&json!("active"), &json!("omar"))
    );
    assert_eq!(device.poll(0).await.build(), Some(second));
    let log = olga.get("/v1/audit?actor=omar").await.ok();
    assert_eq!(log["items"][0]["action"], "ota.rollout.approve");
    let timeline = olga.get(&format!("/v1/rollouts/{rollout}/timeline")).await.ok();
    assert_eq!(timeline["events"][0]["actor"], "omar");
    olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(
        device.poll(0).await.build(),
        Some(first),
        "taking back waits for nobody"
    );
}

async fn widening_waits_and_stopping_never_does(engine: Engine) {
    let (server, olga, _, second) = asking(engine, "above 20 %").await;
    let promoted = olga.promote_as(second, &json!({ "rollout_percent": 20 })).await;
    assert_eq!(promoted.status, 200, "20 % passes");
    let rollout = promoted.json()["rollout_id"].clone();
    let adjusted = olga.adjust(second, 60).await;
    assert_eq!(
        (adjusted.status, adjusted.json()["waits"].clone()),
        (202, json!(true))
    );
    let shown = olga.get(&format!("/v1/rollouts/{rollout}")).await.ok();
    assert_eq!(
        (&shown["rollout_percent"], &shown["waiting"]["rollout_percent"]),
        (&json!(20), &json!(60.0))
    );
    olga.pause(second).await.ok();
    olga.resume(second).await.ok();
    let omar = server.person("omar", Role::Operator);
    let denied = say(&omar, &rollout, "deny", &json!({})).await.ok();
    assert_eq!(
        (&denied["rollout_percent"], &denied["waiting"]),
        (&json!(20), &Value::Null)
    );
    olga.adjust(second, 60).await;
    let approved = say(&omar, &rollout, "approve", &json!({})).await.ok();
    assert_eq!(approved["rollout_percent"], 60);
    let lower = olga.adjust(second, 10).await;
    assert_eq!(lower.status, 200, "narrowing waits for nobody");

    let path = format!("/v1/rollouts/{rollout}");
    let patch = |body: Value| Answer::to(olga.request(Method::PATCH, &path).json(&body));
    let seen = olga.get(&path).await.ok()["revision"].clone();
    let plan = json!({ "steps": [{ "percent": 15 }, { "percent": 100 }] });
    let planned = patch(json!({ "revision": seen, "plan": plan })).await;
    assert_eq!(
        planned.status, 200,
        "its first step is below the limit; the next one will wait"
    );
}

async fn only_a_person_approves_and_not_whose_machine_asked(engine: Engine) {
    let (server, olga, _, second) = asking(engine, "always").await;
    let ada = server.person("ada", Role::Admin);
    let made = ada
        .post(
            "/v1/service-accounts",
            &json!({ "name": "ci", "role": "operator" }),
        )
        .await
        .json();
    let ci = olga.with_token(made["token"].as_str().unwrap());
    let promoted = ci
        .promote_as(second, &json!({ "rollout_percent": 100 }))
        .await
        .json();
    let rollout = &promoted["rollout_id"];
    let nothing = json!({});
    say(&ci, rollout, "approve", &nothing)
        .await
        .refused(403, "not_a_person");
    say(&ada, rollout, "approve", &nothing)
        .await
        .refused(409, "own_approval");
    let shown = olga.get(&format!("/v1/rollouts/{rollout}")).await.ok();
    assert_eq!(shown["edited_by"], json!(["service:ci", "ada"]), "{shown}");

    let unsaid = json!({ "break_glass": " " });
    assert_eq!(say(&ada, rollout, "approve", &unsaid).await.status, 400);
    let alone = json!({ "break_glass": "nobody else is awake" });
    assert_eq!(
        say(&olga, rollout, "approve", &alone).await.status,
        403,
        "an admin's word alone"
    );
    let approved = say(&ada, rollout, "approve", &alone).await.ok();
    assert_eq!(approved["state"], "active");
    let log = olga.get("/v1/audit?actor=ada").await.ok();
    let entry = &log["items"][0];
    assert_eq!(entry["action"], "ota.rollout.break_glass");
    assert_eq!(entry["after"]["approved"]["break_glass"], "nobody else is awake");
}

async fn lowering_the_rule_takes_two_admins(engine: Engine) {
    let (server, olga, _, _) = asking(engine, "always").await;
    let (ada, eve) = (
        server.person("ada", Role::Admin),
        server.person("eve", Role::Admin),
    );
    assert_eq!(
        edit_package(&olga, &json!({ "approval": "never" })).await.status,
        403
    );
    let lower = json!({ "approval": "above 5 %" });
    for _ in 0..2 {
        let asked = edit_package(&ada, &lower).await;
        assert_eq!(asked.status, 202);
        let asked = asked.json();
        assert_eq!(
            (&asked["approval"], &asked["approval_asked"]),
            (&json!("always"), &json!("above 5 %"))
        );
    }
    let lowered = edit_package(&eve, &lower).await;
    assert_eq!(
        (lowered.status, lowered.json()["approval"].clone()),
        (200, json!("above 5 %"))
    );
    let higher = edit_package(&ada, &json!({ "approval": "above 1 %" })).await;
    assert_eq!(higher.status, 200, "a stricter rule holds at once");
    let alone = edit_package(&ada, &json!({ "approval": "never", "break_glass": true })).await;
    assert_eq!(
        (alone.status, alone.json()["approval"].clone()),
        (200, json!("never"))
    );
    let plan = json!({ "steps": [{ "percent": 5, "bake": "1day" }, { "percent": 100 }] });
    let planned = edit_package(&ada, &json!({ "plan": plan })).await.ok();
    assert_eq!(planned["plan"]["steps"].as_array().unwrap().len(), 2);
    let careful = edit_package(&ada, &json!({ "default_plan": true })).await.ok();
    assert_eq!(careful["plan"]["steps"].as_array().unwrap().len(), 6);
    for bad in ["sometimes", "above 0", "above 200 %"] {
        assert_eq!(
            edit_package(&ada, &json!({ "approval": bad })).await.status,
            400,
            "{bad}"
        );
    }
}

async fn a_pipeline_that_may_adjust_may_not_choose_whom(engine: Engine) {
    let (server, olga, _, second) = asking(engine, "never").await;
    let made = olga
        .post(
            "/v1/rollouts",
            &json!({ "build_id": second, "priority": 5, "rollout_percent": 5 }),
        )
        .await;
    let rollout = made.json()["rollout_id"].clone();
    let ada = server.person("ada", Role::Admin);
    let account = json!({ "name": "dial", "role": "operator", "verbs": ["adjust"] });
    let made = ada.post("/v1/service-accounts", &account).await.json();
    let dial = olga.with_token(made["token"].as_str().unwrap());
    let path = format!("/v1/rollouts/{rollout}");
    let patch = |body: Value| Answer::to(dial.request(Method::PATCH, &path).json(&body));
    for terms in [
        json!({ "revision": 1, "audience": "sdk >= 30" }),
        json!({ "revision": 1, "priority": 9 }),
        json!({ "revision": 1, "slice": { "start": 5 } }),
        json!({ "revision": 1, "plan": { "steps": [{ "percent": 100 }] } }),
    ] {
        patch(terms).await.refused(403, "token_limited");
    }
    assert_eq!(
        patch(json!({ "revision": 1, "rollout_percent": 7 })).await.ok()["rollout_percent"],
        7
    );
}
