//! Steps of a plan that wake whom they add: one campaign a step, for those that the rollout takes and that are behind.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::{Position, Role};
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::event_log;

on_both_engines!(
    each_step_wakes_whom_it_adds,
    a_share_that_is_set_by_hand_wakes_nobody,
    a_killed_clerk_makes_one_campaign,
    without_fcm_the_step_goes_on_and_the_log_says_so,
);

/// A server that sends to a stand-in, its operator, the base build and a newer one.
struct Scene {
    fcm: StandIn,
    server: TestServer,
    olga: Operator,
    second: i64,
}

async fn scene(engine: Engine) -> Scene {
    let fcm = StandIn::start().await.unwrap();
    let server = TestServer::start_with(engine, |config| fcm::send_to(&fcm, config)).await;
    let olga = server.person("olga", Role::Operator);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(first, 100).await.ok();
    Scene {
        fcm,
        server,
        olga,
        second,
    }
}

impl Scene {
    /// A device in this part of the fleet, in percent, that runs this version and whose FCM token is its part.
    async fn device(&self, part: std::ops::Range<u8>, version: i64) -> Agent {
        let (from, to) = (f64::from(part.start), f64::from(part.end));
        let mut ids = (0..).map(|n| format!("phone-{from}-{version}-{n}"));
        let id = ids.find(|id| (from..to).contains(&Position::of(id, None).as_percent()));
        let device = self.server.device(&id.unwrap()).await;
        device.poll(version).await;
        let token = format!("at-{from}-runs-{version}");
        assert_eq!(device.set_fcm_token(&token).await.status, 200);
        device
    }

    /// Releases the newer build by this plan, once it is written down what the devices run: a campaign asks who is behind.
    async fn release(&self, plan: &Value) -> Value {
        let devices = || async { self.olga.get("/v1/devices").await.ok()["items"].clone() };
        let are_known = |devices: &Value| {
            let mut devices = devices.as_array().unwrap().iter();
            devices.all(|device| device["last_seen_at"].is_string())
        };
        eventually(devices, are_known).await;
        let wanted = json!({ "plan": plan, "keep_previous": true });
        self.olga.promote_as(self.second, &wanted).await.ok()["rollout_id"].clone()
    }

    /// The campaigns, oldest first, once there are so many and all are completed.
    async fn campaigns(&self, many: usize) -> Vec<Value> {
        campaigns(&self.olga, many).await
    }

    /// Whom the stand-in was told to wake, sorted.
    fn woken(&self) -> Vec<String> {
        let mut tokens: Vec<_> = self
            .fcm
            .messages()
            .into_iter()
            .map(|message| message.token)
            .collect();
        tokens.sort();
        tokens
    }
}

async fn campaigns(olga: &Operator, many: usize) -> Vec<Value> {
    let ask = || async {
        let list = olga.get("/v1/nudges").await.ok();
        list["items"].as_array().unwrap().iter().rev().cloned().collect()
    };
    let is_it = |list: &Vec<Value>| {
        list.len() >= many && list.iter().all(|campaign| campaign["state"] == "completed")
    };
    eventually(ask, is_it).await
}

async fn comes_to(who: &Operator, rollout: &Value, step: i64, phase: &str) {
    let ask = || async { who.get(&format!("/v1/rollouts/{rollout}")).await.ok() };
    let is_it = |rollout: &Value| rollout["phase"] == phase && rollout["progress"]["step"] == step;
    eventually(ask, is_it).await;
}

