//! The operator's side of a nudge: what is asked for, what is answered, and who may.

use chrono::TimeDelta;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::nudge_service_client::NudgeServiceClient;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::fcm::{self, Answer, StandIn};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::{Code, Request};

on_both_engines!(
    a_small_nudge_is_answered_with_each_failure,
    a_large_nudge_is_answered_with_its_address,
    the_same_key_nudges_once,
    a_nudge_that_makes_no_sense_is_refused_and_changes_nothing,
    a_campaign_is_watched_until_it_ends,
    a_watcher_is_told_why_it_ends,
    a_campaign_that_cannot_go_on_is_paused_resumed_and_canceled,
    a_device_answers_for_itself_once,
);

pub(crate) struct Scene {
    pub(crate) push: StandIn,
    pub(crate) server: TestServer,
    pub(crate) olga: Operator,
    pub(crate) fleet: Vec<Agent>,
}

/// A fleet whose FCM tokens are `at-device-0000` and so on.
pub(crate) async fn scene(engine: Engine, devices: usize) -> Scene {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(engine, |config| fcm::send_to(&push, config)).await;
    let fleet = crate::fleet::enroll(&server, devices, 1).await;
    let told = stream::iter(&fleet).map(|device| async {
        let token = format!("at-{}", device.id);
        device.set_fcm_token(&token).await.ok()
    });
    told.buffered(32).collect::<Vec<_>>().await;
    let olga = server.person("olga", Role::Operator);
    Scene {
        push,
        server,
        olga,
        fleet,
    }
}

pub(crate) const NUDGE: &str = "/v1/apk/nudge-update";

async fn a_small_nudge_is_answered_with_each_failure(engine: Engine) {
    let scene = scene(engine, 4).await;
    let Scene {
        push,
        server,
        olga,
        fleet,
        ..
    } = &scene;
    fleet[1].set_fcm_token("").await.ok();
    server.operator(Role::Admin).revoke("device-0002").await.ok();
    push.answer_token("at-device-0003", [Answer::Unregistered]);
    let mut meant: Vec<&str> = fleet.iter().map(|device| device.id.as_str()).collect();
    meant.push("nobody");
    let answer = olga.post(NUDGE, &json!({ "device_ids": meant })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("location"), "/v1/nudges/1");
    let mut answer = answer.json();
    let failed = answer["failed_devices"].as_array_mut().unwrap();
    // In the order in which they enrolled, which was all at once.
    failed.sort_by_key(|failed| failed["device_id"].as_str().unwrap().to_owned());
    assert_eq!(
        answer,
        json!({
            "success": true, "total_devices": 5, "success_count": 1, "failed_count": 4,
            "failed_devices": [
                { "device_id": "device-0001", "alias": null, "reason": "No FCM token" },
                { "device_id": "device-0002", "alias": null, "reason": "revoked" },
                { "device_id": "device-0003", "alias": null, "reason": "unregistered" },
                { "device_id": "nobody", "alias": null, "reason": "unknown device" },
            ],
            "campaign_id": 1, "state": "completed",
        })
    );
    let vera = server.person("vera", Role::Viewer);
    let campaign = vera.get("/v1/nudges/1").await.ok();
    assert_eq!(
        (&campaign["named"], &campaign["priority"], &campaign["created_by"]),
        (&json!(true), &json!("high"), &json!("olga"))
    );
    assert_eq!(
        campaign["progress"]["failed_by_reason"].as_array().unwrap().len(),
        4
    );
    let first = vera.get("/v1/nudges/1/failures?page_size=3").await.ok();
    let token = first["next_page_token"].as_str().unwrap();
    let rest = format!("/v1/nudges/1/failures?page_size=3&page_token={token}");
    let rest = vera.get(&rest).await.ok();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(vera.device("device-0003").await.ok()["has_fcm_token"], false);
    let entry = &olga.audit("?action=ota.nudge").await[0];
    assert_eq!(entry["target"], "campaign/1");
    assert_eq!(
        (&entry["after"]["total_devices"], &entry["after"]["named_devices"]),
        (&json!(5), &json!(5))
    );
}

