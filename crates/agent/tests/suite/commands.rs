//! Commands from the push service: obeyed at once, once, and only when they are ours.

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use tidegate_agent::signing::{Command, CommandError, CommandKey, sign_command};
use tidegate_agent::{Body, Error, MemoryStore, Phase, Signal, Transport};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::eventually;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::phone::{Held, Phone, fingerprint_of, later, open, settle, until};
use crate::stage::{Stage, credentials};

/// A phone that has just polled and was offered nothing.
async fn resting_phone() -> (Arc<Stage>, Arc<Phone>, Held<Arc<Stage>, MemoryStore>) {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    let offer = std::mem::replace(&mut stage.script().offer, Err("not_in_cohort"));
    let phone = Phone::with(1, fingerprint_of(&apk));
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        MemoryStore::default(),
    );
    settle(&mut agent).await;
    stage.script().offer = offer;
    (stage, phone, agent)
}

fn command(phone: &Phone, key: &str, action: &str, device: &str, id: &str) -> Command {
    let key = CommandKey::from_text(key).unwrap();
    sign_command(&key, action, id, &device.parse().unwrap(), phone.facts().now).unwrap()
}

#[tokio::test]
async fn a_command_makes_the_phone_poll_at_once_and_is_answered() {
    for key in ["test-secret", "an-older-secret"] {
        let (stage, phone, mut agent) = resting_phone().await;
        let nudge = command(&phone, key, "update", "phone-1", "req-1");
        agent.nudge(&nudge).unwrap();
        settle(&mut agent).await;
        assert_eq!(phone.facts().installations, [2]);
        let results = stage.script().results.clone();
        assert_eq!(results.len(), 1, "{results:?}");
        for (field, value) in [
            ("request_id", "req-1"),
            ("device_id", "phone-1"),
            ("action", "update"),
            ("outcome", "installed"),
        ] {
            assert_eq!(results[0][field], value);
        }
        assert!(results[0]["finished_at"].as_str().unwrap().ends_with('Z'));
    }
}

#[tokio::test]
async fn forged_foreign_and_stale_commands_change_nothing() {
    let (stage, phone, mut agent) = resting_phone().await;
    let ours = command(&phone, "test-secret", "update", "phone-1", "req-1");
    let forged = command(&phone, "another-secret", "update", "phone-1", "req-1");
    let altered = Command {
        request_id: "req-2".to_owned(),
        ..ours.clone()
    };
    let foreign = command(&phone, "test-secret", "update", "phone-2", "req-1");
    for (what, refusal) in [
        (&forged, CommandError::Forged),
        (&altered, CommandError::Forged),
        (&foreign, CommandError::Foreign),
    ] {
        assert!(
            matches!(agent.nudge(what), Err(Error::Command(why)) if why == refusal),
            "{refusal}"
        );
    }
    let now = phone.facts().now;
    for off in [TimeDelta::seconds(301), TimeDelta::seconds(-301)] {
        phone.facts().now = now + off;
        assert!(matches!(
            agent.nudge(&ours),
            Err(Error::Command(CommandError::Stale))
        ));
    }
    phone.facts().now = now;
    assert_eq!(settle(&mut agent).await.phase, Phase::Idle);
    assert_eq!(stage.script().polls.len(), 1, "nobody was asked");
    // And the true one is still good.
    agent.nudge(&ours).unwrap();
}

#[tokio::test]
async fn a_command_is_taken_once_also_over_a_restart() {
    let (stage, phone, mut agent) = resting_phone().await;
    let nudge = command(&phone, "test-secret", "update", "phone-1", "req-1");
    agent.nudge(&nudge).unwrap();
    let replayed = |refused| matches!(refused, Err(Error::Command(CommandError::Replayed)));
    assert!(replayed(agent.nudge(&nudge)));
    let store = agent.into_store();
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        store,
    );
    assert!(replayed(agent.nudge(&nudge)));
    settle(&mut agent).await;
    assert!(replayed(agent.nudge(&nudge)));
    assert_eq!(
        stage.script().results.len(),
        1,
        "taken before the restart, answered after it"
    );
}