async fn each_step_wakes_whom_it_adds(engine: Engine) {
    let scene = scene(engine).await;
    let first = scene.device(0..10, 1).await;
    scene.device(20..40, 1).await;
    scene.device(20..40, 2).await;
    // The base would offer this one something. It is none of the rollout's.
    scene.device(60..100, 0).await;
    let plan = json!({ "steps": [
        { "percent": 10, "bake": "1h", "nudge": true },
        { "percent": 30, "over": "1h", "bake": "1h" },
        { "percent": 50, "over": "2h", "bake": "1h", "nudge": true },
    ] });
    let rollout = scene.release(&plan).await;
    let shown = scene.olga.get(&format!("/v1/rollouts/{rollout}")).await.ok();
    assert_eq!(shown["plan"]["steps"][0]["nudge"], true);
    comes_to(&scene.olga, &rollout, 1, "baking").await;
    let campaign = &scene.campaigns(1).await[0];
    assert_eq!(
        (&campaign["created_by"], &campaign["progress"]["total"]),
        (&json!("tidegate"), &json!(1)),
        "{campaign}"
    );
    assert_eq!(scene.woken(), ["at-0-runs-1"]);
    assert_eq!(first.poll(1).await.build(), Some(scene.second));
    first.poll(2).await;

    for (hours, step, phase) in [
        (1, 2, "ramping"),
        (1, 2, "baking"),
        (1, 3, "ramping"),
        (2, 3, "baking"),
    ] {
        scene.server.clock().advance(TimeDelta::hours(hours));
        let olga = scene.server.person("olga", Role::Operator);
        comes_to(&olga, &rollout, step, phase).await;
        let made = if phase == "baking" && step == 3 { 2 } else { 1 };
        assert_eq!(campaigns(&olga, made).await.len(), made, "step {step}, {phase}");
    }
    assert_eq!(scene.woken(), ["at-0-runs-1", "at-20-runs-1"]);
    let olga = scene.server.person("olga", Role::Operator);
    let log = olga.get("/v1/audit?actor=tidegate&action=ota.nudge").await.ok();
    assert_eq!(log["items"].as_array().unwrap().len(), 2);
    assert!(
        log["items"][0].to_string().contains("rollout_id"),
        "the log says of which rollout: {log}"
    );
}

async fn a_share_that_is_set_by_hand_wakes_nobody(engine: Engine) {
    let scene = scene(engine).await;
    scene.device(0..10, 1).await;
    let plan = json!({ "steps": [
        { "percent": 50, "over": "2h", "bake": "1h", "nudge": true },
        { "percent": 60, "bake": "1h", "nudge": true },
    ] });
    let rollout = scene.release(&plan).await;
    scene.olga.adjust(scene.second, 50).await.ok();
    let start = format!("/v1/rollouts/{rollout}/start");
    scene.olga.post(&start, &json!({})).await.ok();
    comes_to(&scene.olga, &rollout, 1, "baking").await;
    scene.server.clock().advance(TimeDelta::hours(1));
    comes_to(&scene.olga, &rollout, 2, "baking").await;
    let made = scene.campaigns(1).await;
    assert_eq!(made.len(), 1, "the second step's alone: {made:?}");
    assert_eq!(scene.woken(), ["at-0-runs-1"]);
}

async fn a_killed_clerk_makes_one_campaign(engine: Engine) {
    let mut scene = scene(engine).await;
    scene.device(0..10, 1).await;
    let plan = json!({ "steps": [{ "percent": 50, "bake": "1h", "nudge": true }] });
    for kill in 0..4_u64 {
        // Each kill meets the clerk at another moment around the campaign, which is due at once.
        let olga = scene.server.person("olga", Role::Operator);
        let body = json!({
            "build_id": scene.second, "priority": 1_000 - kill, "name": format!("{kill}"), "plan": plan,
        });
        let rollout = olga.post("/v1/rollouts", &body).await.json()["rollout_id"].clone();
        tokio::time::sleep(std::time::Duration::from_millis(kill * 337 % 1_300)).await;
        scene.server.crash();
        scene.server.start_again().await;
        let olga = scene.server.person("olga", Role::Operator);
        comes_to(&olga, &rollout, 1, "baking").await;
        olga.post(&format!("/v1/rollouts/{rollout}/cancel"), &json!({}))
            .await
            .ok();
        let made = campaigns(&olga, 1).await;
        let expected = usize::try_from(kill).unwrap() + 1;
        assert_eq!(made.len(), expected, "one a step, whenever it was killed");
    }
}

async fn without_fcm_the_step_goes_on_and_the_log_says_so(engine: Engine) {
    event_log::record();
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    // No other story's package bears this name, so that its line in the log can be told from theirs.
    let package = match engine {
        Engine::Sqlite => "com.example.unwoken.a",
        Engine::Postgres => "com.example.unwoken.b",
    };
    let build = olga.uploaded(&apks::build(package, 1)).await;
    let plan = json!({ "steps": [{ "percent": 50, "bake": "1h", "nudge": true }] });
    let rollout = olga.promote_as(build, &json!({ "plan": plan })).await.ok()["rollout_id"].clone();
    comes_to(&olga, &rollout, 1, "baking").await;
    assert_eq!(olga.get("/v1/nudges").await.ok()["items"], json!([]));
    let told = eventually(
        || async { event_log::of("ota.rollout.nobody_woken", "package_name", package) },
        |told| !told.is_empty(),
    )
    .await;
    assert_eq!((told.len(), told[0]["step"].as_str()), (1, "1"));
    assert!(told[0]["why"].contains("TIDEGATE_FCM_SERVICE_ACCOUNT"));
}