async fn a_large_nudge_is_answered_with_its_address(engine: Engine) {
    let scene = scene(engine, 201).await;
    let Scene {
        push, server, olga, ..
    } = &scene;
    let answer = olga
        .post(NUDGE, &json!({ "priority": "normal", "ttl_s": 60 }))
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["total_devices"], 201);
    let place = answer.header("location").to_owned();
    // On a busy machine an answer may come too late, and that device's turn comes again when the clock has moved.
    let over = || async {
        server.clock().advance(TimeDelta::milliseconds(100));
        olga.get(&place).await.ok()
    };
    let campaign = eventually(over, |campaign| campaign["state"] == "completed").await;
    assert_eq!(campaign["progress"]["sent"], 201);
    assert!(campaign["ended_at"].is_string() && campaign["started_at"].is_string());
    let message = push.messages().pop().unwrap();
    assert_eq!((message.priority.as_str(), message.ttl), ("NORMAL", 60));
}

async fn the_same_key_nudges_once(engine: Engine) {
    let scene = scene(engine, 2).await;
    let Scene {
        push, server, olga, ..
    } = &scene;
    let order = json!({ "idempotency_key": "release-7" });
    let first = olga.post(NUDGE, &order).await.ok();
    assert_eq!(olga.post(NUDGE, &order).await.ok(), first);
    let woken: Vec<String> = push.messages().into_iter().map(|message| message.token).collect();
    assert_eq!(push.counts().taken, 2, "each device was woken once: {woken:?}");
    let other = json!({ "idempotency_key": "release-7", "device_ids": ["device-0001"] });
    olga.post(NUDGE, &other)
        .await
        .refused(409, "idempotency_key_reused");
    let pete = server.person("pete", Role::Operator);
    let another = pete.post(NUDGE, &order).await.ok();
    assert_ne!(
        another["campaign_id"], first["campaign_id"],
        "a key is its owner's own"
    );
    assert_eq!(push.counts().taken, 4);
}

