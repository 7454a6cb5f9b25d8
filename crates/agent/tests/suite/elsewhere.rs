//! A server that sends the device to a bucket for the file.

use std::sync::Arc;

use tidegate_agent::{HttpTransport, MemoryStore};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Held, Phone, fingerprint_of, later, open, settle};
use crate::stage::{Reply, Stage, Trick, credentials};

const TAG: &str = "\"the-bucket's-own\"";

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

/// To the same host under another path, as plain HTTP is for this machine alone.
fn sent_to(base: &str) -> Trick {
    Trick::Answer(Reply::status(302).with("location", format!("{base}/bucket/object?signed=1")))
}

fn bucket(file: &[u8], from: usize, tag: &str) -> Reply {
    let mut reply = if from == 0 {
        Reply::status(200)
    } else {
        let range = format!("bytes {from}-{}/{}", file.len() - 1, file.len());
        Reply::status(206).with("content-range", range)
    };
    reply.body = file[from..].to_vec();
    reply.with("etag", tag)
}

#[tokio::test]
async fn the_file_comes_from_elsewhere_and_goes_on_by_the_other_places_etag() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    let stage = Stage::offering(&apk);
    let (phone, mut agent) = phone_at(&stage).await;
    let base = stage.script().base().to_owned();
    let mut cut = bucket(&apk, 0, TAG);
    cut.cut = Some(100_000);
    stage
        .script()
        .tricks
        .extend([sent_to(&base), Trick::Answer(cut), sent_to(&base)]);
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    let script = stage.script();
    let targets: Vec<&str> = script
        .downloads
        .iter()
        .map(|(target, _)| target.as_str())
        .collect();
    assert_eq!(
        targets,
        [
            "/file?1&redirect=1",
            "/bucket/object?signed=1",
            "/file?1&redirect=1",
            "/bucket/object?signed=1"
        ]
    );
    assert!(script.downloads[3].1.is_some(), "{:?}", script.downloads);
    assert_eq!(script.if_matches, [None, None, None, Some(TAG.to_owned())]);
    let told = script
        .reports
        .iter()
        .filter(|report| report["status"] == "downloaded");
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn an_object_that_was_exchanged_is_fetched_anew() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    let stage = Stage::offering(&apk);
    let (phone, mut agent) = phone_at(&stage).await;
    let base = stage.script().base().to_owned();
    let mut cut = bucket(&apk, 0, TAG);
    cut.cut = Some(100_000);
    let exchanged = Trick::Answer(Reply::status(412));
    let whole = Trick::Answer(bucket(&apk, 0, "\"another\""));
    stage.script().tricks.extend([
        sent_to(&base),
        Trick::Answer(cut),
        sent_to(&base),
        exchanged,
        sent_to(&base),
        whole,
    ]);
    later(&mut agent).await;
    later(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(stage.script().downloads.last().unwrap().1, None);
}

#[tokio::test]
async fn what_another_place_sends_is_verified_as_ever() {
    let apk = apks::large(PACKAGE, 2, 300_000);
    let stage = Stage::offering(&apk);
    let (phone, mut agent) = phone_at(&stage).await;
    let base = stage.script().base().to_owned();
    let mut other = apk.clone();
    other[150_000] ^= 1;
    stage
        .script()
        .tricks
        .extend([sent_to(&base), Trick::Answer(bucket(&other, 0, TAG))]);
    settle(&mut agent).await;
    assert!(
        stage.has_been_told("verify_failed", "sha256_mismatch"),
        "{:?}",
        stage.script().reports
    );
    assert!(phone.facts().installations.is_empty());
}

#[tokio::test]
async fn nobody_is_followed_to_plain_http_or_twice() {
    for (place, then) in [
        ("http://192.0.2.1/file", None),
        ("ftp://127.0.0.1/file", None),
        ("", None),
        ("", Some(302)),
    ] {
        let apk = apks::large(PACKAGE, 2, 300_000);
        let stage = Stage::offering(&apk);
        let (phone, mut agent) = phone_at(&stage).await;
        let base = stage.script().base().to_owned();
        let first = match then {
            None => Trick::Answer(Reply::status(302).with("location", place)),
            Some(_) => sent_to(&base),
        };
        stage.script().tricks.push_back(first);
        if then.is_some() {
            stage.script().tricks.push_back(sent_to(&base));
        }
        later(&mut agent).await;
        // It asks again, and then the server sends the file itself.
        assert_eq!(phone.facts().installations, [2], "{place}");
        let downloads = stage.script().downloads.len();
        assert_eq!(downloads, if then.is_some() { 3 } else { 2 }, "{place}");
    }
}
