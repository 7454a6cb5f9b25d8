//! Downloads: who may fetch a file, and when a download counts.

use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt as _;
use tidegate_domain::BuildId;
use tidegate_service::Kind;
use tidegate_signing::{DownloadQuery, ExposeSecret};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::instance::{Instance, operator, refusal, to, viewer};
use crate::offers::Offer;

/// Large enough that a file comes in several pieces.
const SIZE: usize = 600_000;

/// An instance that offers a large build to an enrolled phone; the offer and the file.
async fn offered() -> (Instance, Offer, Vec<u8>) {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let apk = apks::large(PACKAGE, 1, SIZE);
    let build = instance.upload(apk.clone()).await.unwrap().id;
    instance.promote(build, to(100)).await;
    let offer = instance.poll("phone", 0).unwrap();
    (instance, offer, apk)
}

impl Instance {
    /// How many downloads of a build this instance counted.
    fn counted(&self, build: BuildId) -> u64 {
        self.counters
            .builds()
            .get(&build)
            .map_or(0, |counts| counts.downloads)
    }

    /// Waits until the database has so many devices that downloaded the build.
    async fn written(&self, build: BuildId, downloads: i64) {
        let written = async {
            while self.stats(build).await.total_downloads != downloads {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, written)
            .await
            .expect("the download was never written");
    }
}

#[tokio::test]
async fn a_download_counts_when_every_byte_was_sent() {
    let (instance, offer, apk) = offered().await;
    assert_eq!(instance.fetch(&offer, 0..apk.len() as u64).await, apk);
    assert_eq!(instance.counted(offer.build), 1);
    instance.written(offer.build, 1).await;
    let rollouts = instance.builds.stats(offer.build, 0).await.unwrap().rollouts;
    assert_eq!(
        (rollouts[0].rollout, rollouts[0].stats.total_downloads),
        (offer.rollout, 1)
    );
}

#[tokio::test]
async fn a_download_counts_once_over_however_many_requests() {
    let (instance, offer, apk) = offered().await;
    let size = apk.len() as u64;
    let (third, half) = (size / 3, size / 2);
    // The end, the beginning twice, and at last what is between, with some of both.
    for range in [half..size, 0..third, 0..third] {
        let bytes = instance.fetch(&offer, range.clone()).await;
        assert_eq!(bytes, apk[usize::try_from(range.start).unwrap()..][..bytes.len()]);
        assert_eq!(instance.counted(offer.build), 0, "after {range:?}");
    }
    instance.fetch(&offer, third - 1..half + 1).await;
    assert_eq!(instance.counted(offer.build), 1);
    instance.fetch(&offer, 0..size).await;
    instance.written(offer.build, 1).await;
}

#[tokio::test]
async fn a_request_for_the_head_and_one_that_is_broken_off_count_for_nothing() {
    let (instance, offer, apk) = offered().await;
    let size = apk.len() as u64;
    // The head asks for the permission and opens nothing.
    let download = instance.permit(&offer).await;
    assert_eq!(download.build.facts.size, size);
    drop(instance.downloads.open(&download, 0..size).await.unwrap());
    let mut broken_off = instance.downloads.open(&download, 0..size).await.unwrap();
    let first = broken_off.next().await.unwrap().unwrap().len();
    assert!(first < apk.len(), "the file came in one piece");
    drop(broken_off);
    assert_eq!(instance.counted(offer.build), 0);
    instance.fetch(&offer, first as u64..size).await;
    assert_eq!(
        instance.counted(offer.build),
        1,
        "what was sent of it counts with the rest"
    );
}

#[tokio::test]
async fn the_halves_of_two_devices_are_no_download() {
    let (instance, offer, apk) = offered().await;
    instance.enrol("other").await;
    let other = instance.poll("other", 0).unwrap();
    let half = apk.len() as u64 / 2;
    instance.fetch(&offer, 0..half).await;
    instance.fetch(&other, half..apk.len() as u64).await;
    assert_eq!(instance.counted(offer.build), 0);
}

#[tokio::test]
async fn a_person_fetches_without_being_counted() {
    let (instance, offer, apk) = offered().await;
    let download = instance
        .downloads
        .authorize_person(viewer(), offer.build)
        .await
        .unwrap();
    let chunks = instance
        .downloads
        .open(&download, 0..apk.len() as u64)
        .await
        .unwrap();
    let chunks: Vec<_> = chunks.collect().await;
    assert_eq!(
        chunks
            .into_iter()
            .map(|chunk| chunk.unwrap().len())
            .sum::<usize>(),
        apk.len()
    );
    assert_eq!(instance.counted(offer.build), 0);
    let unknown = instance.downloads.authorize_person(operator(), BuildId(99)).await;
    assert_eq!(refusal(unknown), (Kind::NotFound, "not_found"));
}

#[tokio::test]
async fn a_url_holds_for_its_device_and_build_and_an_hour() {
    let (instance, offer, _) = offered().await;
    let other = instance.enrol("other").await.device_token;
    let downloads = &instance.downloads;
    let by_other = downloads
        .authorize(offer.build, &offer.query, Some(other.expose_secret()))
        .await;
    assert_eq!(refusal(by_other), (Kind::Forbidden, "foreign_device"));
    let second = instance.build(2).await;
    let altered = DownloadQuery {
        device_id: "other".to_owned(),
        ..offer.query.clone()
    };
    for (build, query) in [(second, &offer.query), (offer.build, &altered)] {
        let refused = refusal(downloads.authorize(build, query, None).await);
        assert_eq!(refused, (Kind::Forbidden, "url_refused"));
    }
    instance.clock.advance(TimeDelta::minutes(59));
    instance.permit(&offer).await;
    instance.clock.advance(TimeDelta::minutes(1));
    let late = downloads.authorize(offer.build, &offer.query, None).await;
    assert_eq!(refusal(late), (Kind::Forbidden, "url_expired"));
    let next = instance.poll("phone", 0).unwrap();
    instance.permit(&next).await;
}

#[tokio::test]
async fn a_build_that_serves_no_longer_is_still_handed_to_who_was_offered_it() {
    let (instance, offer, apk) = offered().await;
    instance.release(2).await;
    assert_eq!(instance.fetch(&offer, 0..apk.len() as u64).await, apk);
    assert_eq!(instance.counted(offer.build), 1);
}