async fn a_nudge_that_makes_no_sense_is_refused_and_changes_nothing(engine: Engine) {
    let scene = scene(engine, 1).await;
    let Scene { push, olga, .. } = &scene;
    let before = olga.everything().await;
    let many: Vec<String> = (0..10_001).map(|n| format!("d{n}")).collect();
    for (body, field) in [
        (json!({ "device_ids": [] }), "device_ids"),
        (json!({ "device_ids": ["a", "b|c"] }), "device_ids[1]"),
        (json!({ "device_ids": ["x".repeat(129)] }), "device_ids[0]"),
        (json!({ "device_ids": ["line\nbreak"] }), "device_ids[0]"),
        (json!({ "device_ids": "device-0000" }), "device_ids"),
        (json!({ "device_ids": many }), "device_ids"),
        (json!({ "devices": ["device-0000"] }), "devices"),
        (json!({ "audience": "everybody" }), "audience"),
        (json!({ "priority": "urgent" }), "priority"),
        (json!({ "ttl_s": 0 }), "ttl_s"),
        (json!({ "ttl_s": -1 }), "ttl_s"),
        (json!({ "ttl_s": 301 }), "ttl_s"),
        (json!({ "package_name": "no package" }), "package_name"),
        (json!({ "idempotency_key": "k".repeat(129) }), "idempotency_key"),
    ] {
        let answer = olga.post(NUDGE, &body).await;
        answer.refused(400, "invalid_argument");
        assert_eq!(answer.json()["field"], field);
    }
    let behind = json!({ "audience": "behind" });
    olga.post(NUDGE, &behind).await.refused(409, "no_current_build");
    let missing = json!({ "package_name": "com.example.none" });
    olga.post(NUDGE, &missing).await.refused(404, "not_found");
    let huge = format!("{{\"package_name\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    olga.post_text(NUDGE, &huge).await.refused(413, "too_large");
    for place in ["/v1/nudges/x", "/v1/nudges/x/failures"] {
        olga.get(place).await.refused(404, "not_found");
    }
    assert_eq!(olga.everything().await, before);
    assert_eq!(olga.get("/v1/nudges").await.ok()["items"], json!([]));
    assert_eq!(push.counts().requests, 0);
}

/// A message with somebody's token.
pub(crate) fn by<T>(who: &Operator, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", who.token()).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

async fn a_campaign_is_watched_until_it_ends(engine: Engine) {
    let scene = scene(engine, 4).await;
    let Scene {
        push, server, olga, ..
    } = &scene;
    let mut client = NudgeServiceClient::new(server.channel().await);
    let watch = |campaign_id| v1::WatchCampaignRequest { campaign_id };
    let unknown = client.watch_campaign(by(olga, watch(1))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    push.answer_token("at-device-0002", [Answer::Hang]);
    push.answer_token("at-device-0003", [Answer::Unregistered]);
    let started = {
        let (mut client, olga) = (client.clone(), olga.clone());
        tokio::spawn(async move {
            let slip = v1::NudgeUpdateRequest::default();
            let refused = client.nudge_update(by(&olga, slip)).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
            let order = v1::NudgeUpdateRequest {
                audience: "all".to_owned(),
                ..v1::NudgeUpdateRequest::default()
            };
            client.nudge_update(by(&olga, order)).await
        })
    };
    let listed = || async { olga.get("/v1/nudges").await.ok()["items"].clone() };
    let is_so_far = |items: &Value| {
        let progress = &items[0]["progress"];
        progress["sent"] == 2 && progress["failed"] == 1
    };
    eventually(listed, is_so_far).await;
    let vera = server.person("vera", Role::Viewer);
    let mut changes = client
        .watch_campaign(by(&vera, watch(1)))
        .await
        .unwrap()
        .into_inner();
    let first = changes.next().await.unwrap().unwrap();
    assert_eq!(
        (first.state.as_str(), first.progress.as_ref().unwrap().queued),
        ("running", 1)
    );
    let get = v1::GetCampaignRequest { campaign_id: 1 };
    let got = client.get_campaign(by(&vera, get)).await.unwrap().into_inner();
    assert_eq!(got, first);
    let all = client.list_campaigns(by(&vera, v1::ListCampaignsRequest::default()));
    assert_eq!(all.await.unwrap().into_inner().items, [got]);
    let failures = v1::ListCampaignFailuresRequest {
        campaign_id: 1,
        ..v1::ListCampaignFailuresRequest::default()
    };
    let failures = client.list_campaign_failures(by(&vera, failures)).await;
    let failures = failures.unwrap().into_inner().items;
    let failed: Vec<_> = failures
        .iter()
        .map(|failed| (failed.device_id.as_str(), failed.reason.as_str()))
        .collect();
    assert_eq!(failed, [("device-0003", "unregistered")]);
    let cancel = v1::CancelCampaignRequest { campaign_id: 1 };
    let refused = client.cancel_campaign(by(&vera, cancel)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    client.cancel_campaign(by(olga, cancel)).await.unwrap();
    let mut last = None;
    while let Some(change) = changes.next().await {
        last = Some(change.unwrap());
    }
    assert_eq!(last.unwrap().state, "canceled", "and then the stream ends");
    let answer = started.await.unwrap().unwrap().into_inner();
    assert_eq!((answer.state.as_str(), answer.success_count), ("canceled", 2));
}

async fn a_watcher_is_told_why_it_ends(engine: Engine) {
    let mut scene = scene(engine, 1).await;
    scene.push.answer_all(Some(Answer::Unavailable(None)));
    assert_eq!(scene.olga.post(NUDGE, &json!({})).await.status, 202);
    let vera = scene.server.person("vera", Role::Viewer);
    let mut client = NudgeServiceClient::new(scene.server.channel().await);
    let pause = v1::PauseCampaignRequest { campaign_id: 1 };
    let resume = v1::ResumeCampaignRequest { campaign_id: 1 };
    let refused = client.pause_campaign(by(&vera, pause)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    client.pause_campaign(by(&scene.olga, pause)).await.unwrap();
    let refused = client.resume_campaign(by(&vera, resume)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let resumed = client.resume_campaign(by(&scene.olga, resume)).await.unwrap();
    assert_eq!(resumed.into_inner().state, "running");
    let paused = client.pause_campaign(by(&scene.olga, pause)).await.unwrap();
    assert_eq!(paused.into_inner().state, "paused");
    let watch = |channel| {
        let request = by(&vera, v1::WatchCampaignRequest { campaign_id: 1 });
        async move { NudgeServiceClient::new(channel).watch_campaign(request).await }
    };
    let mut expires = watch(scene.server.channel().await).await.unwrap().into_inner();
    assert_eq!(expires.next().await.unwrap().unwrap().state, "paused");
    scene.server.clock().advance(TimeDelta::hours(13));
    let ended = expires.next().await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    scene.server.clock().advance(-TimeDelta::hours(13));

    let mut stops = watch(scene.server.channel().await).await.unwrap().into_inner();
    assert_eq!(stops.next().await.unwrap().unwrap().state, "paused");
    let ended = tokio::spawn(async move { stops.next().await.unwrap().unwrap_err() });
    scene.server.stop().await;
    let ended = ended.await.unwrap();
    assert_eq!(
        (ended.code(), ended.message().contains("stops")),
        (Code::Unavailable, true)
    );
}

async fn a_campaign_that_cannot_go_on_is_paused_resumed_and_canceled(engine: Engine) {
    let scene = scene(engine, 201).await;
    let Scene {
        push, server, olga, ..
    } = &scene;
    push.answer_all(Some(Answer::Unavailable(None)));
    assert_eq!(olga.post(NUDGE, &json!({})).await.status, 202);
    let verb = |verb: &str| {
        let place = format!("/v1/nudges/1/{verb}");
        let olga = olga.clone();
        async move { olga.post_text(&place, "").await }
    };
    assert_eq!(verb("pause").await.ok()["state"], "paused");
    assert_eq!(verb("pause").await.ok()["state"], "paused");
    assert_eq!(verb("resume").await.ok()["state"], "running");
    let replica = server.replica().await;
    let elsewhere = olga.get("/v1/nudges/1").await.ok();
    let there = replica
        .person("vera", Role::Viewer)
        .get("/v1/nudges/1")
        .await
        .ok();
    assert_eq!(there["state"], elsewhere["state"]);
    let canceled = verb("cancel").await.ok();
    assert_eq!(canceled["state"], "canceled");
    assert_eq!(verb("cancel").await.ok()["state"], "canceled");
    verb("resume").await.refused(409, "wrong_state");
    verb("pause").await.refused(409, "wrong_state");
    let told: Vec<Value> = olga.audit("?target=campaign/1").await;
    let told: Vec<_> = told
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "ota.nudge",
            "ota.nudge.pause",
            "ota.nudge.resume",
            "ota.nudge.cancel"
        ]
    );
}

async fn a_device_answers_for_itself_once(engine: Engine) {
    let scene = scene(engine, 2).await;
    let Scene {
        push, olga, fleet, ..
    } = &scene;
    olga.post(NUDGE, &json!({ "device_ids": ["device-0000"] }))
        .await
        .ok();
    let request_id = push.messages()[0].data["request_id"].clone();
    let result = json!({
        "request_id": request_id, "action": "update", "outcome": "done", "message": "took version 2",
        "finished_at": "2026-11-23T12:00:00Z",
    });
    let tell = |device: &Agent| {
        let request = device.request(reqwest::Method::POST, "/v1/action-result");
        tidegate_testkit::answer::Answer::to(request.json(&result))
    };
    // All devices of a campaign know its request id, but only those that were sent the command can answer it.
    tell(&fleet[1]).await.refused(404, "unknown_command");
    for _ in 0..2 {
        let told = tell(&fleet[0]).await.ok();
        assert_eq!(told, json!({ "success": true, "request_id": request_id }));
    }
    let campaign = olga.get("/v1/nudges/1").await.ok();
    assert_eq!(campaign["progress"]["acknowledged"], 1);
}
