//! Servers of protocol 1 and 2: what the agent tells each of them.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_agent::{
    Agent, Config, Credentials, Enrollment, InstallOutcome, MemoryStore, Phase, StateStore, enroll,
};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Held, Phone, config, fingerprint_of, later, open, settle};
use crate::stage::{Reply, Stage, Trick, credentials};

/// What a server of protocol 1 answered, one exchange a line. Host, tokens, keys and signatures are left out.
const SERVER_OF_PROTOCOL_1: &str = include_str!("../data/server-of-protocol-1.jsonl");

/// The recorded answer to an exchange.
fn recorded(name: &str) -> Reply {
    let answer = SERVER_OF_PROTOCOL_1
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|exchange| exchange["name"] == name)
        .unwrap()["answer"]
        .clone();
    let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
    let mut reply = Reply::status(status);
    for header in [
        "content-type",
        "tidegate-reason",
        "tidegate-poll-after",
        "www-authenticate",
    ] {
        if let Some(value) = answer["headers"][header].as_str() {
            reply = reply.with(header, value);
        }
    }
    if !answer["body"].is_null() {
        reply.body = answer["body"].to_string().into_bytes();
    }
    reply
}

/// The recorded offer, for this file.
fn recorded_offer(apk: &[u8]) -> Value {
    let mut offer: Value = serde_json::from_slice(&recorded("offer").body).unwrap();
    let of_file = crate::stage::manifest(apk, 2);
    for field in ["sha256", "signer_fingerprint", "file_size"] {
        offer[field] = of_file[field].clone();
    }
    offer
}

/// A stage that answers as the recorded server did.
fn server_of_protocol_1(apk: &[u8]) -> Arc<Stage> {
    let stage = Stage::offering(apk);
    stage.script().offer = Ok(recorded_offer(apk));
    stage.script().refuses_offers = Some(recorded("report with an unknown field"));
    stage
}

/// A stage of protocol 2.
fn server_of_protocol_2(apk: &[u8]) -> Arc<Stage> {
    let stage = Stage::offering(apk);
    let mut offer = stage.script().offer.clone().unwrap();
    offer["protocol"] = json!(2);
    offer["rollout_id"] = json!(5);
    offer["offer"] = json!("an-opaque-offer");
    stage.script().offer = Ok(offer);
    stage
}

fn phone_of(stage: &Arc<Stage>, credentials: &Credentials) -> (Arc<Phone>, Held<Arc<Stage>, MemoryStore>) {
    let phone = Phone::with(1, fingerprint_of(&apks::build(PACKAGE, 1)));
    let store = MemoryStore::default();
    let agent = open(
        &phone,
        "https://stage",
        "phone-1",
        credentials,
        Arc::clone(stage),
        store,
    );
    (phone, agent)
}

async fn enrolled(stage: &Arc<Stage>) -> Credentials {
    let device = "phone-1".parse().unwrap();
    enroll(
        stage,
        "https://stage",
        "an-enrolment-token",
        &device,
        &Enrollment::default(),
    )
    .await
    .unwrap()
}

/// A whole update at the recorded server: no request of the agent is one that it refuses.
#[tokio::test]
async fn a_server_of_protocol_1_gets_no_field_that_it_refuses() {
    let apk = apks::build(PACKAGE, 2);
    let stage = server_of_protocol_1(&apk);
    stage.script().enrolment_answers.push_back(recorded("enrolment"));
    stage.script().poll_answers.push_back(recorded("paused"));
    let credentials = enrolled(&stage).await;
    assert_eq!(credentials.server_protocol, Some(1));
    let (phone, mut agent) = phone_of(&stage, &credentials);
    phone
        .facts()
        .answers
        .push(InstallOutcome::failure(6, "INSTALL_FAILED_INSUFFICIENT_STORAGE"));
    settle(&mut agent).await;
    assert_eq!(stage.script().polls.len(), 1);
    later(&mut agent).await;
    later(&mut agent).await;
    stage.script().poll_answers.push_back(recorded("already current"));
    later(&mut agent).await;

    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(agent.unacknowledged(), 0);
    let script = stage.script();
    assert_eq!(script.reports.len(), 3, "{:?}", script.reports);
    let known = [
        "build_id",
        "status",
        "reason",
        "android_status",
        "message",
        "attempt",
        "request_id",
    ];
    for report in &script.reports {
        for field in report.as_object().unwrap().keys() {
            assert!(known.contains(&field.as_str()), "{field}");
        }
    }
    let known = serde_json::from_slice::<Value>(&recorded("enrolment with an unknown field").body).unwrap();
    let known = known["detail"].as_str().unwrap().to_owned();
    for field in script.enrolments[0].as_object().unwrap().keys() {
        assert!(known.contains(&format!("`{field}`")), "{field}");
    }
}

