//! What FCM answers, and how the campaign goes on: each row of FCM's table of errors, against the real server with the
//! stand-in behind it.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_signing::{Command, CommandVerifier};
use tidegate_testkit::agent::Agent;
use tidegate_testkit::fcm::{self, Answer, StandIn};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::event_log;

on_both_engines!(
    every_device_gets_a_command_that_only_it_takes,
    each_refusal_ends_as_the_table_says,
    a_token_that_expires_in_mid_campaign_is_renewed_unnoticed,
    what_asks_to_come_back_later_is_sent_later,
    another_project_suspends_the_campaign_and_forgets_nobody,
    a_campaign_that_reaches_nobody_says_so,
    refused_credentials_suspend_the_campaign_until_somebody_resumes_it,
    the_circuit_breaker_suspends_a_campaign_whose_tokens_look_dead,
    a_paused_campaign_stops_and_a_canceled_one_stays_stopped,
    a_crash_repeats_at_most_what_was_under_way,
);

/// A server that sends to a stand-in, an operator and a fleet whose FCM tokens are `token-0` and so on.
struct Scene {
    fcm: StandIn,
    server: TestServer,
    olga: Operator,
    fleet: Vec<Agent>,
}

async fn scene(engine: Engine, devices: usize) -> Scene {
    event_log::record();
    let fcm = StandIn::start().await.unwrap();
    let server = TestServer::start_with(engine, |config| fcm::send_to(&fcm, config)).await;
    raise(fcm, server, devices).await
}

async fn raise(fcm: StandIn, server: TestServer, devices: usize) -> Scene {
    let fleet = crate::fleet::enroll(&server, devices, 1).await;
    let told = fleet.iter().enumerate();
    let told = told.map(|(number, device)| async move { device.set_fcm_token(&token(number)).await.status });
    for status in futures::future::join_all(told).await {
        assert_eq!(status, 200);
    }
    let olga = server.person("olga", Role::Operator);
    Scene {
        fcm,
        server,
        olga,
        fleet,
    }
}

fn token(number: usize) -> String {
    format!("token-{number}")
}

impl Scene {
    /// Nudges the fleet without waiting for it: the campaign's id.
    async fn nudge(&self) -> i64 {
        let olga = self.olga.clone();
        let asked = tokio::spawn(async move { olga.post("/v1/apk/nudge-update", &json!({})).await });
        let listed = eventually(
            || async { self.olga.get("/v1/nudges").await.ok() },
            |list| list["items"].as_array().is_some_and(|items| !items.is_empty()),
        );
        let id = listed.await["items"][0]["campaign_id"].as_i64().unwrap();
        asked.abort();
        id
    }

    /// The campaign, once it is in this state.
    async fn campaign(&self, id: i64, state: &str) -> Value {
        self.campaign_when(id, |campaign| campaign["state"] == state)
            .await
    }

    async fn campaign_when(&self, id: i64, is_it: impl Fn(&Value) -> bool) -> Value {
        let ask = || async { self.olga.get(&format!("/v1/nudges/{id}")).await.ok() };
        eventually(ask, is_it).await
    }

    /// The devices that the server knows no token of any more, by number.
    async fn forgotten(&self) -> Vec<usize> {
        let before = self.fcm.counts().requests;
        let answer = self.olga.post("/v1/apk/nudge-update", &json!({})).await.ok();
        assert!(self.fcm.counts().requests > before || answer["success_count"] == 0);
        let failed = answer["failed_devices"].as_array().unwrap();
        let without = failed.iter().filter(|device| device["reason"] == "No FCM token");
        without
            .map(|device| {
                device["device_id"].as_str().unwrap()["device-".len()..]
                    .parse()
                    .unwrap()
            })
            .collect()
    }
}

impl Scene {
    /// The log has the campaign's results once, and all its devices were sent a command.
    async fn told_once(&self, devices: u64) {
        let request_id = self.fcm.messages()[0].data["request_id"].clone();
        // Whoever wrote the last result tells of it afterwards.
        let told = || async { event_log::of("ota.nudge.sent", "request_id", &request_id) };
        let told = eventually(told, |told| !told.is_empty()).await;
        assert_eq!(told.len(), 1, "{told:?}");
        let expected = [
            ("actor", "olga".to_owned()),
            ("campaign_id", "1".to_owned()),
            ("event", "ota.nudge.sent".to_owned()),
            ("failed_count", "0".to_owned()),
            ("priority", "high".to_owned()),
            ("request_id", request_id),
            ("success_count", devices.to_string()),
            ("total", devices.to_string()),
        ];
        let expected = expected.map(|(field, value)| (field.to_owned(), value));
        assert_eq!(told[0], expected.into());
    }
}

