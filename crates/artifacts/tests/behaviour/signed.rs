//! URLs of the bucket that are handed out.

use std::path::Path;
use std::time::Duration;

use tidegate_artifacts::{S3Options, Store};

use crate::fixture::{BUCKET, Fixture, options};

const HOLDS: Duration = Duration::from_secs(900);

#[tokio::test]
async fn a_signed_url_serves_the_blob_and_its_parts_and_nothing_else() {
    let fixture = Fixture::s3().await;
    let blob = fixture.upload(b"an APK, let us say").await;
    let url = fixture
        .store
        .signed_url(&blob.sha256, HOLDS)
        .await
        .unwrap()
        .unwrap();
    assert!(url.starts_with(&fixture.endpoint), "{url}");
    assert!(url.contains("X-Amz-Expires=900"), "{url}");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let whole = http.get(&url).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let tag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), "an APK, let us say");
    let rest = http.get(&url).header("range", "bytes=3-").header("if-match", tag);
    let rest = rest.send().await.unwrap();
    assert_eq!(rest.status(), 206);
    assert_eq!(rest.bytes().await.unwrap(), "APK, let us say");
    let altered = url.replace("X-Amz-Expires=900", "X-Amz-Expires=901");
    assert_eq!(http.get(altered).send().await.unwrap().status(), 403);
    assert_eq!(http.put(&url).body("x").send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn others_are_told_the_address_by_which_they_reach_the_bucket() {
    let fixture = Fixture::s3().await;
    let blob = fixture.upload(b"bytes").await;
    let public = S3Options {
        public_endpoint: Some("https://files.example.com/".to_owned()),
        ..options(&fixture.endpoint)
    };
    let place = format!("s3://{BUCKET}/fleet/one");
    let store = Store::open(&place, Path::new(&fixture.root.path().join("staging")), &public).unwrap();
    let url = store.signed_url(&blob.sha256, HOLDS).await.unwrap().unwrap();
    assert!(
        url.starts_with("https://files.example.com/apks/fleet/one/blobs/"),
        "{url}"
    );
    let clear = S3Options {
        public_endpoint: Some("http://files.example.com".to_owned()),
        ..options(&fixture.endpoint)
    };
    assert!(Store::open(&place, fixture.root.path(), &clear).is_err());
}

#[tokio::test]
async fn a_folder_has_no_urls() {
    let fixture = Fixture::folder();
    let blob = fixture.upload(b"bytes").await;
    assert_eq!(fixture.store.signed_url(&blob.sha256, HOLDS).await.unwrap(), None);
}
