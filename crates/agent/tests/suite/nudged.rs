//! A nudge's whole way: the operator releases and nudges, the phone is woken, checks the command, polls and
//! installs, and the campaign shows each of it.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_agent::domain::Role;
use tidegate_agent::{Enrollment, FolderStore, HttpTransport, enroll};
use tidegate_signing::Command;
use tidegate_testkit::apks;
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::phone::{Phone, fingerprint_of, open, settle};

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_brings_a_release_to_the_phone_on_sqlite() {
    the_whole_way(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_brings_a_release_to_the_phone_on_postgres() {
    the_whole_way(Engine::Postgres).await;
}

async fn the_whole_way(engine: Engine) {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(engine, |config| fcm::send_to(&push, config)).await;
    let olga = server.operator(Role::Admin);
    let token = olga.enroll_token(1).await;
    let transport = || HttpTransport::direct().unwrap();
    let device = "phone-1".parse().unwrap();
    let about = Enrollment {
        sdk: Some(34),
        ..Enrollment::default()
    };
    let credentials = enroll(&transport(), &server.url(""), &token, &device, &about)
        .await
        .unwrap();
    let phone = Phone::with(1, fingerprint_of(&apks::build(apks::PACKAGE, 1)));
    let old = olga.uploaded(&apks::build(apks::PACKAGE, 1)).await;
    olga.promote(old, 100).await.ok();
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let mut agent = open(
        &phone,
        &server.url(""),
        "phone-1",
        &credentials,
        transport(),
        store,
    );
    agent.set_fcm_token("where-phone-1-is").unwrap();
    settle(&mut agent).await;
    // Who is behind is judged by what the last poll said, which is written within a second.
    let known = || async { olga.device("phone-1").await.ok() };
    eventually(known, |device: &Value| {
        device["has_fcm_token"] == true && device["installed"][0]["version_code"] == 1
    })
    .await;

    let new = olga.uploaded(&apks::build(apks::PACKAGE, 2)).await;
    olga.promote(new, 100).await.ok();
    let nudged = olga
        .post("/v1/apk/nudge-update", &json!({ "audience": "behind" }))
        .await;
    assert_eq!(nudged.status, 200);
    let nudged = nudged.json();
    assert_eq!(
        nudged,
        json!({
            "success": true, "total_devices": 1, "success_count": 1, "failed_count": 0, "failed_devices": [],
            "campaign_id": 1, "state": "completed",
        })
    );

    let message = push.messages().pop().unwrap();
    assert_eq!((message.token.as_str(), message.ttl), ("where-phone-1-is", 300));
    let command: Command = serde_json::from_value(json!(message.data)).unwrap();
    let mut forged = command.clone();
    forged.action = "wipe".into();
    assert!(agent.nudge(&forged).is_err());
    settle(&mut agent).await;
    assert_eq!(phone.version(), Some(1), "it sleeps on until the real one comes");
    agent.nudge(&command).unwrap();
    settle(&mut agent).await;
    assert_eq!(phone.version(), Some(2));
    assert!(agent.nudge(&command).is_err(), "a command is taken once");

    let campaign = || async { olga.get("/v1/nudges/1").await.ok()["progress"].clone() };
    let progress = eventually(campaign, |progress| {
        ["sent", "acknowledged", "polled", "installed"]
            .iter()
            .all(|seen| progress[seen] == 1)
    })
    .await;
    assert_eq!((&progress["failed"], &progress["queued"]), (&json!(0), &json!(0)));
    assert_eq!(Arc::strong_count(&phone), 2, "one phone, one agent");
}