fn failed_by(campaign: &Value) -> BTreeSet<(String, i64)> {
    let reasons = campaign["progress"]["failed_by_reason"].as_array().unwrap();
    let pair = |reason: &Value| {
        let word = reason["reason"].as_str().unwrap().to_owned();
        (word, reason["count"].as_i64().unwrap())
    };
    reasons.iter().map(pair).collect()
}

async fn every_device_gets_a_command_that_only_it_takes(engine: Engine) {
    let scene = scene(engine, 12).await;
    let answer = scene.olga.post("/v1/apk/nudge-update", &json!({})).await.ok();
    assert_eq!(answer["success"], true);
    assert_eq!(
        (&answer["total_devices"], &answer["success_count"]),
        (&json!(12), &json!(12))
    );
    assert_eq!(answer["failed_count"], 0);

    let messages = scene.fcm.messages();
    assert_eq!(messages.len(), 12);
    let requests: BTreeSet<&String> = messages
        .iter()
        .map(|message| &message.data["request_id"])
        .collect();
    assert_eq!(requests.len(), 1, "a campaign's commands bear its name");
    for message in &messages {
        assert_eq!((message.ttl, message.priority.as_str()), (300, "HIGH"));
        let number: usize = message.token["token-".len()..].parse().unwrap();
        let device = &scene.fleet[number];
        assert_eq!(message.data["device_id"], device.id);
        let command: Command = serde_json::from_value(json!(message.data)).unwrap();
        for other in &scene.fleet {
            let id = tidegate_domain::DeviceId::parse(&other.id).unwrap();
            let keys = scene.server.keys().command_keys(&id, 1);
            let now = tidegate_service::Clock::now(scene.server.clock());
            let taken = CommandVerifier::new(id, keys).verify(&command, now).is_ok();
            assert_eq!(
                taken,
                other.id == device.id,
                "{} took that of {}",
                other.id,
                device.id
            );
        }
    }
}

async fn each_refusal_ends_as_the_table_says(engine: Engine) {
    let scene = scene(engine, 9).await;
    for (number, answer) in [
        Answer::Unregistered,
        Answer::InvalidArgument,
        Answer::SenderIdMismatch,
        Answer::ThirdPartyAuth,
        Answer::Internal,
        Answer::Unavailable(None),
        Answer::Reset,
        Answer::Hang,
    ]
    .into_iter()
    .enumerate()
    {
        scene.fcm.answer_token(&token(number), [answer, Answer::Take]);
    }
    let id = scene.nudge().await;
    let open = scene.campaign_when(id, |campaign| {
        campaign["progress"]["queued"] == 4 && campaign["progress"]["sent"] == 1
    });
    let campaign = open.await;
    assert_eq!(campaign["state"], "running");
    let reasons = [
        "invalid argument",
        "sender id mismatch",
        "third-party auth error",
        "unregistered",
    ];
    let expected: BTreeSet<_> = reasons.map(|reason| (reason.to_owned(), 1)).into();
    assert_eq!(failed_by(&campaign), expected);

    // A hang is over after a second of waiting; then what failed in passing is tried again.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    scene.server.clock().advance(TimeDelta::seconds(31));
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(campaign["progress"]["sent"], 5);
    for number in 4..9 {
        assert_eq!(scene.fcm.taken_of(&token(number)), 1, "{number}");
    }
    assert_eq!(scene.forgotten().await, [0], "only UNREGISTERED forgets a token");
}

async fn a_token_that_expires_in_mid_campaign_is_renewed_unnoticed(engine: Engine) {
    let scene = scene(engine, 60).await;
    scene.fcm.set_latency(Duration::from_millis(30));
    let id = scene.nudge().await;
    eventually(|| async { scene.fcm.counts().requests }, |requests| *requests > 0).await;
    scene.fcm.expire_tokens();
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(
        (&campaign["progress"]["sent"], &campaign["progress"]["failed"]),
        (&json!(60), &json!(0))
    );
    assert!(scene.fcm.counts().sign_ins <= 2);
    assert_eq!(scene.fcm.tokens_by_messages(), [(1, 60)].into());
}

