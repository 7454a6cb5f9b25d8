//! How much at once: downloads beyond the limit are asked to come later, and polls that come too fast to come more rarely.

use chrono::TimeDelta;
use reqwest::Response;
use serde_json::Value;
use tidegate_domain::Role;
use tidegate_testkit::agent::{Agent, download_url};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    as_many_devices_are_sent_files_as_may_be_and_others_come_later,
    a_place_is_free_again_however_the_download_ended,
    polls_that_come_too_fast_are_asked_to_come_more_rarely,
);

/// More than both ends of a connection on loopback hold of a file that nobody reads on.
const LARGE: usize = 40_000_000;

/// A server that sends so many files at once, and the large file of an offer.
async fn limited(engine: Engine, limit: usize) -> (TestServer, i64) {
    let server = TestServer::start_with(engine, |config| config.max_concurrent_downloads = limit).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::large(PACKAGE, 2, LARGE)).await;
    olga.promote(build, 100).await.ok();
    (server, build)
}

async fn offer(device: &Agent) -> Value {
    device.poll(1).await.manifest.unwrap()
}

/// A download that has begun and goes no further, on a connection of its own.
async fn begun(device: &Agent) -> Response {
    let manifest = offer(device).await;
    let alone = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut response = alone.get(download_url(&manifest)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.chunk().await.unwrap().is_some());
    response
}

async fn metric(server: &TestServer, name: &str) -> f64 {
    let answer = server.operator(Role::Viewer).get("/metrics").await;
    let page = String::from_utf8(answer.body).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is missing"))
        .trim()
        .parse()
        .unwrap()
}

async fn as_many_devices_are_sent_files_as_may_be_and_others_come_later(engine: Engine) {
    let (server, build) = limited(engine, 2).await;
    let first = begun(&server.device("pixel-1").await).await;
    let second = begun(&server.device("pixel-2").await).await;
    assert!((metric(&server, "ota_download_in_progress").await - 2.0).abs() < f64::EPSILON);

    // Whether it begins or goes on, and each at another time.
    let third = server.device("pixel-3").await;
    let manifest = offer(&third).await;
    let mut pauses = std::collections::BTreeSet::new();
    for range in [None, Some("bytes=1000-"), Some("bytes=0-0")] {
        let refused = third.download(&manifest, range).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.json()["code"], "downloads_busy");
        let pause: u64 = refused.header("retry-after").parse().unwrap();
        assert!((60..187).contains(&pause), "{pause}");
        pauses.insert(pause);
    }
    assert_eq!(pauses.len(), 3, "{pauses:?}");
    assert!((metric(&server, "ota_download_refused_total").await - 3.0).abs() < f64::EPSILON);

    // Polls are answered, and a person is not counted among devices.
    assert_eq!(third.poll(1).await.build(), Some(build));
    let olga = server.operator(Role::Operator);
    assert_eq!(
        olga.get(&format!("/v1/apk/{build}/download")).await.body.len(),
        offered_size(&manifest)
    );
    // What sends no byte needs no place.
    let beyond = format!("bytes={}-", offered_size(&manifest));
    assert_eq!(third.download(&manifest, Some(&beyond)).await.status, 416);
    drop((first, second));
    let whole = eventually(|| third.download(&manifest, None), |answer| answer.status == 200).await;
    assert_eq!(whole.body.len(), offered_size(&manifest));
}

fn offered_size(manifest: &Value) -> usize {
    usize::try_from(manifest["file_size"].as_u64().unwrap()).unwrap()
}

/// To its end, by a device that went away, of a part, and of a build that is stopped meanwhile.
async fn a_place_is_free_again_however_the_download_ended(engine: Engine) {
    let (server, build) = limited(engine, 1).await;
    let device = server.device("pixel-1").await;
    let manifest = offer(&device).await;
    for round in 0..3 {
        let whole = eventually(|| device.download(&manifest, None), |answer| answer.status == 200).await;
        assert_eq!(whole.body.len(), offered_size(&manifest), "{round}");
        let part = eventually(
            || device.download(&manifest, Some("bytes=10-19")),
            |answer| answer.status != 503,
        )
        .await;
        assert_eq!((part.status, part.body.len()), (206, 10), "{round}");
        let other = server.device(&format!("pixel-2{round}")).await;
        let open = || async {
            let manifest = offer(&other).await;
            let alone = reqwest::Client::builder().no_proxy().build().unwrap();
            alone.get(download_url(&manifest)).send().await.unwrap()
        };
        let response = eventually(open, |response| response.status() == 200).await;
        assert_eq!(device.download(&manifest, None).await.status, 503, "{round}");
        drop(response);
    }
    let olga = server.person("otto", Role::Operator);
    let manifest = offer(&device).await;
    olga.pause(build).await.ok();
    let last = eventually(|| device.download(&manifest, None), |answer| answer.status == 200).await;
    assert_eq!(
        last.body.len(),
        offered_size(&manifest),
        "a URL holds although the rollout is paused"
    );
    let free = |taken: &f64| taken.abs() < f64::EPSILON;
    eventually(|| metric(&server, "ota_download_in_progress"), free).await;
}

async fn polls_that_come_too_fast_are_asked_to_come_more_rarely(engine: Engine) {
    let server = TestServer::start_with(engine, |config| {
        config.max_polls_per_second = 1;
        config.poll_interval = std::time::Duration::from_secs(100);
    })
    .await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    let alone = device.poll(1).await.poll_after;
    assert!((80..=120).contains(&alone), "{alone}");
    assert!(metric(&server, "ota_poll_after_stretch").await < 1.1);

    // Fifty at one moment are half of what an interval may have.
    let mut last = alone;
    for version in [1, 2].into_iter().cycle().take(50) {
        let told = device.poll(version).await.poll_after;
        assert!(told >= last, "{told} after {last}");
        last = told;
    }
    let stretched = last * 100 / alone;
    assert!((145..=155).contains(&stretched), "{stretched} hundredths");
    assert!((metric(&server, "ota_poll_after_stretch").await - 1.5).abs() < 0.05);

    server.clock().advance(TimeDelta::seconds(60));
    assert_eq!(device.poll(1).await.poll_after, alone, "it passes");
    for _ in 0..900 {
        device.poll(1).await;
    }
    let flooded = device.poll(1).await.poll_after;
    assert!(flooded <= alone * 8 + 8, "bounded: {flooded}");
    assert!((metric(&server, "ota_poll_after_stretch").await - 8.0).abs() < 0.1);
}
