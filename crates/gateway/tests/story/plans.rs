//! A release that plans its own steps: it ramps, bakes and goes to everybody by itself, and a killed clerk takes each
//! step once.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::{Position, Role};
use tidegate_proto::v1;
use tidegate_proto::v1::rollout_service_client::RolloutServiceClient;
use tidegate_testkit::agent::{Agent, Polled};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::Request;

on_both_engines!(
    a_release_goes_to_everybody_by_itself,
    a_release_begins_at_its_time_and_replaces_nothing_before,
    an_operator_holds_advances_and_changes_what_lies_ahead,
    two_replicas_read_one_line,
    a_killed_clerk_takes_each_step_once,
    what_is_no_plan_is_refused_by_name,
    a_step_goes_at_a_rate_of_devices,
    the_same_plan_by_grpc,
);

/// A server whose base is build 1, its operator, and build 2.
async fn with_a_base(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(first, 100).await.ok();
    (server, olga, second)
}

/// A device whose position is in this part of the fleet, in percent.
async fn device_in(server: &TestServer, from: f64, to: f64) -> Agent {
    let mut ids = (0..).map(|n| format!("phone-{n}"));
    let id = ids.find(|id| (from..to).contains(&Position::of(id, None).as_percent()));
    server.device(&id.unwrap()).await
}

async fn shown(who: &Operator, rollout: &Value) -> Value {
    who.get(&format!("/v1/rollouts/{rollout}")).await.ok()
}

async fn a_step_goes_at_a_rate_of_devices(engine: Engine) {
    let (server, olga, build) = with_a_base(engine).await;
    for number in 0..20 {
        server.device(&format!("till-{number}")).await.poll(1).await;
    }
    // Once each has said what it runs, all twenty are behind.
    let everybody = json!({ "build_id": build, "rollout_percent": 100 });
    let behind = || olga.post("/v1/rollouts/forecast", &everybody);
    let counted = |answer: &Answer| answer.json()["steps"][0]["new_devices"] == 20;
    eventually(behind, counted).await;
    let made = async |steps: Value| {
        let body = json!({ "build_id": build, "priority": 5, "plan": { "steps": steps } });
        olga.post("/v1/rollouts", &body).await
    };
    let rollout = made(json!([{ "percent": 100, "devices_per_hour": 7 }])).await;
    assert_eq!(rollout.status, 201, "{}", rollout.json());
    let step = rollout.json()["plan"]["steps"][0].clone();
    // 20 devices, 7 an hour: 10,286 seconds.
    assert_eq!(
        (&step["over"], &step["devices_per_hour"]),
        (&json!("2h 51m 26s"), &Value::Null),
        "{step}"
    );

    for (step, fault) in [
        (
            json!({ "percent": 100, "over": "1h", "devices_per_hour": 7 }),
            "must be left out beside over",
        ),
        (
            json!({ "percent": 100, "devices_per_hour": 0 }),
            "devices_per_hour",
        ),
    ] {
        let refused = made(json!([step])).await.refused(400, "invalid_argument");
        assert!(refused["detail"].as_str().unwrap().contains(fault), "{refused}");
    }
}

/// Waits until the rollout's state and phase are these.
async fn comes_to(who: &Operator, rollout: &Value, state: &str, phase: &str) -> Value {
    let is_it = |rollout: &Value| rollout["state"] == state && rollout["phase"] == phase;
    eventually(|| shown(who, rollout), is_it).await
}

async fn verb(who: &Operator, rollout: &Value, verb: &str) -> Answer {
    let path = format!("/v1/rollouts/{rollout}/{verb}");
    Answer::to(who.request(Method::POST, &path)).await
}

fn two_steps() -> Value {
    json!({ "steps": [
        { "percent": 10, "over": "2h", "bake": "1h" },
        { "percent": 100, "over": "10h", "bake": "1h" },
    ] })
}