async fn what_asks_to_come_back_later_is_sent_later(engine: Engine) {
    let scene = scene(engine, 3).await;
    let later = Answer::QuotaExceeded(Some("120".to_owned()));
    scene.fcm.answer_token(&token(1), [later, Answer::Take]);
    let id = scene.nudge().await;
    scene
        .campaign_when(id, |campaign| campaign["progress"]["sent"] == 2)
        .await;
    scene.server.clock().advance(TimeDelta::seconds(119));
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(scene.fcm.counts().requests, 3, "two minutes are not over");
    // The wait has a jitter of up to ten seconds.
    scene.server.clock().advance(TimeDelta::seconds(12));
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(campaign["progress"]["sent"], 3);

    // And not forever: after an hour it is given up.
    scene
        .fcm
        .answer_token(&token(2), [Answer::Unavailable(Some("3000".to_owned()))]);
    let id = scene.nudge_again(id).await;
    scene
        .campaign_when(id, |campaign| campaign["progress"]["sent"] == 2)
        .await;
    scene.server.clock().advance(TimeDelta::seconds(3011));
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(failed_by(&campaign), [("unavailable".to_owned(), 1)].into());
    assert_eq!(scene.forgotten().await, [0; 0]);
}

impl Scene {
    /// As [`Scene::nudge`], when there was one before.
    async fn nudge_again(&self, before: i64) -> i64 {
        let olga = self.olga.clone();
        tokio::spawn(async move { olga.post("/v1/apk/nudge-update", &json!({})).await });
        let listed = eventually(
            || async { self.olga.get("/v1/nudges").await.ok() },
            |list| list["items"][0]["campaign_id"].as_i64() > Some(before),
        );
        listed.await["items"][0]["campaign_id"].as_i64().unwrap()
    }
}

async fn a_campaign_that_reaches_nobody_says_so(engine: Engine) {
    event_log::record();
    let fcm = StandIn::start().await.unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let server = TestServer::start_with(engine, |config| {
        fcm::send_to(&fcm, config);
        config.fcm.endpoint = endpoint;
        config.fcm.first_retry = Duration::from_secs(1);
        config.fcm.unreachable_after = Duration::from_secs(1);
    })
    .await;
    let scene = raise(fcm, server, 3).await;
    let clock = scene.server.shared_clock();
    let passing = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            clock.advance(TimeDelta::seconds(1));
        }
    });
    let id = scene.nudge().await;
    let campaign = scene.campaign(id, "paused").await;
    passing.abort();
    let why = campaign["held"].as_str().unwrap();
    assert!(
        why.contains("not been reached") && why.contains("fcm_endpoint"),
        "{why}"
    );
    assert_eq!(
        (&campaign["progress"]["queued"], &campaign["progress"]["failed"]),
        (&json!(3), &json!(0))
    );
    let told = event_log::of("ota.nudge.unreachable", "campaign_id", &id.to_string());
    assert!(!told.is_empty());
}

async fn another_project_suspends_the_campaign_and_forgets_nobody(engine: Engine) {
    let fcm = StandIn::start().await.unwrap();
    let account = fcm.service_account_of("somebody-elses");
    let server = TestServer::start_with(engine, |config| fcm::send_as(&account, &fcm, config)).await;
    let mut scene = raise(fcm, server, 30).await;
    let id = scene.nudge().await;
    let campaign = scene.campaign(id, "paused").await;
    let why = campaign["held"].as_str().unwrap();
    assert!(
        why.contains("somebody-elses") && why.contains("project_id"),
        "{why}"
    );
    assert_eq!(
        (&campaign["progress"]["queued"], &campaign["progress"]["failed"]),
        (&json!(30), &json!(0))
    );

    // The operator mends the file; nobody has to enrol again.
    let path = scene.server.config().fcm.service_account.clone().unwrap();
    std::fs::write(path, scene.fcm.service_account()).unwrap();
    scene.server.stop().await;
    scene.server.start_again().await;
    scene.olga = scene.server.person("olga", Role::Operator);
    scene
        .olga
        .post_text(&format!("/v1/nudges/{id}/resume"), "")
        .await
        .ok();
    scene.server.clock().advance(TimeDelta::seconds(61));
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(campaign["progress"]["sent"], 30);
    assert_eq!(campaign["held"], Value::Null);
}

async fn refused_credentials_suspend_the_campaign_until_somebody_resumes_it(engine: Engine) {
    let scene = scene(engine, 5).await;
    scene.fcm.refuse_sign_in(Some((400, "invalid_grant")));
    let id = scene.nudge().await;
    let campaign = scene.campaign(id, "paused").await;
    assert!(
        campaign["held"].as_str().unwrap().contains("invalid_grant"),
        "{campaign}"
    );
    assert_eq!(scene.fcm.counts().requests, 0);
    let audit = scene.server.operator(Role::Viewer).audit("").await;
    assert!(
        audit.iter().any(|entry| entry["action"] == "ota.nudge.hold"),
        "{audit:?}"
    );

    scene.fcm.refuse_sign_in(None);
    scene.server.clock().advance(TimeDelta::seconds(61));
    scene
        .olga
        .post_text(&format!("/v1/nudges/{id}/resume"), "")
        .await
        .ok();
    assert_eq!(scene.campaign(id, "completed").await["progress"]["sent"], 5);
}

