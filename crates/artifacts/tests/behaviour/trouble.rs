//! Disks and buckets that fail.

#![allow(clippy::disallowed_methods, reason = "a test may look at any clock")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tidegate_artifacts::{Error, S3Options, Store};
use tokio::sync::Notify;

use crate::fixture::{BUCKET, Fixture, noise, options};

/// What a test does to the S3 server.
#[derive(Default)]
pub(crate) struct Trouble {
    /// The second part of an upload is refused.
    refuse: AtomicBool,
    /// The second part of an upload has to wait for `release`.
    hang: AtomicBool,
    /// Told when one hangs.
    hanging: Notify,
    release: Notify,
}

/// A real S3 server that can be brought into trouble.
pub(crate) struct Brittle {
    files: FileSystem,
    trouble: Arc<Trouble>,
}

impl Brittle {
    pub(crate) fn new(root: &Path, trouble: Arc<Trouble>) -> Brittle {
        Brittle {
            files: FileSystem::new(root).unwrap(),
            trouble,
        }
    }
}

macro_rules! pass_on {
    ($($name:ident: $input:ty => $output:ty),+ $(,)?) => {
        #[async_trait::async_trait]
        impl S3 for Brittle {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.files.$name(request).await
            })+

            async fn upload_part(
                &self,
                request: S3Request<UploadPartInput>,
            ) -> S3Result<S3Response<UploadPartOutput>> {
                if request.input.part_number == 2 && self.trouble.refuse.load(Ordering::SeqCst) {
                    // A client error: the client must not try again.
                    return Err(s3_error!(InvalidRequest, "no second part today"));
                }
                if request.input.part_number == 2 && self.trouble.hang.load(Ordering::SeqCst) {
                    self.trouble.hanging.notify_one();
                    self.trouble.release.notified().await;
                }
                self.files.upload_part(request).await
            }
        }
    };
}

pass_on! {
    put_object: PutObjectInput => PutObjectOutput,
    get_object: GetObjectInput => GetObjectOutput,
    head_object: HeadObjectInput => HeadObjectOutput,
    delete_object: DeleteObjectInput => DeleteObjectOutput,
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
}

#[tokio::test]
async fn a_bucket_that_fails_in_mid_upload_keeps_nothing_of_it() {
    let fixture = Fixture::s3().await;
    fixture.trouble.refuse.store(true, Ordering::SeqCst);
    let bytes = noise(3 * 8 * 1024 * 1024);
    let error = fixture
        .store
        .commit(fixture.staged(&bytes).await)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable { doing, .. } if doing.starts_with("upload ")),
        "{error}"
    );
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(fixture.store.size(&sha256).await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_mid_upload_leaves_nothing() {
    let fixture = Fixture::s3().await;
    fixture.trouble.hang.store(true, Ordering::SeqCst);
    let staged = fixture.staged(&noise(2 * 8 * 1024 * 1024)).await;
    tokio::select! {
        committed = fixture.store.commit(staged) => panic!("it can't have ended: {committed:?}"),
        () = fixture.trouble.hanging.notified() => {}
    }
    fixture.trouble.release.notify_one();
    // The part that was on its way, and then the abort, go on behind our back.
    let begun = Instant::now();
    while !fixture.files().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", fixture.files());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_bucket_are_not_ready() {
    let fixture = Fixture::s3().await;
    let forger = S3Options {
        secret_key: Some(SecretString::from("not the secret")),
        ..options(&fixture.endpoint)
    };
    let store = Store::open(
        &format!("s3://{BUCKET}"),
        &fixture.root.path().join("staging"),
        &forger,
    )
    .unwrap();
    let error = store.ready().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(!error.to_string().contains("not the secret"), "{error}");

    fixture.store.ready().await.unwrap();
    std::fs::remove_dir_all(fixture.root.path().join("server")).unwrap();
    let error = fixture.store.ready().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_ready() {
    let staging = tempfile::TempDir::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let store = Store::open("s3://bucket", staging.path(), &options(&endpoint)).unwrap();
    let error = store.ready().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_that_went_away_is_not_ready_and_takes_no_upload() {
    let fixture = Fixture::folder();
    std::fs::remove_dir_all(fixture.root.path()).unwrap();
    assert!(matches!(
        fixture.store.ready().await,
        Err(Error::Unavailable { .. })
    ));
    assert!(matches!(
        fixture.store.stage(1).await,
        Err(Error::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_blob_that_was_cut_short_is_replaced_by_the_next_upload() {
    let fixture = Fixture::folder();
    let blob = fixture.upload(&noise(10_000)).await;
    let file = fixture.root.path().join(&fixture.files()[0]);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(17)
        .unwrap();
    assert!(!fixture.upload(&noise(10_000)).await.existed);
    assert!(fixture.read(&blob, 0..10_000).await.unwrap() == noise(10_000));
}
