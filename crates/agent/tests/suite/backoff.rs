//! Broken connections, refusals, and servers that ask for a wait.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;
use tidegate_agent::{HttpTransport, MemoryStore, Phase};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Held, Phone, fingerprint_of, later, open, settle, until};
use crate::stage::{Reply, Stage, Trick, credentials};

async fn phone_at(stage: &Arc<Stage>) -> (Arc<Phone>, Held<HttpTransport, MemoryStore>) {
    let base = stage.listen().await;
    let phone = Phone::with(1, fingerprint_of(&apks::build(PACKAGE, 1)));
    let transport = HttpTransport::direct().unwrap();
    let agent = open(
        &phone,
        &base,
        "phone-1",
        &credentials(),
        transport,
        MemoryStore::default(),
    );
    (phone, agent)
}

#[tokio::test]
async fn a_download_that_is_cut_anywhere_goes_on_from_there() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    for cut in [0, 1, 4_096, apk.len() / 2, apk.len() - 1] {
        let stage = Stage::offering(&apk);
        stage.script().tricks.push_back(Trick::Cut(cut));
        let (phone, mut agent) = phone_at(&stage).await;
        later(&mut agent).await;
        assert_eq!(phone.facts().installations, [2], "{cut}");
        let script = stage.script();
        let ranges: Vec<_> = script.downloads.iter().map(|(_, range)| range.clone()).collect();
        assert_eq!(ranges.len(), 2, "{cut}");
        assert_eq!(ranges[0], None);
        // What the kernel still held of the connection may be lost with it; nothing is invented.
        let from = ranges[1].as_deref().map_or(0, |range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse::<usize>()
                .unwrap()
        });
        assert!(from <= cut && (cut < 4_096 || from > 0), "{cut}: {from}");
        assert_eq!(script.polls.len(), 1, "a cut needs no new URL");
    }
}

#[tokio::test]
async fn an_expired_url_is_replaced_by_a_poll_and_the_download_goes_on() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    for status in [401, 403, 404, 410] {
        let stage = Stage::offering(&apk);
        let expired = json!({ "code": "url_expired", "detail": "the URL has expired" });
        stage
            .script()
            .tricks
            .extend([Trick::Cut(100_000), Trick::Answer(Reply::json(status, &expired))]);
        let (phone, mut agent) = phone_at(&stage).await;
        later(&mut agent).await;
        assert_eq!(phone.facts().installations, [2], "{status}");
        let script = stage.script();
        assert_eq!(script.polls.len(), 2, "{status}");
        assert_ne!(script.downloads[1].0, script.downloads[2].0, "the new URL");
        assert_eq!(script.downloads[1].1, script.downloads[2].1, "with what is there");
        assert!(script.downloads[2].1.is_some());
    }
}

#[tokio::test]
async fn a_server_whose_urls_are_never_good_is_asked_ever_less_often() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let refusal = Trick::Answer(Reply::status(403));
    stage.script().tricks.extend(std::iter::repeat_n(refusal, 40));
    let (phone, mut agent) = phone_at(&stage).await;
    let begin = phone.facts().now;
    for _ in 0..12 {
        later(&mut agent).await;
    }
    assert!(phone.facts().now - begin > TimeDelta::hours(3));
    assert!(stage.script().downloads.len() < 30);
}

#[tokio::test]
async fn a_part_of_another_file_is_not_mixed_in() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    let stage = Stage::offering(&apk);
    let size = apk.len();
    let other = Reply {
        body: vec![0; size - 5],
        ..Reply::status(206).with("content-range", format!("bytes 5-{}/{size}", size - 1))
    };
    let changed = Reply {
        body: vec![0; size],
        ..Reply::status(200).with("etag", "\"0000\"")
    };
    stage
        .script()
        .tricks
        .extend([Trick::Cut(100_000), Trick::Answer(other), Trick::Answer(changed)]);
    let (phone, mut agent) = phone_at(&stage).await;
    for _ in 0..3 {
        later(&mut agent).await;
    }
    assert_eq!(phone.facts().installations, [2]);
    assert!(!stage.told().iter().any(|(status, _)| status == "verify_failed"));
}

#[tokio::test]
async fn a_server_that_sends_all_again_is_taken_at_its_word() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    let stage = Stage::offering(&apk);
    let whole = Reply {
        body: apk.clone(),
        ..Reply::status(200)
    };
    stage
        .script()
        .tricks
        .extend([Trick::Cut(100_000), Trick::Answer(whole)]);
    let (phone, mut agent) = phone_at(&stage).await;
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
}