async fn a_release_goes_to_everybody_by_itself(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    let early = device_in(&server, 1.0, 4.0).await;
    let late = device_in(&server, 60.0, 90.0).await;
    let promoted = olga
        .promote_as(second, &json!({ "plan": two_steps() }))
        .await
        .ok();
    assert_eq!(promoted["state"], "active");
    let rollout = &promoted["rollout_id"];
    let begun = shown(&olga, rollout).await;
    assert_eq!(
        (&begun["phase"], &begun["progress"]["step"]),
        (&json!("ramping"), &json!(1))
    );
    assert_eq!(begun["rollout_percent"], 0);
    assert_eq!(
        early.poll_as(PACKAGE, 1, "&protocol=2").await.why_not(),
        "ramping"
    );
    assert_eq!(
        early.poll(1).await.why_not(),
        "paused",
        "an older agent keeps half a file then"
    );
    assert_eq!(late.poll(1).await.why_not(), "not_in_cohort");

    server.clock().advance(TimeDelta::hours(1));
    assert_eq!(shown(&olga, rollout).await["rollout_percent"], 5);
    assert_eq!(early.poll(1).await.build(), Some(second));
    server.clock().advance(TimeDelta::hours(1));
    comes_to(&olga, rollout, "active", "baking").await;
    server.clock().advance(TimeDelta::hours(1));
    comes_to(&olga, rollout, "active", "ramping").await;
    let timeline = olga.get(&format!("/v1/rollouts/{rollout}/timeline")).await.ok();
    let coming: Vec<_> = timeline["coming"].as_array().unwrap().iter().collect();
    assert_eq!(coming.len(), 2, "{timeline}");
    assert_eq!(
        (&coming[0]["phase"], &coming[1]["phase"]),
        (&json!("baking"), &json!("done"))
    );
    server.clock().advance(TimeDelta::hours(5));
    assert_eq!(shown(&olga, rollout).await["rollout_percent"], 55);
    server.clock().advance(TimeDelta::hours(5));
    let olga = server.person("olga", Role::Operator);
    comes_to(&olga, rollout, "active", "baking").await;
    server.clock().advance(TimeDelta::hours(1));
    let done = comes_to(&olga, rollout, "completed", "").await;
    assert_eq!(
        (&done["rollout_percent"], &done["revision"]),
        (&json!(100), &json!(1))
    );
    assert_eq!(late.poll(1).await.build(), Some(second));

    let events = olga
        .get(&format!("/v1/rollouts/{rollout}/timeline?page_size=3"))
        .await
        .ok();
    let told: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["action"])
        .collect();
    assert_eq!(
        told,
        ["ota.rollout.complete", "ota.rollout.step", "ota.rollout.step"]
    );
    let token = events["next_page_token"].as_str().unwrap();
    let rest = olga
        .get(&format!(
            "/v1/rollouts/{rollout}/timeline?page_size=3&page_token={token}"
        ))
        .await
        .ok();
    let rest = rest["events"].as_array().unwrap();
    assert_eq!(
        (&rest[0]["actor"], &rest[1]["actor"]),
        (&json!("tidegate"), &json!("olga"))
    );
    let log = olga.get("/v1/audit?actor=tidegate").await.ok();
    assert_eq!(
        log["items"].as_array().unwrap().len(),
        4,
        "each step is in the audit log"
    );
}

async fn a_release_begins_at_its_time_and_replaces_nothing_before(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    let device = server.device("any").await;
    let begins: DateTime<Utc> = server.clock().read() + TimeDelta::hours(6);
    let plan = json!({ "steps": [{ "percent": 100, "not_before": begins.to_rfc3339() }] });
    let body = json!({ "build_id": second, "plan": plan });
    let made = olga.post("/v1/rollouts", &body).await;
    assert_eq!(made.status, 201);
    let rollout = made.json()["rollout_id"].clone();
    assert_eq!(made.json()["state"], "scheduled");
    assert_eq!(
        olga.post("/v1/rollouts", &body).await.json()["rollout_id"],
        rollout,
        "no second one"
    );
    assert_eq!(device.poll(1).await.why_not(), "already_current");
    server.clock().advance(TimeDelta::hours(6));
    comes_to(&olga, &rollout, "completed", "").await;
    assert_eq!(device.poll(1).await.build(), Some(second));
    olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(
        device.poll(0).await.build(),
        Some(second - 1),
        "what it replaced is back"
    );
}

