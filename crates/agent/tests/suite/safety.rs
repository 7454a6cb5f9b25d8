//! The safety rules, and what a phone does until they allow what it wants.

use std::sync::Arc;

use serde_json::json;
use tidegate_agent::domain::{DeferReason, Network};
use tidegate_agent::signing::{CommandKey, sign_command};
use tidegate_agent::{InstallOutcome, MemoryStore, Phase};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Facts, Held, Phone, fingerprint_of, later, open, settle, until};
use crate::stage::{Stage, credentials};

fn phone_at(stage: &Arc<Stage>) -> (Arc<Phone>, Held<Arc<Stage>, MemoryStore>) {
    let phone = Phone::with(1, fingerprint_of(&apks::build(PACKAGE, 1)));
    let agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(stage),
        MemoryStore::default(),
    );
    (phone, agent)
}

/// Waits for as long as the reason lasts, tells it once, fetches nothing, and goes on when it has gone.
async fn waits(reason: DeferReason, terms: &[&str], spoil: fn(&mut Facts), heal: fn(&mut Facts)) {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    for term in terms {
        stage.script().offer.as_mut().unwrap()[*term] = json!(true);
    }
    let (phone, mut agent) = phone_at(&stage);
    spoil(&mut phone.facts());
    let mut next = settle(&mut agent).await;
    for _ in 0..30 {
        assert_eq!(next.phase, Phase::Waiting(reason));
        next = later(&mut agent).await;
    }
    assert!(stage.script().downloads.is_empty());
    assert_eq!(stage.told(), [("deferred".to_owned(), reason.to_string())]);

    heal(&mut phone.facts());
    agent.look_again().unwrap();
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert!(stage.has_been_told("install_success", ""));
}

#[tokio::test]
async fn a_low_battery_waits_for_more_or_for_a_charger() {
    let low = |facts: &mut Facts| facts.battery = 20;
    waits(DeferReason::BatteryLow, &[], low, |facts| facts.battery = 21).await;
    waits(DeferReason::BatteryLow, &[], low, |facts| facts.charging = true).await;
}

#[tokio::test]
async fn a_full_storage_waits_for_room() {
    let full = |facts: &mut Facts| facts.free = 500_000_000;
    waits(DeferReason::StorageLow, &[], full, |facts| {
        facts.free = 500_000_001;
    })
    .await;
}

#[tokio::test]
async fn a_call_is_waited_for() {
    let calling = |facts: &mut Facts| facts.in_call = true;
    waits(DeferReason::InCall, &[], calling, |facts| facts.in_call = false).await;
}

#[tokio::test]
async fn wifi_is_waited_for_where_it_is_demanded() {
    let away = |facts: &mut Facts| facts.network = Network::Mobile;
    let home = |facts: &mut Facts| facts.network = Network::Wifi;
    waits(DeferReason::WifiRequired, &["wifi_only"], away, home).await;
}

/// All is well.
fn heal(facts: &mut Facts) {
    (facts.battery, facts.free, facts.in_call) = (80, 8_000_000_000, false);
    facts.network = Network::Wifi;
}

#[tokio::test]
async fn what_must_be_installed_waits_for_each_of_them_all_the_same() {
    type Spoiling = (DeferReason, fn(&mut Facts));
    let bad: [Spoiling; 4] = [
        (DeferReason::BatteryLow, |facts| facts.battery = 3),
        (DeferReason::StorageLow, |facts| facts.free = 0),
        (DeferReason::InCall, |facts| facts.in_call = true),
        (DeferReason::WifiRequired, |facts| facts.network = Network::Mobile),
    ];
    for (reason, spoil) in bad {
        waits(reason, &["wifi_only", "must_install"], spoil, heal).await;
    }
}

#[tokio::test]
async fn what_must_be_installed_looks_again_sooner() {
    let mut waits = vec![];
    for urgent in [true, false] {
        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        stage.script().offer.as_mut().unwrap()["must_install"] = json!(urgent);
        let (phone, mut agent) = phone_at(&stage);
        phone.facts().in_call = true;
        let next = settle(&mut agent).await;
        waits.push(next.at - phone.facts().now);
    }
    assert!(waits[0] < waits[1], "{waits:?}");
}

#[tokio::test]
async fn mobile_data_is_used_where_nobody_forbids_it() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    phone.facts().network = Network::Mobile;
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
}

/// The rules are asked again before Android is: a call may have come while the file did.
#[tokio::test]
async fn what_turns_bad_before_the_installation_holds_it_up() {
    type Spoiling = (DeferReason, fn(&mut Facts));
    let bad: [Spoiling; 3] = [
        (DeferReason::InCall, |facts| facts.in_call = true),
        (DeferReason::BatteryLow, |facts| facts.battery = 20),
        (DeferReason::StorageLow, |facts| facts.free = 500_000_000),
    ];
    for (reason, spoil) in bad {
        for must_install in [false, true] {
            let stage = Stage::offering(&apks::build(PACKAGE, 2));
            stage.script().offer.as_mut().unwrap()["must_install"] = json!(must_install);
            let (phone, mut agent) = phone_at(&stage);
            until(&mut agent, Phase::Installing).await;
            spoil(&mut phone.facts());
            let next = settle(&mut agent).await;
            assert_eq!(next.phase, Phase::Waiting(reason));
            assert_eq!(phone.facts().asked, [0_i64; 0]);
            assert!(stage.has_been_told("deferred", reason.as_str()));

            heal(&mut phone.facts());
            later(&mut agent).await;
            assert_eq!(phone.facts().installations, [2]);
            assert_eq!(stage.script().downloads.len(), 1, "what was fetched is kept");
        }
    }
}

