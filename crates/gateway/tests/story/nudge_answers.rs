//! Who answered a nudge, who did not, and what the log says of it.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::nudge_service_client::NudgeServiceClient;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, eventually};

use crate::event_log;
use crate::nudges::{NUDGE, Scene, by, scene};

on_both_engines!(
    a_device_that_stays_silent_is_told_as_no_answer,
    a_campaign_that_can_wake_nobody_is_told_in_the_log_too,
);

/// The default life of a command, and the minute after it.
const ANSWERABLE: TimeDelta = TimeDelta::seconds(300 + 60);

impl Scene {
    async fn progress(&self) -> Value {
        self.olga.get("/v1/nudges/1").await.ok()["progress"].clone()
    }

    /// What the campaign tells over gRPC.
    async fn no_answer(&self) -> Option<i64> {
        let mut client = NudgeServiceClient::new(self.server.channel().await);
        let get = v1::GetCampaignRequest { campaign_id: 1 };
        let campaign = client.get_campaign(by(&self.olga, get)).await.unwrap();
        campaign.into_inner().progress.unwrap().no_answer
    }
}

async fn a_device_that_stays_silent_is_told_as_no_answer(engine: Engine) {
    let scene = scene(engine, 3).await;
    let Scene {
        push,
        server,
        olga,
        fleet,
    } = &scene;
    // Polls are recorded while their package has a rollout.
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    assert_eq!(olga.post(NUDGE, &json!({})).await.ok()["success_count"], 3);
    // One polls, one answers, and one does neither.
    fleet[0].poll(1).await;
    let result = json!({
        "request_id": push.messages()[0].data["request_id"], "action": "update", "outcome": "done",
        "finished_at": "2026-11-23T12:00:00Z",
    });
    let answer = fleet[1].request(reqwest::Method::POST, "/v1/action-result");
    Answer::to(answer.json(&result)).await.ok();
    eventually(|| scene.progress(), |progress| progress["polled"] == 1).await;
    server.clock().advance(ANSWERABLE - TimeDelta::seconds(1));
    let progress = scene.progress().await;
    assert_eq!(
        (
            &progress["sent"],
            &progress["acknowledged"],
            &progress["no_answer"]
        ),
        (&json!(3), &json!(1), &Value::Null),
        "the last one may still answer"
    );
    assert_eq!(scene.no_answer().await, None);

    server.clock().advance(TimeDelta::seconds(2));
    let progress = scene.progress().await;
    assert_eq!(
        (&progress["sent"], &progress["no_answer"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(scene.no_answer().await, Some(1));
    let listed = olga.get("/v1/nudges").await.ok();
    assert_eq!(listed["items"][0]["progress"], progress);

    // Its usual poll, hours later, is no answer to the nudge.
    fleet[2].poll(1).await;
    let progress = eventually(|| scene.progress(), |progress| progress["polled"] == 2).await;
    assert_eq!(progress["no_answer"], 1);
}

async fn a_campaign_that_can_wake_nobody_is_told_in_the_log_too(engine: Engine) {
    event_log::record();
    let scene = scene(engine, 1).await;
    scene.fleet[0].set_fcm_token("").await.ok();
    let name = format!("pat-on-{engine:?}");
    let pat = scene.server.person(&name, Role::Operator);
    let order = json!({ "priority": "normal", "idempotency_key": "nobody" });
    for _ in 0..2 {
        assert_eq!(pat.post(NUDGE, &order).await.ok()["state"], "completed");
    }
    assert_eq!(scene.push.counts().requests, 0);
    let told = event_log::of("ota.nudge.sent", "actor", &name);
    assert_eq!(told.len(), 1, "{told:?}");
    let field = |name: &str| told[0][name].as_str();
    assert_eq!(
        [
            field("total"),
            field("success_count"),
            field("failed_count"),
            field("priority")
        ],
        ["1", "0", "1", "normal"]
    );
}
