//! An operator asks what a release would do before it is made, and it then does that.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::rollout_service_client::RolloutServiceClient;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::{Code, Request};

on_both_engines!(
    a_release_does_what_was_forecast,
    asking_changes_nothing_and_a_viewer_may,
    what_cannot_be_made_cannot_be_forecast_in_the_same_words,
    the_same_forecast_by_grpc,
    the_page_is_taken_at_its_word,
);

const PAGE: &str = include_str!("../../../../docs/forecast.md");

async fn with_a_base(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(first, 100).await.ok();
    (server, olga, second)
}

/// Devices that run version 1, have polled, and are known to have.
async fn fleet(server: &TestServer, devices: usize) -> Vec<Agent> {
    let mut fleet = Vec::with_capacity(devices);
    for number in 0..devices {
        let agent = server.device(&format!("phone-{number}")).await;
        agent.poll_as(PACKAGE, 1, "&protocol=2").await;
        fleet.push(agent);
    }
    let viewer = server.operator(Role::Viewer);
    let told = || async {
        viewer
            .devices(&format!(
                "?package_name={PACKAGE}&told=already_current&page_size=500"
            ))
            .await
            .ok()
    };
    eventually(told, |listed| {
        listed["items"]
            .as_array()
            .is_some_and(|items| items.len() == devices)
    })
    .await;
    fleet
}

async fn forecast(who: &Operator, rollout: &Value) -> Value {
    who.post("/v1/rollouts/forecast", rollout).await.ok()
}

async fn a_release_does_what_was_forecast(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    let fleet = fleet(&server, 40).await;
    let draft = json!({ "build_id": second, "plan": { "steps": [
        { "percent": 30, "bake": "1h" }, { "percent": 100, "over": "10h" },
    ] } });
    let told = forecast(&olga, &draft).await;
    assert_eq!((&told["devices"], &told["sampled"]), (&json!(40), &json!(false)));
    let steps = told["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1]["offered_devices"], 40);
    assert_eq!(steps[1]["percent"], 100);
    let size = olga.build(second).await.ok()["file_size"].as_i64().unwrap();
    assert_eq!(
        steps[0]["bytes"],
        steps[0]["new_devices"].as_i64().unwrap() * size
    );
    assert_eq!(steps[0]["gate"], Value::Null);

    assert_eq!(olga.post("/v1/rollouts", &draft).await.status, 201);
    let mut offered = 0;
    for agent in &fleet {
        offered += i64::from(agent.poll_as(PACKAGE, 1, "&protocol=2").await.build() == Some(second));
    }
    assert_eq!(steps[0]["offered_devices"], offered);
    let reasons: i64 = steps[0]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["devices"].as_i64().unwrap())
        .sum();
    assert_eq!(offered + reasons, 40, "each device is counted once");
}

async fn asking_changes_nothing_and_a_viewer_may(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    fleet(&server, 3).await;
    let before = server.operator(Role::Admin).everything().await;
    let viewer = server.operator(Role::Viewer);
    let draft = json!({ "build_id": second, "rollout_percent": 100, "slice": { "start": "auto" }, "ignore_freeze": true });
    let told = forecast(&viewer, &draft).await;
    assert_eq!(told["steps"][0]["offered_devices"], 3);
    assert_eq!(told["package_name"], PACKAGE);
    assert_eq!(server.operator(Role::Admin).everything().await, before);
    let serving = json!({ "build_id": second - 1, "rollout_percent": 100 });
    assert!(forecast(&olga, &serving).await["same_rollout_id"].is_i64());
    server.clock().advance(TimeDelta::days(8));
    let later = forecast(&server.operator(Role::Viewer), &draft).await;
    assert_eq!(later["steps"][0]["unreachable_devices"], 3, "silent for a week");
}

async fn what_cannot_be_made_cannot_be_forecast_in_the_same_words(engine: Engine) {
    let (_server, olga, second) = with_a_base(engine).await;
    for wrong in [
        json!({ "build_id": 999, "rollout_percent": 10 }),
        json!({ "build_id": second }),
        json!({ "build_id": second, "rollout_percent": 10, "plan": { "steps": [{ "percent": 5 }] } }),
        json!({ "build_id": second, "rollout_percent": 10, "audience": "sdk >" }),
        json!({ "build_id": second, "rollout_percent": 10, "salt": "x".repeat(65) }),
        json!({ "build_id": second, "rollout_percent": 10, "calendars": { "download": "nights" } }),
        json!({ "build_id": second, "rollout_percent": 10, "priority": 5, "keep_previous": true }),
        json!({ "build_id": second, "rollout_percent": 10, "share": 5 }),
    ] {
        let (made, told) = (
            olga.post("/v1/rollouts", &wrong).await,
            olga.post("/v1/rollouts/forecast", &wrong).await,
        );
        assert!((400..500).contains(&made.status), "{wrong}");
        assert_eq!(told.status, made.status, "{wrong}");
        let words = |answer: &tidegate_testkit::answer::Answer| {
            let problem = answer.json();
            ["code", "detail", "field", "message"].map(|part| problem[part].clone())
        };
        assert_eq!(words(&told), words(&made), "{wrong}");
    }
}

async fn the_same_forecast_by_grpc(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    fleet(&server, 5).await;
    let mut client = RolloutServiceClient::new(server.channel().await);
    let ask = |rollout| {
        let mut request = Request::new(v1::ForecastRolloutRequest { rollout });
        let token = format!("Bearer {}", olga.token()).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    };
    let draft = v1::CreateRolloutRequest {
        build_id: second,
        rollout_percent: 100.0,
        ..v1::CreateRolloutRequest::default()
    };
    let told = client
        .forecast_rollout(ask(Some(draft)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((told.devices, told.steps[0].offered_devices), (5, 5));
    let nothing = client.forecast_rollout(ask(None)).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
}

/// The example of `docs/forecast.md` is sent as it stands there, and each field that the page names is in the answer.
async fn the_page_is_taken_at_its_word(engine: Engine) {
    let (server, olga, second) = with_a_base(engine).await;
    fleet(&server, 4).await;
    let (_, example) = PAGE.split_once("/v1/rollouts/forecast --json '").unwrap();
    let (example, _) = example.split_once('\'').unwrap();
    let mut draft: Value = serde_json::from_str(example).unwrap();
    draft["build_id"] = second.into();
    let told = forecast(&olga, &draft).await;
    assert_eq!(told["steps"][1]["offered_devices"], 4);
    // The terms of a gate reach the forecast through the rollout's own; here its fields are those of the protocol.
    let gate = serde_json::to_value(v1::ForecastGate::default()).unwrap();
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    let mut named = 0;
    for name in names {
        let known = [&told, &told["steps"][0], &gate]
            .into_iter()
            .any(|part| part.get(name).is_some());
        assert!(known, "{name} is in no answer");
        named += 1;
    }
    assert!(named > 20, "{named}");
}