#[tokio::test]
async fn a_server_that_asks_for_time_is_given_it() {
    for status in [429, 503] {
        let busy = Reply::status(status).with("retry-after", "1200");
        let asked = TimeDelta::seconds(1200);
        let within = asked..=asked * 11 / 10;

        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        stage.script().poll_answers.push_back(busy.clone());
        let (phone, mut agent) = phone_at(&stage).await;
        let next = settle(&mut agent).await;
        assert!(within.contains(&(next.at - phone.facts().now)), "poll, {status}");
        // A restart is no excuse.
        let store = agent.into_store();
        let base = stage.script().base().to_owned();
        let transport = HttpTransport::direct().unwrap();
        let mut agent = open(&phone, &base, "phone-1", &credentials(), transport, store);
        assert!(settle(&mut agent).await.at - phone.facts().now >= asked);
        assert_eq!(stage.script().polls.len(), 1);

        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        stage.script().tricks.push_back(Trick::Answer(busy.clone()));
        let (phone, mut agent) = phone_at(&stage).await;
        let next = settle(&mut agent).await;
        assert!(
            within.contains(&(next.at - phone.facts().now)),
            "download, {status}"
        );

        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        stage.script().report_answers.push_back(busy);
        let (phone, mut agent) = phone_at(&stage).await;
        let next = settle(&mut agent).await;
        assert!(
            within.contains(&(next.at - phone.facts().now)),
            "report, {status}"
        );
    }
}