/// A command that comes when the file is trusted already asks the server once more.
#[tokio::test]
async fn an_offer_that_was_taken_back_before_the_installation_is_not_installed() {
    for phase in [Phase::Verifying, Phase::Installing] {
        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        let (phone, mut agent) = phone_at(&stage);
        until(&mut agent, phase).await;
        stage.script().offer = Err("halted");
        let key = CommandKey::from_text("test-secret").unwrap();
        let device = "phone-1".parse().unwrap();
        let command = sign_command(&key, "update", "req-1", &device, phone.facts().now).unwrap();
        agent.nudge(&command).unwrap();
        assert_eq!(settle(&mut agent).await.phase, Phase::Idle);
        assert_eq!(phone.facts().asked, [0_i64; 0], "{phase:?}");
        assert_eq!(stage.script().polls.len(), 2);
        assert_eq!(stage.script().results[0]["outcome"], "no_update");
    }
}

/// The server hears each reason once, and the outcome.
#[tokio::test]
async fn reasons_that_take_turns_are_told_once_each() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    for round in 0..100 {
        phone.facts().in_call = round % 2 == 0;
        phone.facts().battery = if round % 2 == 0 { 80 } else { 3 };
        agent.look_again().unwrap();
        later(&mut agent).await;
        if round == 49 {
            // A restart, in the middle of it.
            let (config, store) = (credentials(), agent.into_store());
            agent = open(
                &phone,
                "https://stage",
                "phone-1",
                &config,
                Arc::clone(&stage),
                store,
            );
        }
    }
    let told = |reason: DeferReason| ("deferred".to_owned(), reason.to_string());
    let both = [told(DeferReason::InCall), told(DeferReason::BatteryLow)];
    assert_eq!(stage.told(), both);

    // Another attempt is another story.
    stage.script().offer.as_mut().unwrap()["attempt"] = json!(2);
    for battery in [80, 3] {
        (phone.facts().in_call, phone.facts().battery) = (battery == 80, battery);
        phone.facts().now += chrono::TimeDelta::hours(7);
        settle(&mut agent).await;
    }
    assert_eq!(stage.told(), [both.clone(), both].concat());
    (phone.facts().in_call, phone.facts().battery) = (false, 80);
    later(&mut agent).await;
    assert!(stage.has_been_told("install_success", ""));
}

/// A night without Wi-Fi later, the offer may have been taken back.
#[tokio::test]
async fn a_wait_ends_in_a_poll_and_what_was_taken_back_is_not_installed() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    until(&mut agent, Phase::Installing).await;
    phone.facts().in_call = true;
    settle(&mut agent).await;
    stage.script().offer = Err("halted");
    phone.facts().in_call = false;
    later(&mut agent).await;
    assert_eq!(agent.phase(), Phase::Idle);
    assert_eq!(phone.facts().asked, [0_i64; 0]);
}

#[tokio::test]
async fn a_build_that_failed_for_good_is_taken_again_only_with_a_higher_attempt() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    phone
        .facts()
        .answers
        .push(InstallOutcome::failure(7, "INSTALL_FAILED_OLDER_SDK"));
    for _ in 0..12 {
        later(&mut agent).await;
    }
    assert_eq!(phone.facts().asked, [2], "it was tried once");
    let said = stage.script().reports.last().cloned().unwrap();
    assert_eq!(
        (
            &said["status"],
            &said["android_status"],
            &said["message"],
            &said["attempt"]
        ),
        (
            &json!("install_failed"),
            &json!(7),
            &json!("INSTALL_FAILED_OLDER_SDK"),
            &json!(1)
        )
    );
    // Over a restart, too.
    let store = agent.into_store();
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        store,
    );
    settle(&mut agent).await;
    assert_eq!(phone.facts().asked, [2]);

    stage.script().offer.as_mut().unwrap()["attempt"] = json!(2);
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(stage.script().reports.last().unwrap()["attempt"], 2);
}

#[tokio::test]
async fn a_failure_that_may_pass_is_retried_without_fetching_the_file_again() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    phone
        .facts()
        .answers
        .push(InstallOutcome::failure(6, "INSTALL_FAILED_INSUFFICIENT_STORAGE"));
    later(&mut agent).await;
    assert_eq!(phone.facts().asked, [2, 2]);
    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(stage.script().downloads.len(), 1);
    assert!(stage.has_been_told("install_failed", "storage"));
    assert!(stage.has_been_told("install_success", ""));
}

#[tokio::test]
async fn an_installer_that_is_content_with_nothing_is_not_believed() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    phone.facts().answers.push(InstallOutcome::success());
    settle(&mut agent).await;
    assert!(
        stage.has_been_told("install_failed", "not_there"),
        "{:?}",
        stage.told()
    );
}

#[tokio::test]
async fn a_lower_version_is_left_unless_it_is_forced() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage);
    phone.facts().installed.as_mut().unwrap().0 = 5;
    phone.facts().can_downgrade = true;
    settle(&mut agent).await;
    assert!(stage.script().downloads.is_empty() && stage.script().reports.is_empty());

    stage.script().offer.as_mut().unwrap()["force_downgrade"] = json!(true);
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
}

#[tokio::test]
async fn a_forced_downgrade_that_the_phone_cannot_do_is_refused_once() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    stage.script().offer.as_mut().unwrap()["force_downgrade"] = json!(true);
    let (phone, mut agent) = phone_at(&stage);
    phone.facts().installed.as_mut().unwrap().0 = 5;
    for _ in 0..4 {
        later(&mut agent).await;
    }
    assert_eq!(
        stage.told(),
        [("install_failed".to_owned(), "downgrade_refused".to_owned())]
    );
    assert_eq!(phone.facts().asked, [0_i64; 0]);
}
