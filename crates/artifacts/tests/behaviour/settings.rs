//! The settings that open a store, and those that don't.

use std::path::Path;

use secrecy::SecretString;
use tempfile::TempDir;
use tidegate_artifacts::{Error, S3Options, Store};

use crate::fixture::{SECRET_KEY, options};

fn refusal(place: &str, options: &S3Options) -> String {
    let staging = TempDir::new().unwrap();
    match Store::open(place, staging.path(), options) {
        Err(Error::Setting(message)) => message,
        other => panic!("{place}: {other:?}"),
    }
}

#[test]
fn a_folder_is_a_path_or_a_file_url() {
    let root = TempDir::new().unwrap();
    let url = format!("file://{}/with%20space", root.path().display());
    Store::open(&url, Path::new("unused"), &S3Options::default()).unwrap();
    assert!(root.path().join("with space/blobs").is_dir());
}

#[test]
fn a_place_that_is_neither_folder_nor_bucket_is_refused() {
    let none = S3Options::default();
    for (place, complaint) in [
        ("", "empty"),
        ("gs://bucket", "s3://bucket/prefix"),
        ("file://relative/path", "three slashes"),
        ("s3://", "no bucket"),
        ("s3:///prefix", "no bucket"),
        ("s3://bucket/../up", "bad prefix"),
    ] {
        let message = refusal(place, &none);
        assert!(message.contains(complaint), "{place}: {message}");
    }
}

#[test]
fn plain_http_is_for_this_machine_only() {
    for endpoint in [
        "http://s3.example.com",
        "http://10.0.0.1:9000",
        "http://127.0.0.1.example.com",
    ] {
        let message = refusal("s3://bucket", &options(endpoint));
        assert!(
            message.contains("in the clear") && message.contains(endpoint),
            "{message}"
        );
    }
    let staging = TempDir::new().unwrap();
    let allowed = S3Options {
        allow_http: true,
        ..options("http://minio:9000")
    };
    Store::open("s3://bucket", staging.path(), &allowed).unwrap();
    assert!(refusal("s3://bucket", &options("ftp://127.0.0.1")).contains("neither https nor http"));
    assert!(refusal("s3://bucket", &options("127.0.0.1")).contains("not a URL"));
    for endpoint in [
        "http://127.0.0.1:9000",
        "http://[::1]:9000/",
        "http://localhost:9000",
    ] {
        Store::open("s3://bucket", staging.path(), &options(endpoint)).unwrap();
    }
}

#[test]
fn one_key_without_the_other_is_refused_and_no_key_is_ever_printed() {
    let whole = options("http://127.0.0.1:9000");
    let no_secret = S3Options {
        secret_key: None,
        ..whole.clone()
    };
    assert!(refusal("s3://bucket", &no_secret).contains("secret key"));
    let no_access = S3Options {
        access_key: None,
        secret_key: Some(SecretString::from("x")),
        ..whole.clone()
    };
    assert!(refusal("s3://bucket", &no_access).contains("access key"));

    let staging = TempDir::new().unwrap();
    let store = Store::open("s3://bucket", staging.path(), &whole).unwrap();
    assert!(!format!("{whole:?} {store:?}").contains(SECRET_KEY));
}