/// A server that has enough downloads is no fault, however often it says so: the first real fault is the first.
#[tokio::test]
async fn a_server_that_asks_for_time_is_no_fault() {
    let busy = Reply::status(503).with("retry-after", "60");
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let tricks = std::iter::repeat_n(Trick::Answer(busy.clone()), 12);
    stage.script().tricks.extend(tricks.chain([Trick::Cut(0)]));
    let (phone, mut agent) = phone_at(&stage).await;
    let mut waits = vec![];
    for _ in 0..13 {
        let next = settle(&mut agent).await;
        waits.push((next.at - phone.facts().now).num_milliseconds());
        phone.facts().now = next.at;
    }
    let (first_fault, asked) = waits.split_last().unwrap();
    assert!(
        asked.iter().all(|wait| (60_000..=66_000).contains(wait)),
        "{waits:?}"
    );
    let different: std::collections::BTreeSet<_> = asked.iter().collect();
    assert!(different.len() > 6, "each wait has a draw of its own: {waits:?}");
    assert!((15_000..=45_000).contains(first_fault), "{waits:?}");
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(stage.script().polls.len(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_tried_ever_less_often_and_at_least_every_hour_and_a_half() {
    let phone = Phone::with(1, fingerprint_of(&apks::build(PACKAGE, 1)));
    // A port on which nobody listens: it was ours and is closed.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let transport = HttpTransport::direct().unwrap();
    let mut agent = open(
        &phone,
        &base,
        "phone-1",
        &credentials(),
        transport,
        MemoryStore::default(),
    );
    let mut waits = vec![];
    for _ in 0..12 {
        let next = settle(&mut agent).await;
        waits.push((next.at - phone.facts().now).num_seconds());
        phone.facts().now = next.at;
    }
    assert!((15..=45).contains(&waits[0]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 5_400), "{waits:?}");
    assert!(waits[8..].iter().all(|wait| *wait >= 1_800), "{waits:?}");
}

#[tokio::test]
async fn an_outcome_is_told_until_it_is_acknowledged_over_restarts_and_by_the_same_id() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    for status in [500, 502, 401, 404, 408] {
        // A 404 that isn't the server's own word, as from a proxy.
        stage.script().report_answers.push_back(Reply::status(status));
    }
    let (phone, agent) = phone_at(&stage).await;
    let base = stage.script().base().to_owned();
    let mut store = agent.into_store();
    for _ in 0..10 {
        let transport = HttpTransport::direct().unwrap();
        let mut agent = open(&phone, &base, "phone-1", &credentials(), transport, store);
        later(&mut agent).await;
        store = agent.into_store();
    }
    let script = stage.script();
    let ids = |status: &str| -> Vec<_> {
        let of = script.reports.iter().filter(|report| report["status"] == status);
        of.map(|report| report["request_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let downloaded = ids("downloaded");
    assert_eq!(downloaded.len(), 6, "{:?}", script.reports);
    assert!(downloaded.iter().all(|id| *id == downloaded[0]));
    assert_eq!(ids("install_success").len(), 1);
}

/// One report that the server won't have does not hold up the others.
#[tokio::test]
async fn a_report_that_the_server_refuses_for_good_is_let_go_of() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let refusal = Reply::json(
        400,
        &json!({ "code": "invalid_argument", "detail": "no such thing" }),
    );
    stage.script().report_answers.push_back(refusal);
    let (_, mut agent) = phone_at(&stage).await;
    settle(&mut agent).await;
    assert_eq!(agent.unacknowledged(), 0);
    assert!(stage.has_been_told("install_success", ""));
}

/// The code is final whatever the status: a retry would not help, and a wait would delay the other messages.
#[tokio::test]
async fn a_report_of_which_the_server_has_heard_enough_is_let_go_of() {
    for status in [409, 429] {
        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        let enough =
            json!({ "code": "too_many_reports", "detail": "the device has reported build 7 too often" });
        let enough = Reply::json(status, &enough).with("retry-after", "30");
        stage.script().report_answers.push_back(enough);
        let (phone, mut agent) = phone_at(&stage).await;
        let begin = phone.facts().now;
        settle(&mut agent).await;
        assert_eq!(agent.unacknowledged(), 0, "{status}");
        assert_eq!(phone.facts().now, begin);
        assert_eq!(stage.script().reports.len(), 2, "each was sent once");
        assert!(stage.has_been_told("install_success", ""));
    }
}

/// A 429 with another code may pass: the outcome is kept however often it is answered.
#[tokio::test]
async fn an_outcome_outlives_any_number_of_refusals_that_pass() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let slower = Reply::json(429, &json!({ "code": "slow_down", "detail": "later" }));
    stage
        .script()
        .report_answers
        .extend(std::iter::repeat_n(slower, 60));
    let (_, mut agent) = phone_at(&stage).await;
    for _ in 0..100 {
        later(&mut agent).await;
    }
    assert_eq!(agent.unacknowledged(), 0);
    let told = |status: &str| (status.to_owned(), String::new());
    assert_eq!(stage.told(), [told("downloaded"), told("install_success")]);
}

/// Also when what it waits for has gone meanwhile.
#[tokio::test]
async fn a_phone_that_waits_leaves_a_server_alone_that_asked_for_it() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let busy = Reply::status(503).with("retry-after", "3600");
    stage.script().report_answers.push_back(busy);
    let (phone, mut agent) = phone_at(&stage).await;
    phone.facts().in_call = true;
    let begin = phone.facts().now;
    let next = settle(&mut agent).await;
    assert!(matches!(next.phase, Phase::Waiting(_)), "{next:?}");
    assert!(next.at - begin >= TimeDelta::seconds(3600), "{next:?}");
    phone.facts().in_call = false;
    agent.look_again().unwrap();
    assert_eq!(settle(&mut agent).await.at, next.at);
    assert_eq!(stage.script().polls.len(), 1);
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
}

#[tokio::test]
async fn a_phone_whose_token_is_revoked_says_so_and_goes_on_with_a_new_one() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    stage.script().poll_answers.push_back(Reply::status(401));
    let (phone, mut agent) = phone_at(&stage).await;
    let next = settle(&mut agent).await;
    assert!(agent.is_locked_out());
    assert!(next.at - phone.facts().now >= TimeDelta::minutes(30));
    agent.set_credentials(credentials()).unwrap();
    settle(&mut agent).await;
    assert!(!agent.is_locked_out());
    assert_eq!(phone.facts().installations, [2]);
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_does_not_silence_a_phone() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    stage.script().offer = Err("not_in_cohort");
    let (phone, mut agent) = phone_at(&stage).await;
    let right = phone.facts().now;
    phone.facts().now = right + TimeDelta::days(3_000);
    settle(&mut agent).await;
    phone.facts().now = right;
    let next = settle(&mut agent).await;
    assert!(next.at - right < TimeDelta::hours(8), "{next:?}");
}

/// By days, or by no more than hours: as soon as it is right, what was set under it is no reason to be silent.
#[tokio::test]
async fn a_clock_that_was_ahead_costs_no_poll() {
    for ahead in [TimeDelta::days(13), TimeDelta::days(2), TimeDelta::hours(9)] {
        let stage = Stage::offering(&apks::build(PACKAGE, 2));
        stage.script().offer = Err("not_in_cohort");
        let (phone, mut agent) = phone_at(&stage).await;
        let right = phone.facts().now;
        phone.facts().now = right + ahead;
        settle(&mut agent).await;
        phone.facts().now = right;
        let next = settle(&mut agent).await;
        assert!(next.at - right < TimeDelta::hours(8), "{ahead}: {next:?}");
        assert_eq!(stage.script().polls.len(), 2, "{ahead}");

        // The wait for a `Retry-After` is not shortened, and is no longer than it was.
        let busy = Reply::status(503).with("retry-after", "1200");
        stage.script().poll_answers.push_back(busy);
        phone.facts().now = right + ahead + TimeDelta::days(1);
        settle(&mut agent).await;
        phone.facts().now = right;
        let rest = settle(&mut agent).await.at - right;
        let asked = TimeDelta::seconds(1200);
        assert!((asked..=asked * 11 / 10).contains(&rest), "{ahead}: {rest}");
    }
}

#[tokio::test]
async fn a_download_that_loses_its_wifi_stops() {
    let apk = apks::large(PACKAGE, 2, 2_000_000);
    let stage = Stage::offering(&apk);
    stage.script().offer.as_mut().unwrap()["wifi_only"] = json!(true);
    stage.script().tricks.push_back(Trick::Cut(apk.len() / 2));
    let (phone, mut agent) = phone_at(&stage).await;
    until(&mut agent, Phase::Downloading).await;
    settle(&mut agent).await;
    phone.facts().network = tidegate_agent::domain::Network::Mobile;
    let next = later(&mut agent).await;
    assert!(matches!(next.phase, Phase::Waiting(_)), "{next:?}");
    assert_eq!(stage.script().downloads.len(), 1);
    phone.facts().network = tidegate_agent::domain::Network::Wifi;
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert!(
        stage.script().downloads[1].1.is_some(),
        "it goes on from the middle"
    );
}