async fn an_operator_holds_advances_and_changes_what_lies_ahead(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    let made = olga
        .post(
            "/v1/rollouts",
            &json!({ "build_id": second, "plan": two_steps() }),
        )
        .await
        .json();
    let rollout = &made["rollout_id"];
    server.clock().advance(TimeDelta::hours(1));
    assert_eq!(verb(&olga, rollout, "hold").await.ok()["phase"], "held");
    server.clock().advance(TimeDelta::hours(50));
    let olga = server.person("olga", Role::Operator);
    assert_eq!(
        shown(&olga, rollout).await["rollout_percent"],
        5,
        "the share stays"
    );
    let started = verb(&olga, rollout, "start").await.ok();
    assert_eq!(started["phase"], "ramping");
    let advanced = verb(&olga, rollout, "advance").await.ok();
    assert_eq!(
        (&advanced["progress"]["step"], &advanced["rollout_percent"]),
        (&json!(2), &json!(5))
    );

    let path = format!("/v1/rollouts/{rollout}");
    let patch = |body: Value| Answer::to(olga.request(Method::PATCH, &path).json(&body));
    let mut other = two_steps();
    other["steps"][1]["percent"] = json!(90);
    let revision = advanced["revision"].clone();
    patch(json!({ "revision": revision, "plan": other }))
        .await
        .refused(400, "invalid_argument");
    let mut longer = two_steps();
    longer["steps"][1] = json!({ "percent": 100, "over": "10h", "bake": "1h" });
    let kept = patch(json!({ "revision": revision, "plan": longer })).await.ok();
    assert_eq!(kept["revision"], revision, "the same plan changes nothing");
    let both = json!({ "revision": revision, "plan": two_steps(), "rollout_percent": 5 });
    patch(both).await.refused(400, "invalid_argument");
    let by_hand = patch(json!({ "revision": revision, "rollout_percent": 30 }))
        .await
        .ok();
    assert_eq!(
        (&by_hand["phase"], &by_hand["rollout_percent"]),
        (&json!("held"), &json!(30))
    );
    patch(json!({ "revision": revision, "rollout_percent": 40 }))
        .await
        .refused(409, "revision_mismatch");
}

async fn two_replicas_read_one_line(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    let other = server.replica().await;
    let device = device_in(&server, 4.0, 5.0).await;
    let made = olga
        .post(
            "/v1/rollouts",
            &json!({ "build_id": second, "plan": two_steps() }),
        )
        .await
        .json();
    let there = device.at(&other.url(""));
    let is_ramping = |answer: &Polled| answer.reason.as_deref() == Some("ramping");
    eventually(|| there.poll_as(PACKAGE, 1, "&protocol=2"), is_ramping).await;
    server.clock().advance(TimeDelta::hours(1));
    for at in [&device, &there] {
        assert_eq!(at.poll(1).await.build(), Some(second), "nobody had to be told");
    }
    server.clock().advance(TimeDelta::hours(1));
    comes_to(&olga, &made["rollout_id"], "active", "baking").await;
    let log = olga.get("/v1/audit?actor=tidegate").await.ok();
    assert_eq!(
        log["items"].as_array().unwrap().len(),
        1,
        "one of the two took the step"
    );
}

/// How often the clerk is killed; more by `TIDEGATE_KILLS`.
fn kills() -> u64 {
    let asked = std::env::var("TIDEGATE_KILLS").ok();
    asked.and_then(|kills| kills.parse().ok()).unwrap_or(4)
}

