//! A process that is killed in mid-upload, and the sweep at the next start.

#![allow(clippy::disallowed_methods, reason = "a test may look at any clock")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidegate_artifacts::Store;

use crate::fixture::{Fixture, NO_LIMIT, noise};

/// Names the victim's root, and by that makes it one.
const VICTIM: &str = "TIDEGATE_ARTIFACTS_VICTIM";

#[tokio::test]
async fn what_a_killed_process_left_is_swept() {
    let fixture = Fixture::folder();
    let kept = fixture.upload(b"committed before the crash").await;
    kill_in_mid_upload(fixture.root.path());
    let left: Vec<PathBuf> = fixture.files();
    assert_eq!(left.len(), 2, "a blob and half an upload: {left:?}");
    // Somebody else's file in there is none of our business.
    std::fs::write(fixture.root.path().join("staging/README"), "hands off").unwrap();

    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    assert_eq!(
        fixture.store.sweep_staging(an_hour_ago).await.unwrap(),
        0,
        "it may still be going on"
    );
    let soon = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(fixture.store.sweep_staging(soon).await.unwrap(), 1);

    assert_eq!(fixture.files().len(), 2, "{:?}", fixture.files());
    assert_eq!(
        fixture.read(&kept, 0..kept.size).await.unwrap(),
        b"committed before the crash"
    );
}

fn kill_in_mid_upload(root: &Path) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::victim", "--nocapture"])
        .env(VICTIM, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(said.any(|line| line.contains("half an upload is written")));
    victim.kill().unwrap(); // SIGKILL: nothing is dropped
    victim.wait().unwrap();
}

/// Does nothing unless the test above started it.
#[tokio::test]
async fn victim() {
    let Some(root) = std::env::var_os(VICTIM) else {
        return;
    };
    let store = Store::local(Path::new(&root)).unwrap();
    let mut staging = store.stage(NO_LIMIT).await.unwrap();
    staging.write(Bytes::from(noise(1_000_000))).await.unwrap();
    println!("half an upload is written");
    std::future::pending::<()>().await;
}
