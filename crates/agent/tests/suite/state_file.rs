//! State files of the agent before protocol 2: an agent that is updated in the field goes on with them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tidegate_agent::domain::DeferReason;
use tidegate_agent::signing::{CommandKey, sign_command};
use tidegate_agent::{MemoryStore, Phase, StateStore, UPDATE};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Phone, fingerprint_of, later, open, settle};
use crate::stage::{Stage, credentials};

/// It waits for the end of a call and for a `Retry-After`, with three messages to send. Build 7 was given up, build 8
/// failed once, and one command is not answered yet.
const WAITING: &str = include_str!("../data/state-waiting.txt");

/// The connection broke after 100,000 bytes.
const DOWNLOADING: &str = include_str!("../data/state-downloading.txt");

/// What the agent wrote: its JSON after the line with the hash.
fn json_of(state: &str) -> Value {
    serde_json::from_str(state.split_once('\n').unwrap().1).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_old_state_file_keeps_its_messages_commands_and_waits() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    stage.script().offer = Err("not_in_cohort");
    let phone = Phone::with(1, fingerprint_of(&apk));
    phone.facts().now = at("2026-11-23T18:00:00Z");
    phone.facts().in_call = true;
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        MemoryStore::with_state(WAITING.trim_end().as_bytes().to_vec()),
    );
    assert_eq!(agent.phase(), Phase::Waiting(DeferReason::InCall));
    assert_eq!(agent.taking().map(|(build, _)| build.0), Some(8));
    assert_eq!(agent.unacknowledged(), 3);
    // The server asked for 1,200 seconds; so the agent is silent until they are over.
    let next = settle(&mut agent).await;
    assert!(next.at >= at("2026-11-23T18:20:00Z"), "{next:?}");
    let taken = sign_command(
        &CommandKey::from_text("test-secret").unwrap(),
        UPDATE,
        "req-1",
        &"phone-1".parse().unwrap(),
        at("2026-11-23T18:00:00Z"),
    )
    .unwrap();
    assert!(agent.nudge(&taken).is_err(), "it was accepted before");

    later(&mut agent).await;
    later(&mut agent).await;
    assert_eq!(agent.unacknowledged(), 0);
    let script = stage.script();
    let old = json_of(WAITING);
    assert_eq!(script.reports, [old["outbox"]["letters"][0]["report"].clone()]);
    let answers: Vec<_> = script
        .results
        .iter()
        .map(|result| {
            (
                result["request_id"].as_str().unwrap(),
                result["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(answers, [("req-1", "deferred"), ("req-2", "no_update")]);
    assert_eq!(script.tokens, ["where-phone-1-is"]);
}

#[tokio::test]
async fn an_old_state_file_goes_on_with_its_download() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    let stage = Stage::offering(&apk);
    let phone = Phone::with(1, fingerprint_of(&apk));
    let old = json_of(DOWNLOADING);
    let synced = usize::try_from(old["partial"]["synced"].as_u64().unwrap()).unwrap();
    let mut offer = old["state"]["job"].clone();
    offer["file_size"] = json!(apk.len());
    stage.script().offer = Ok(offer);
    let mut store = MemoryStore::with_state(DOWNLOADING.trim_end().as_bytes().to_vec());
    store.append(&apk[..synced]).unwrap();
    store.sync().unwrap();
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        store,
    );
    assert_eq!(agent.phase(), Phase::Downloading);
    later(&mut agent).await;
    assert_eq!(stage.script().downloads[0].1, Some(format!("bytes={synced}-")));
    assert!(agent.into_store().aside().is_none());
}

/// It named them by build ids, which a restored server gives to other files. The server remembers them as well.
#[tokio::test]
async fn the_rejections_of_an_old_state_file_are_forgotten() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    assert_eq!(json_of(WAITING)["rejections"][0]["build"], 7);
    assert_eq!(stage.script().offer.as_ref().unwrap()["build_id"], 7);
    let phone = Phone::with(1, fingerprint_of(&apk));
    phone.facts().now = at("2026-11-23T18:00:00Z") + TimeDelta::hours(1);
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        MemoryStore::with_state(WAITING.trim_end().as_bytes().to_vec()),
    );
    assert!(agent.unacknowledged() > 0, "the state was read");
    for _ in 0..3 {
        later(&mut agent).await;
    }
    assert_eq!(phone.facts().installations, [2]);
}