async fn a_killed_clerk_takes_each_step_once(engine: Engine) {
    let (mut server, mut olga, second) = with_a_base(engine).await;
    let mut rollouts: Vec<Value> = Vec::new();
    // The first one's folder is what all of them stand on.
    let mut killed = Vec::new();
    for kill in 0..kills() {
        // Each kill meets the clerk somewhere in a rollout's four steps, the first of which is due at once.
        let plan = json!({ "steps": [{ "percent": 1 }, { "percent": 100 }] });
        let body = json!({
            "build_id": second, "priority": 1_000 - kill, "name": format!("{kill}"), "plan": plan,
        });
        let rollout = olga.post("/v1/rollouts", &body).await.json()["rollout_id"].clone();
        tokio::time::sleep(std::time::Duration::from_millis(kill * 137 % 3_900)).await;
        server.crash();
        let next = server.replica().await;
        killed.push(std::mem::replace(&mut server, next));
        olga = server.person("olga", Role::Operator);
        comes_to(&olga, &rollout, "completed", "").await;
        verb(&olga, &rollout, "cancel").await.ok();
        rollouts.push(rollout);
    }
    for rollout in &rollouts {
        let timeline = olga.get(&format!("/v1/rollouts/{rollout}/timeline")).await.ok();
        let events = timeline["events"].as_array().unwrap().iter().rev();
        let told: Vec<_> = events
            .map(|event| {
                (
                    event["action"].clone(),
                    event["phase"].clone(),
                    event["step"].clone(),
                )
            })
            .collect();
        let expected = json!([
            ["ota.rollout.create", "ramping", 1],
            ["ota.rollout.step", "baking", 1],
            ["ota.rollout.step", "ramping", 2],
            ["ota.rollout.step", "baking", 2],
            ["ota.rollout.complete", "", 2],
            ["ota.rollout.cancel", "", 2],
        ]);
        assert_eq!(json!(told), expected, "rollout {rollout}");
    }
    let steps = 4 * rollouts.len();
    let mut counted = 0;
    let mut token = String::new();
    loop {
        let page = olga
            .get(&format!(
                "/v1/audit?actor=tidegate&page_size=500&page_token={token}"
            ))
            .await
            .ok();
        counted += page["items"].as_array().unwrap().len();
        token = page["next_page_token"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(counted, steps);
}

async fn what_is_no_plan_is_refused_by_name(engine: Engine) {
    let (_server, olga, second) = with_a_base(engine).await;
    for (plan, field) in [
        (json!({ "steps": [] }), "plan"),
        (json!({ "steps": [{ "percent": 10 }, { "percent": 10 }] }), "plan"),
        (
            json!({ "steps": [{ "percent": 10, "over": "tomorrow" }] }),
            "plan",
        ),
        (json!({ "steps": [{ "percent": 101 }] }), "plan"),
    ] {
        let refused = olga
            .post("/v1/rollouts", &json!({ "build_id": second, "plan": plan }))
            .await;
        assert_eq!(refused.status, 400, "{}", refused.json());
        assert!(
            refused.json()["detail"].as_str().unwrap().starts_with(field),
            "{}",
            refused.json()
        );
    }
    for body in [
        json!({ "build_id": second }),
        json!({ "build_id": second, "rollout_percent": 5, "plan": two_steps() }),
        json!({ "build_id": second, "plan": { "steps": [{ "percent": 5, "ovr": "1h" }] } }),
    ] {
        let refused = olga.post("/v1/rollouts", &body).await;
        assert!([400].contains(&refused.status), "{body}");
    }
    let made = olga
        .post(
            "/v1/rollouts",
            &json!({ "build_id": second, "rollout_percent": 5 }),
        )
        .await
        .json();
    let rollout = &made["rollout_id"];
    for (word, code) in [
        ("hold", "no_plan"),
        ("advance", "no_plan"),
        ("approve", "nothing_to_approve"),
        ("deny", "nothing_to_approve"),
    ] {
        verb(&olga, rollout, word).await.refused(409, code);
    }
    assert_eq!(verb(&olga, &json!(999), "start").await.status, 404);
    assert_eq!(olga.get("/v1/rollouts/999/timeline").await.status, 404);
}

async fn the_same_plan_by_grpc(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    let token = format!("Bearer {}", olga.token());
    let mut grpc =
        RolloutServiceClient::with_interceptor(server.channel().await, move |mut request: Request<()>| {
            request
                .metadata_mut()
                .insert("authorization", token.parse().unwrap());
            Ok(request)
        });
    let step = |percent, over: &str| v1::PlanStep {
        percent,
        over: over.to_owned(),
        ..v1::PlanStep::default()
    };
    let request = v1::CreateRolloutRequest {
        build_id: second,
        plan: Some(v1::Plan {
            steps: vec![step(0.5, "90m"), step(100.0, "")],
        }),
        ..v1::CreateRolloutRequest::default()
    };
    let made = grpc.create_rollout(request).await.unwrap().into_inner();
    let rollout_id = made.rollout_id;
    assert_eq!(made.plan.unwrap().steps[0].over, "1h 30m");
    let held = grpc
        .hold_rollout(v1::HoldRolloutRequest { rollout_id })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(held.phase, "held");
    grpc.start_rollout(v1::StartRolloutRequest { rollout_id })
        .await
        .unwrap();
    let next = v1::AdvanceRolloutRequest { rollout_id, step: 1 };
    let advanced = grpc.advance_rollout(next).await.unwrap().into_inner();
    assert_eq!(advanced.progress.unwrap().step, 2);
    let twice = grpc.advance_rollout(next).await.unwrap_err();
    assert!(
        twice.message().contains("is at step 2 and not 1"),
        "two who press at once begin one step: {twice}"
    );
    let request = v1::GetRolloutTimelineRequest {
        rollout_id,
        ..v1::GetRolloutTimelineRequest::default()
    };
    let timeline = grpc.get_rollout_timeline(request).await.unwrap().into_inner();
    assert!(timeline.events.len() >= 4);
}