#[tokio::test]
async fn a_command_that_comes_in_the_middle_of_an_update_is_answered_when_it_is_through() {
    let (stage, phone, mut agent) = resting_phone().await;
    phone.facts().now += TimeDelta::hours(6);
    until(&mut agent, Phase::Verifying).await;
    let nudge = command(&phone, "test-secret", "update", "phone-1", "req-1");
    agent.nudge(&nudge).unwrap();
    settle(&mut agent).await;
    assert_eq!(phone.facts().asked, [2]);
    assert_eq!(stage.script().results.len(), 1);
    assert_eq!(stage.script().results[0]["outcome"], "installed");
}

#[tokio::test]
async fn a_command_is_answered_with_what_came_of_it() {
    let (stage, phone, mut agent) = resting_phone().await;
    phone.facts().in_call = true;
    agent
        .nudge(&command(&phone, "test-secret", "update", "phone-1", "req-1"))
        .unwrap();
    settle(&mut agent).await;
    stage.script().offer = Err("paused");
    agent
        .nudge(&command(&phone, "test-secret", "update", "phone-1", "req-2"))
        .unwrap();
    settle(&mut agent).await;
    let unknown = agent.nudge(&command(&phone, "test-secret", "dance", "phone-1", "req-3"));
    assert!(matches!(unknown, Err(Error::UnknownAction(action)) if action == "dance"));
    settle(&mut agent).await;
    let results = stage.script().results.clone();
    let outcomes: Vec<_> = results
        .iter()
        .map(|result| result["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["deferred", "no_update", "unsupported"]);
}

#[tokio::test]
async fn a_server_that_does_not_ask_for_results_is_not_pestered() {
    let (stage, phone, mut agent) = resting_phone().await;
    stage.script().takes_results = false;
    agent
        .nudge(&command(&phone, "test-secret", "update", "phone-1", "req-1"))
        .unwrap();
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(agent.unacknowledged(), 0);
}

#[tokio::test]
async fn the_push_token_is_told_until_the_server_has_it_and_only_the_last_one() {
    let (stage, _, mut agent) = resting_phone().await;
    agent.set_fcm_token("first").unwrap();
    agent.set_fcm_token("second").unwrap();
    later(&mut agent).await;
    assert_eq!(stage.script().tokens, ["second"]);
}

/// A stage whose file comes when the test says so.
#[derive(Debug)]
struct Slow {
    stage: Arc<Stage>,
    asked: Notify,
    comes: Notify,
}

impl Transport for Slow {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        if request.uri().path() == "/file" {
            self.asked.notify_one();
            self.comes.notified().await;
        }
        self.stage.send(request).await
    }
}

/// The agent hears it only when the file is here, and the command is old by then. It was not when it came.
#[tokio::test]
async fn a_command_that_comes_during_a_long_download_is_not_stale() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    let slow = Arc::new(Slow {
        stage: Arc::clone(&stage),
        asked: Notify::new(),
        comes: Notify::new(),
    });
    let phone = Phone::with(1, fingerprint_of(&apk));
    let transport = Arc::clone(&slow);
    let store = MemoryStore::default();
    let agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        transport,
        store,
    );
    let (signals, heard) = mpsc::channel(4);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(agent.run(heard, async {
        let _ = stopped.await;
    }));

    slow.asked.notified().await;
    for (id, age) in [("req-1", 10), ("req-2", 301)] {
        let command = command(&phone, "test-secret", "update", "phone-1", id);
        let arrived = phone.facts().now + TimeDelta::seconds(age);
        if id == "req-1" {
            // One that came twice is still taken once.
            let command = command.clone();
            signals.send(Signal::Command { command, arrived }).await.unwrap();
        }
        signals.send(Signal::Command { command, arrived }).await.unwrap();
    }
    phone.facts().now += TimeDelta::minutes(40);
    slow.comes.notify_one();
    let answered = || async { stage.script().results.len() };
    eventually(answered, |answers| *answers > 0).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    let results = stage.script().results.clone();
    assert_eq!(results.len(), 1, "{results:?}");
    assert_eq!(
        (&results[0]["request_id"], &results[0]["outcome"]),
        (&"req-1".into(), &"installed".into())
    );
    assert_eq!(stage.script().polls.len(), 2, "the server was asked again");
}

/// What an embedder logs tells what it was, and no more.
#[test]
fn a_signal_does_not_print_what_it_carries() {
    let token = Signal::FcmToken("where-to-reach-it".to_owned());
    assert_eq!(format!("{token:?}"), "FcmToken");
}
