//! A witness keeps every line that it was told, in a file and in a bucket.

use std::path::Path;

use tidegate_artifacts::{Error, S3Options, Witness};

use crate::fixture::{BUCKET, Fixture, options};

fn file(folder: &Path) -> Witness {
    let path = folder.join("witness.jsonl");
    Witness::open(path.to_str().unwrap(), &S3Options::default()).unwrap()
}

async fn sorted(witness: &Witness) -> Vec<String> {
    let mut lines = witness.lines().await.unwrap();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_file_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let witness = file(folder.path());
    let absent = witness.lines().await;
    assert!(matches!(absent, Err(Error::Unavailable { .. })), "{absent:?}");
    witness.append("1", "one").await.unwrap();
    witness.append("2", "two").await.unwrap();
    let path = folder.path().join("witness.jsonl");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    // What a crash cut off stays as it is, and spoils nothing.
    std::fs::write(&path, "one\nhal").unwrap();
    witness.append("3", "three").await.unwrap();
    assert_eq!(witness.lines().await.unwrap(), ["one", "hal", "three"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[tokio::test]
async fn an_object_of_a_bucket_is_written_once() {
    let fixture = Fixture::s3().await;
    let place = format!("s3://{BUCKET}/heads");
    let witness = Witness::open(&place, &options(&fixture.endpoint)).unwrap();
    assert_eq!(witness.lines().await.unwrap(), Vec::<String>::new());
    for (name, line) in [("1.json", "one"), ("2.json", "two"), ("1.json", "another")] {
        witness.append(name, line).await.unwrap();
    }
    assert_eq!(sorted(&witness).await, ["one", "two"]);
    // Blobs beside it are none of its lines.
    fixture.upload(b"an APK").await;
    assert_eq!(sorted(&witness).await, ["one", "two"]);
}

#[tokio::test]
async fn a_place_that_cannot_be_one_is_refused() {
    for place in ["", "https://example.com/x", "s3://"] {
        let opened = Witness::open(place, &S3Options::default());
        assert!(matches!(opened, Err(Error::Setting(_))), "{place}: {opened:?}");
    }
}
