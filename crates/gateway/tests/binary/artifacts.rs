//! Looking after the builds' files.

use std::fs;
use std::path::Path;

use reqwest::multipart::{Form, Part};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::program::{client, err, exited, out, run, serve};

/// The only file below a folder.
fn only_file(folder: &Path) -> std::path::PathBuf {
    let entry = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    if entry.is_dir() { only_file(&entry) } else { entry }
}

#[tokio::test]
async fn a_build_without_a_sound_file_is_named_and_comes_back_by_another_upload() {
    let folder = tempfile::tempdir().unwrap();
    let check = |more: &[&str]| run(folder.path(), &[&["artifacts", "check"], more].concat());
    let nowhere = check(&[]);
    exited(&nowhere, 2);
    assert!(
        err(&nowhere).contains("no server was started"),
        "{}",
        err(&nowhere)
    );
    assert!(!folder.path().join("tidegate-data").exists(), "it only looks");
    let (_server, address) = serve(folder.path());
    let token = run(
        folder.path(),
        &["admin", "token", "--subject", "ci", "--role", "operator"],
    );
    let token = out(&token).trim().to_owned();
    let apk = apks::build(PACKAGE, 1);
    let upload = || async {
        let form = Form::new().part("file", Part::bytes(apk.clone()).file_name("app.apk"));
        let request = client().post(format!("http://{address}/v1/apk/upload"));
        let answer = request.bearer_auth(&token).multipart(form).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    };
    upload().await;
    let sound = check(&["--read"]);
    exited(&sound, 0);
    let told = "1 builds, 0 without a sound file; 1 files, 0 that no build needs\n";
    assert_eq!(out(&sound), told);

    let file = only_file(&folder.path().join("tidegate-data/artifacts/blobs"));
    let mut bytes = fs::read(&file).unwrap();
    bytes[200] ^= 1;
    fs::write(&file, &bytes).unwrap();
    exited(&check(&[]), 0);
    let damaged = check(&["--read"]);
    exited(&damaged, 1);
    assert!(
        out(&damaged).starts_with("build 1: its file is damaged\n"),
        "{}",
        out(&damaged)
    );

    fs::remove_file(&file).unwrap();
    let missing = check(&[]);
    exited(&missing, 1);
    assert!(
        out(&missing).starts_with("build 1: its file is missing\n"),
        "{}",
        out(&missing)
    );
    upload().await;
    exited(&check(&["--read"]), 0);
}