#[tokio::test]
async fn a_token_that_a_server_of_protocol_1_refuses_locks_the_agent_out() {
    let stage = server_of_protocol_1(&apks::build(PACKAGE, 2));
    stage.script().poll_answers.push_back(recorded("unknown token"));
    let (_, mut agent) = phone_of(&stage, &credentials());
    settle(&mut agent).await;
    assert!(agent.is_locked_out());
}

#[tokio::test]
async fn each_report_echoes_rollout_and_offer_of_its_manifest() {
    let stage = server_of_protocol_2(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_of(&stage, &credentials());
    phone
        .facts()
        .answers
        .push(InstallOutcome::failure(6, "INSTALL_FAILED_INSUFFICIENT_STORAGE"));
    settle(&mut agent).await;
    // The next poll makes another offer of the same file.
    let mut offer = stage.script().offer.clone().unwrap();
    offer["rollout_id"] = json!(6);
    offer["offer"] = json!("another-offer");
    stage.script().offer = Ok(offer);
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    let script = stage.script();
    let told: Vec<_> = script
        .reports
        .iter()
        .map(|report| {
            (
                report["status"].as_str().unwrap(),
                &report["rollout_id"],
                &report["offer"],
            )
        })
        .collect();
    let (first, second) = (json!("an-opaque-offer"), json!("another-offer"));
    assert_eq!(
        told,
        [
            ("downloaded", &json!(5), &first),
            ("install_failed", &json!(5), &first),
            ("install_success", &json!(6), &second),
        ]
    );
}

/// A server that was set back to the older program: its first refusal is the last one, and no report is lost.
#[tokio::test]
async fn a_report_of_protocol_2_is_told_to_a_server_that_was_set_back() {
    let stage = server_of_protocol_2(&apks::build(PACKAGE, 2));
    stage.script().refuses_offers = Some(recorded("report with an unknown field"));
    let (_, mut agent) = phone_of(&stage, &credentials());
    settle(&mut agent).await;
    assert_eq!(agent.unacknowledged(), 0);
    let script = stage.script();
    let refused = script
        .reports
        .iter()
        .filter(|report| report.get("offer").is_some());
    assert_eq!(refused.count(), 1);
    let taken: Vec<_> = script
        .reports
        .iter()
        .filter(|report| report.get("offer").is_none())
        .collect();
    let statuses: Vec<_> = taken
        .iter()
        .map(|report| report["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["downloaded", "install_success"]);
    assert_eq!(taken[0]["request_id"], script.reports[0]["request_id"]);
}

/// Reports that wait in the outbox when a manifest of protocol 1 comes go out without the newer fields.
#[tokio::test]
async fn the_protocol_that_the_server_named_last_counts() {
    let apk = apks::build(PACKAGE, 2);
    let stage = server_of_protocol_2(&apk);
    stage.script().report_answers.push_back(Reply::status(500));
    let (phone, mut agent) = phone_of(&stage, &credentials());
    phone.facts().in_call = true;
    settle(&mut agent).await;
    assert_eq!(agent.unacknowledged(), 1);
    assert_eq!(stage.script().reports[0]["offer"], "an-opaque-offer");
    stage.script().offer = Ok(recorded_offer(&apk));
    phone.facts().in_call = false;
    agent.look_again().unwrap();
    settle(&mut agent).await;
    later(&mut agent).await;
    assert_eq!(agent.unacknowledged(), 0);
    let script = stage.script();
    assert!(script.reports.len() >= 4, "{:?}", script.reports);
    assert_eq!(script.reports[1]["status"], "deferred");
    assert!(
        script.reports[1..]
            .iter()
            .all(|report| report.get("offer").is_none())
    );
}

/// The enrolment is the latest that the server said, also when the state is an older one.
#[tokio::test]
async fn an_enrolment_names_the_servers_protocol() {
    let apk = apks::build(PACKAGE, 2);
    let stage = server_of_protocol_2(&apk);
    stage
        .script()
        .report_answers
        .extend([Reply::status(500), Reply::status(500)]);
    let (phone, mut agent) = phone_of(&stage, &credentials());
    settle(&mut agent).await;
    let store = agent.into_store();

    for (protocol, echoed) in [(None, false), (Some(2), true), (Some(1), false)] {
        let mut answer: Value = serde_json::from_slice(&recorded("enrolment").body).unwrap();
        if let Some(protocol) = protocol {
            answer["protocol"] = json!(protocol);
        }
        stage
            .script()
            .enrolment_answers
            .push_back(Reply::json(201, &answer));
        let credentials = enrolled(&stage).await;
        assert_eq!(credentials.server_protocol, Some(protocol.unwrap_or(1)));
        stage.script().reports.clear();
        let mut agent = open(
            &phone,
            "https://stage",
            "phone-1",
            &credentials,
            Arc::clone(&stage),
            store.clone(),
        );
        stage.script().offer = Err("paused");
        later(&mut agent).await;
        let script = stage.script();
        assert!(!script.reports.is_empty());
        for report in &script.reports {
            assert_eq!(report.get("offer").is_some(), echoed, "{protocol:?}: {report}");
        }
    }
}

#[tokio::test]
async fn a_poll_tells_what_the_embedder_and_the_device_know() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    stage.script().offer = Err("not_in_cohort");
    let (phone, mut agent) = phone_of(&stage, &credentials());
    settle(&mut agent).await;
    let bare = "/v1/agent/update?device_id=phone-1&package_name=com.example.app&current_version_code=1&sdk=34&protocol=2\
                &model=Buoy+4&region=eu-north&abi=arm64-v8a";
    assert_eq!(stage.script().polls, [bare]);

    let config = Config {
        manufacturer: Some("Example".to_owned()),
        android: Some("14".to_owned()),
        zone: Some("Europe/Berlin".to_owned()),
        dense: true,
        tags: vec!["lab".to_owned(), "till".to_owned()],
        ..config("https://stage", "phone-1")
    };
    let open = |store| {
        Agent::open(
            config.clone(),
            credentials(),
            Arc::clone(&phone),
            Arc::clone(&stage),
            store,
        )
        .unwrap()
    };
    settle(&mut open(MemoryStore::default())).await;
    phone.facts().zone = Some("Asia/Tokyo".to_owned());
    phone.facts().crashes = Some(3);
    settle(&mut open(MemoryStore::default())).await;
    let polls = stage.script().polls.clone();
    for (poll, words) in [
        (&polls[1], "&zone=Europe%2FBerlin&dense=1&tags=lab%2Ctill"),
        (&polls[2], "&zone=Asia%2FTokyo&crashes=3&dense=1&tags=lab%2Ctill"),
    ] {
        assert!(poll.contains("&manufacturer=Example&android=14&"), "{poll}");
        assert!(poll.ends_with(words), "{poll}");
    }
}

/// Also reasons that a later server may have. A partial file is kept unless the reason is known to last.
#[tokio::test]
async fn any_reason_for_no_update_is_taken_without_complaint() {
    for (reason, keeps) in [
        ("paused", true),
        ("halted", true),
        ("newer_installed", false),
        ("held_by_policy", true),
        ("warming_up", true),
        ("scheduled", true),
        ("above_ceiling", false),
        ("not_in_cohort", false),
        ("needs_intermediate", false),
        ("a_reason_of_tomorrow", true),
    ] {
        let apk = apks::large(PACKAGE, 2, 300_000);
        let stage = server_of_protocol_2(&apk);
        stage.script().tricks.push_back(Trick::Cut(100_000));
        let (phone, mut agent) = phone_of(&stage, &credentials());
        settle(&mut agent).await;
        stage.script().offer = Err(reason);
        let mut store = agent.into_store();
        assert_eq!(store.file_len().unwrap(), 100_000);
        let mut agent = open(
            &phone,
            "https://stage",
            "phone-1",
            &credentials(),
            Arc::clone(&stage),
            store,
        );
        agent.set_credentials(credentials()).unwrap();
        later(&mut agent).await;
        let next = settle(&mut agent).await;
        assert_eq!(next.phase, Phase::Idle, "{reason}");
        // The server's interval, and no fault's.
        assert_eq!((next.at - phone.facts().now).num_seconds(), 21_600, "{reason}");
        assert!(stage.script().reports.is_empty(), "{reason}");
        assert_eq!(
            agent.into_store().file_len().unwrap(),
            if keeps { 100_000 } else { 0 },
            "{reason}"
        );
    }
}

/// A restored server gives build ids out again.
#[tokio::test]
async fn a_file_is_given_up_whatever_build_it_is_and_not_the_build_whatever_its_file() {
    let bad = apks::build(PACKAGE, 2);
    let stage = server_of_protocol_2(&bad);
    let (phone, mut agent) = phone_of(&stage, &credentials());
    phone
        .facts()
        .answers
        .push(InstallOutcome::failure(7, "INSTALL_FAILED_OLDER_SDK"));
    settle(&mut agent).await;
    assert_eq!(phone.facts().asked, [2]);

    // The same file as another build.
    let mut offer = stage.script().offer.clone().unwrap();
    offer["build_id"] = json!(70);
    stage.script().offer = Ok(offer);
    later(&mut agent).await;
    assert_eq!(phone.facts().asked, [2]);

    // Another file as the same build.
    let good = apks::large(PACKAGE, 2, 10_000);
    {
        let mut script = stage.script();
        script.offer = Ok(crate::stage::manifest(&good, 2));
        script.file = good;
    }
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
}

/// As for the server, an enrolment begins anew.
#[tokio::test]
async fn a_device_that_enrols_again_gives_files_another_try() {
    let stage = server_of_protocol_2(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_of(&stage, &credentials());
    phone
        .facts()
        .answers
        .push(InstallOutcome::failure(7, "INSTALL_FAILED_OLDER_SDK"));
    settle(&mut agent).await;
    later(&mut agent).await;
    assert_eq!(phone.facts().asked, [2]);
    agent.set_credentials(credentials()).unwrap();
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
}
