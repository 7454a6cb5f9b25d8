//! What servers keep in memory.

use tidegate_storage::Epochs;

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, device, enroll_many, promote, promotion, upload};

on_both_engines!(
    the_catalog_holds_what_serves_and_all_signers,
    two_servers_see_each_others_changes,
);

async fn the_catalog_holds_what_serves_and_all_signers(place: &Place) {
    let store = place.store().await;
    let third = upload(&store, APP, 30).await;
    let first = upload(&store, APP, 10).await;
    upload(&store, APP, 20).await;
    upload(&store, "com.example.unreleased", 1).await;
    promote(&store, &first, promotion(100)).await;
    let mut keeping = promotion(10);
    keeping.keep_previous = true;
    promote(&store, &third, keeping).await;

    let (catalog, epochs) = store.load_catalog().await.unwrap();
    assert_eq!(epochs, store.epochs().await.unwrap());
    assert_eq!(catalog.tracks().count(), 1);
    let track = catalog.track(APP).unwrap();
    let serving: Vec<_> = track.serving.iter().map(|release| release.build.id).collect();
    assert_eq!(serving, [third.id, first.id]);
    assert!(track.serving[0].rollout.spec.is_current);
    assert_eq!(*track.serving[0].build, third);
    let known: Vec<i64> = track
        .known_signers
        .iter()
        .map(|(version, _)| version.get())
        .collect();
    assert_eq!(known, [10, 20, 30]);
}

async fn two_servers_see_each_others_changes(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    assert_eq!(one.epochs().await.unwrap(), Epochs::default());
    let build = upload(&one, APP, 1).await;
    let seen = other.epochs().await.unwrap();
    assert_eq!(seen.catalog, 1);
    promote(&other, &build, promotion(100)).await;
    assert_eq!(one.epochs().await.unwrap().catalog, 2);
    enroll_many(&one, 1).await;
    let note = actor("ann").note("device.revoke", "device/d-0000");
    other.revoke(&device("d-0000"), note).await.unwrap();
    assert_eq!(
        one.epochs().await.unwrap(),
        Epochs {
            catalog: 2,
            tokens: 1,
            rejections: 0,
            people: 0,
            tags: 0,
            patches: 0,
        }
    );
}