async fn the_circuit_breaker_suspends_a_campaign_whose_tokens_look_dead(engine: Engine) {
    let scene = scene(engine, 20).await;
    for number in 0..20 {
        let answer = match number {
            0..12 => Answer::Unregistered,
            _ => Answer::QuotaExceeded(Some("20".to_owned())),
        };
        let answers = if number < 12 {
            vec![answer]
        } else {
            vec![answer, Answer::Take]
        };
        scene.fcm.answer_token(&token(number), answers);
    }
    let id = scene.nudge().await;
    let campaign = scene.campaign(id, "paused").await;
    let why = campaign["held"].as_str().unwrap();
    assert!(why.contains("of 20 tokens look dead"), "{why}");

    // Resumed all the same, the rest is sent, and no further token forgotten.
    scene.server.clock().advance(TimeDelta::seconds(120));
    scene
        .olga
        .post_text(&format!("/v1/nudges/{id}/resume"), "")
        .await
        .ok();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let campaign = scene.campaign_when(id, |campaign| {
        campaign["state"] == "completed" || campaign["progress"]["sent"] == 8
    });
    let campaign = campaign.await;
    assert_eq!(campaign["progress"]["failed"], 12, "{campaign}");
    assert_eq!(scene.forgotten().await.len(), 10, "not one beyond the limit");
}

async fn a_paused_campaign_stops_and_a_canceled_one_stays_stopped(engine: Engine) {
    let fcm = StandIn::start().await.unwrap();
    let slow = |config: &mut tidegate_gateway::Config| {
        fcm::send_to(&fcm, config);
        config.fcm.max_per_second = 10;
    };
    let server = TestServer::start_with(engine, slow).await;
    let scene = raise(fcm, server, 60).await;
    let id = scene.nudge().await;
    eventually(|| async { scene.fcm.counts().taken }, |taken| *taken > 2).await;
    scene
        .olga
        .post_text(&format!("/v1/nudges/{id}/pause"), "")
        .await
        .ok();
    // What was under way is still recorded.
    let books = || async {
        (
            scene.fcm.counts().taken,
            scene.olga.get(&format!("/v1/nudges/{id}")).await.ok(),
        )
    };
    let mut before = books().await;
    loop {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let now = books().await;
        if now == before {
            break;
        }
        before = now;
    }
    let (taken, campaign) = before;
    assert!(taken < 60, "the pause came too late to show anything");
    assert_eq!(campaign["progress"]["sent"], taken);
    assert_eq!(campaign["progress"]["queued"], 60 - taken);
    scene
        .olga
        .post_text(&format!("/v1/nudges/{id}/cancel"), "")
        .await
        .ok();
    let campaign = scene.campaign(id, "canceled").await;
    assert_eq!(campaign["progress"]["canceled"], 60 - taken);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(scene.fcm.counts().taken, taken);
}

async fn a_crash_repeats_at_most_what_was_under_way(engine: Engine) {
    const DEVICES: usize = 150;
    let mut scene = scene(engine, DEVICES).await;
    scene.fcm.set_latency(Duration::from_millis(20));
    let id = scene.nudge().await;
    for _ in 0..3 {
        // What the crashed ones claimed may be all that is left, and is due only when the clock moves.
        let taken = scene.fcm.counts().taken;
        let more = async {
            while scene.fcm.counts().taken < taken + 10 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), more).await;
        scene.server.crash();
        scene.server.start_again().await;
    }
    scene.olga = scene.server.person("olga", Role::Operator);
    // What the crashed ones claimed is due when their leases end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.server.clock().advance(TimeDelta::seconds(61));
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(campaign["progress"]["sent"], DEVICES);
    let tally = scene.fcm.tokens_by_messages();
    assert_eq!(tally.values().sum::<u64>(), DEVICES as u64, "each at least once");
    assert!(
        tally.keys().all(|times| *times <= 2),
        "none more than twice: {tally:?}"
    );
    scene.told_once(DEVICES as u64).await;
}

#[tokio::test]
async fn two_replicas_share_a_campaign() {
    let scene = scene(Engine::Postgres, 200).await;
    let replica = scene.server.replica().await;
    scene.fcm.set_latency(Duration::from_millis(20));
    let id = scene.nudge().await;
    let campaign = scene.campaign(id, "completed").await;
    assert_eq!(campaign["progress"]["sent"], 200);
    assert_eq!(scene.fcm.tokens_by_messages(), [(1, 200)].into());
    scene.told_once(200).await;
    drop(replica);
}
