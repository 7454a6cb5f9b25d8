//! A real server that sends files to one device at a time.

use chrono::TimeDelta;
use tidegate_agent::Phase;
use tidegate_testkit::agent::download_url;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::phone::{later, settle};
use crate::real::World;

/// More than both ends of a connection on loopback hold of a file that nobody reads on.
const LARGE: usize = 40_000_000;

#[tokio::test]
async fn a_phone_comes_later_when_the_server_sends_files_to_others() {
    let server = TestServer::start_with(Engine::Sqlite, |config| config.max_concurrent_downloads = 1).await;
    let world = World::of(server).await;
    world.release(&apks::large(PACKAGE, 2, LARGE)).await;
    let other = world.server.device("other-1").await;
    let manifest = other.poll(1).await.manifest.unwrap();
    let alone = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut first = alone.get(download_url(&manifest)).send().await.unwrap();
    assert!(first.chunk().await.unwrap().is_some());

    let mut agent = world.open();
    for _ in 0..4 {
        let next = settle(&mut agent).await;
        assert_eq!(next.phase, Phase::Downloading);
        let wait = next.at - world.now();
        let asked = TimeDelta::seconds(60)..=TimeDelta::seconds(187) * 11 / 10;
        assert!(asked.contains(&wait), "it never becomes longer: {wait}");
        world.phone.facts().now = next.at;
    }
    drop(first);
    let free = || async { other.download(&manifest, Some("bytes=0-0")).await };
    eventually(free, |answer| answer.status == 206).await;
    for _ in 0..3 {
        if world.phone.version() == Some(2) {
            return;
        }
        later(&mut agent).await;
    }
    assert_eq!(world.phone.version(), Some(2));
}
