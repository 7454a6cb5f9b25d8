//! Audiences that are expressions: kept with their rollouts, and asked about the fleet a part at a time.

use tidegate_domain::{Audience, DeviceFacts};
use tidegate_storage::{MAX_AUDIENCE_EXAMPLES, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{self, APP, device, enroll_many, package, poll, promote, promotion, upload};

on_both_engines!(
    an_expression_is_read_back_as_it_was_written,
    lists_are_stored_as_older_servers_read_them,
    a_part_of_the_fleet_says_whom_an_audience_takes,
);

fn audience(text: &str) -> Audience {
    Audience::parse(text).unwrap()
}

async fn released_to(store: &Store, audience: &Audience) -> Audience {
    let build = upload(store, APP, 1).await;
    let mut settings = promotion(100);
    settings.settings.audience = audience.clone();
    promote(store, &build, settings).await;
    let track = store.track(&package(APP)).await.unwrap();
    track.serving[0].rollout.spec.settings.audience.clone()
}

async fn an_expression_is_read_back_as_it_was_written(place: &Place) {
    let store = place.store().await;
    let written = audience(r#"region in ["no\u0072th", "ä\"🦀"] && (sdk >= 30||has(abi))"#);
    assert_eq!(written.lists(), None);
    let read = released_to(&store, &written).await;
    assert_eq!(read, written);
    assert_eq!(read.as_str(), written.as_str());
}

async fn lists_are_stored_as_older_servers_read_them(place: &Place) {
    let store = place.store().await;
    let read = released_to(&store, &audience(r#"region in ["eu"]"#)).await;
    assert_eq!(read, samples::of_region("eu"));
    let columns = place.texts("SELECT audience_json AS value FROM rollouts");
    assert_eq!(columns, [r#"{"regions":["eu"],"models":[]}"#]);
}

async fn a_part_of_the_fleet_says_whom_an_audience_takes(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let devices = enroll_many(&store, 60).await;
    let facts = |sdk: u32| DeviceFacts {
        sdk: Some(sdk),
        ..DeviceFacts::default()
    };
    for (number, id) in (0..50).zip(&devices) {
        let mut seen = samples::seen(id, 10, if number < 10 { 7 } else { 0 });
        seen.facts = facts(number);
        poll(&store, vec![seen]).await;
    }
    let note = samples::actor("ada").note("device.retire", "device/d-0049".to_owned());
    store.retire_device(&device("d-0049"), note).await.unwrap();
    let fleet = store.fleet_extent().await.unwrap();
    assert_eq!(fleet.devices, 59);
    let ask = async |text: &str, with_package: bool, limit: u32| {
        let app = package(APP);
        let app = Some(&app).filter(|_| with_package);
        let numbers = fleet.numbers.clone();
        store
            .audience_part(&audience(text), app, numbers, limit)
            .await
            .unwrap()
    };
    let whole = ask("sdk >= 40", false, 1_000).await;
    assert_eq!(
        (whole.seen, whole.taken, whole.examples.len()),
        (59, vec![9], 9),
        "without the retired one"
    );
    assert_eq!(whole.examples[0], device("d-0040"));
    let many = ask("sdk >= 0", false, 1_000).await;
    assert_eq!(
        (many.taken, many.examples.len()),
        (vec![49], MAX_AUDIENCE_EXAMPLES)
    );
    assert_eq!(ask("version == 7", true, 1_000).await.taken, [10]);
    assert_eq!(
        ask("version == 0", true, 1_000).await.taken,
        [49],
        "those that never asked run none of it"
    );
    let first = ask("true", false, 20).await;
    assert_eq!((first.seen, first.taken), (20, vec![20]));
    let rest = first.last.unwrap() + 1..=*fleet.numbers.end();
    let rest = store
        .audience_part(&audience("true"), None, rest, 1_000)
        .await
        .unwrap();
    assert_eq!(rest.seen, 39);
    assert_eq!(ask("true", false, 0).await.last, None);
}
