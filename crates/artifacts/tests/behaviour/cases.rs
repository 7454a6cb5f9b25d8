//! What a store does, wherever it keeps its blobs.

use bytes::Bytes;
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use tidegate_artifacts::Error;

use crate::fixture::{Fixture, NO_LIMIT, noise};

pub(crate) async fn an_upload_becomes_a_blob_under_its_hash(fixture: &Fixture) {
    let staged = fixture.staged(b"an APK, let us say").await;
    let expected: [u8; 32] = Sha256::digest(b"an APK, let us say").into();
    assert_eq!((staged.sha256(), staged.size()), (&expected, 18));
    assert_eq!(std::fs::read(staged.path()).unwrap(), b"an APK, let us say");

    let blob = fixture.store.commit(staged).await.unwrap();
    assert_eq!((blob.sha256, blob.size, blob.existed), (expected, 18, false));
    assert_eq!(fixture.store.size(&expected).await.unwrap(), Some(18));
    assert_eq!(fixture.read(&blob, 0..18).await.unwrap(), b"an APK, let us say");
    let files = fixture.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let hex: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        files[0].ends_with(format!("blobs/{}/{hex}", &hex[..2])),
        "{files:?}"
    );
}

pub(crate) async fn an_empty_upload_is_a_blob_too(fixture: &Fixture) {
    let blob = fixture.upload(b"").await;
    assert_eq!(fixture.store.size(&blob.sha256).await.unwrap(), Some(0));
    assert_eq!(fixture.read(&blob, 0..0).await.unwrap(), b"");
}

pub(crate) async fn a_large_blob_comes_back_whole(fixture: &Fixture) {
    // Two whole parts of a multipart upload and a bit.
    let bytes = noise(2 * 8 * 1024 * 1024 + 12_345);
    let blob = fixture.upload(&bytes).await;
    assert!(fixture.read(&blob, 0..blob.size).await.unwrap() == bytes);
    assert_eq!(fixture.files().len(), 1, "{:?}", fixture.files());
}

pub(crate) async fn the_same_bytes_twice_are_one_blob(fixture: &Fixture) {
    assert!(!fixture.upload(b"twice").await.existed);
    assert!(fixture.upload(b"twice").await.existed);
    assert_eq!(fixture.files().len(), 1, "{:?}", fixture.files());
}

pub(crate) async fn two_commits_at_the_same_time_are_one_blob(fixture: &Fixture) {
    let bytes = noise(300_000);
    let (one, two) = (fixture.staged(&bytes).await, fixture.staged(&bytes).await);
    let (one, two) = tokio::join!(fixture.store.commit(one), fixture.store.commit(two));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.sha256, two.sha256);
    assert_eq!(fixture.files().len(), 1, "{:?}", fixture.files());
    assert!(fixture.read(&two, 0..300_000).await.unwrap() == bytes);
}

pub(crate) async fn a_resumed_download_gives_the_same_bytes(fixture: &Fixture) {
    let bytes = noise(1_000_003);
    let blob = fixture.upload(&bytes).await;
    for cut in [1, 65_536, 999_999, 1_000_002] {
        let mut got = fixture.read(&blob, 0..cut).await.unwrap();
        got.extend(fixture.read(&blob, cut..blob.size).await.unwrap());
        assert_eq!(
            <[u8; 32]>::from(Sha256::digest(&got)),
            blob.sha256,
            "cut at {cut}"
        );
    }
}

pub(crate) async fn a_range_past_the_end_is_refused_with_the_size(fixture: &Fixture) {
    let blob = fixture.upload(&[7; 100]).await;
    for range in [0..101, 99..101, 100..101, 5_000..6_000, 101..101] {
        match fixture.read(&blob, range.clone()).await {
            Err(Error::OutOfRange {
                size: 100,
                range: said,
            }) => assert_eq!(said, range),
            other => panic!("{range:?}: {other:?}"),
        }
    }
}

pub(crate) async fn a_missing_blob_is_named(fixture: &Fixture) {
    let nobody = [0xab; 32];
    assert_eq!(fixture.store.size(&nobody).await.unwrap(), None);
    for range in [0..1, 0..0] {
        let Err(error) = fixture.store.read(&nobody, range).await else {
            panic!("there is no such blob")
        };
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        assert!(error.to_string().contains(&"ab".repeat(32)), "{error}");
    }
}

pub(crate) async fn an_abandoned_upload_leaves_nothing(fixture: &Fixture) {
    let mut staging = fixture.store.stage(NO_LIMIT).await.unwrap();
    staging.write(Bytes::from(noise(600_000))).await.unwrap();
    assert_eq!(fixture.files().len(), 1);
    drop(staging);
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());

    let staged = fixture.staged(b"looked at and refused").await;
    assert_eq!(fixture.files().len(), 1);
    drop(staged);
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
}

pub(crate) async fn an_upload_over_the_limit_leaves_nothing(fixture: &Fixture) {
    let mut fits = fixture.store.stage(10).await.unwrap();
    fits.write(Bytes::from_static(b"0123456789")).await.unwrap();
    drop(fits.finish().await.unwrap());

    let mut staging = fixture.store.stage(10).await.unwrap();
    staging.write(Bytes::from_static(b"01234567")).await.unwrap();
    let error = staging.write(Bytes::from_static(b"89a")).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 10 }), "{error}");
    assert!(error.to_string().contains("10 bytes"), "{error}");
    // A caller that goes on regardless doesn't get a blob with a hole.
    assert!(staging.finish().await.is_err());
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
}

pub(crate) async fn a_removed_blob_is_gone_and_removing_again_is_fine(fixture: &Fixture) {
    let blob = fixture.upload(b"short-lived").await;
    fixture.store.remove(&blob.sha256).await.unwrap();
    assert_eq!(fixture.store.size(&blob.sha256).await.unwrap(), None);
    fixture.store.remove(&blob.sha256).await.unwrap();
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
    assert!(!fixture.upload(b"short-lived").await.existed);
}

pub(crate) async fn a_working_store_is_ready(fixture: &Fixture) {
    fixture.store.ready().await.unwrap();
    fixture.upload(b"one").await;
    fixture.store.ready().await.unwrap();
    assert_eq!(fixture.files().len(), 1, "{:?}", fixture.files());
}

pub(crate) async fn all_blobs_are_listed_and_nothing_else(fixture: &Fixture) {
    assert_eq!(listed(fixture).await, []);
    let mut blobs = vec![];
    for length in [1, 2, 3] {
        let blob = fixture.upload(&noise(length)).await;
        blobs.push((blob.sha256, blob.size));
    }
    blobs.sort_unstable();
    assert_eq!(listed(fixture).await, blobs);
    fixture.store.remove(&blobs[0].0).await.unwrap();
    assert_eq!(listed(fixture).await, blobs[1..]);
}

async fn listed(fixture: &Fixture) -> Vec<([u8; 32], u64)> {
    let mut found: Vec<_> = fixture.store.list().try_collect().await.unwrap();
    found.sort_unstable();
    found
}

pub(crate) async fn an_upload_leaves_the_headroom_free(fixture: &Fixture) {
    let free = |bytes| fixture.store.clone().with_headroom(bytes);
    free(1).stage(NO_LIMIT).await.unwrap();
    // More than any disk has.
    let full = free(1 << 62);
    assert!(matches!(full.stage(NO_LIMIT).await, Err(Error::Full { .. })));
    full.ready()
        .await
        .expect("that uploads wait keeps nothing else from working");
}
