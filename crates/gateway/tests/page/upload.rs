//! Uploading: by dropping and by choosing, with its progress, and what a refusal says.

use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};

use crate::fixture::Fixture;

/// Incompressible bytes in the file whose way is watched, and how many of them pass in a second meanwhile.
const LARGE: usize = 3_000_000;
const BYTES_PER_SECOND: u32 = 1_500_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_dropped_and_watched_on_its_way() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let browser = &fixture.browser;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app-release.apk");
    let apk = apks::large(PACKAGE, 1, LARGE);
    std::fs::write(&file, &apk).unwrap();
    browser.go("/builds/upload").await;
    // Beside the marked place, too.
    browser.drop_file("h1", &file).await;
    let chosen = "return document.querySelector('#file').files[0]?.name";
    assert_eq!(browser.run(chosen, vec![]).await, json!("app-release.apk"));
    browser.send_at_most(Some(BYTES_PER_SECOND)).await;
    browser.click("#upload-submit").await;
    let is_under_way = |text: &str| {
        let percent = text.trim_end_matches(" %").parse();
        percent.is_ok_and(|percent: u8| (1..100).contains(&percent))
    };
    browser.reads("#upload-words", is_under_way).await;
    let bar = browser
        .run("return document.querySelector('#upload-progress').value", vec![])
        .await;
    assert!(bar.as_f64().is_some_and(|bar| bar > 0.0), "{bar}");
    browser.picture("upload-progress").await;
    browser.send_at_most(None).await;
    browser
        .reads("#done", |text| text.starts_with("Uploaded and checked"))
        .await;
    // What the page tells of it is what was in the file.
    let facts = browser.text("#facts").await;
    let sha256: String = Sha256::digest(&apk)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let signer = apks::key()
        .fingerprint()
        .map(|byte| format!("{byte:02X}"))
        .join(":");
    for fact in [PACKAGE, "1.1 (code 1)", "v2, v3", &sha256, &signer, "by olga"] {
        assert!(facts.contains(fact), "{fact} is missing: {facts}");
    }
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_told_why_and_the_next_one_is_taken() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let browser = &fixture.browser;
    fixture
        .server
        .operator(Role::Operator)
        .uploaded(&apks::build(PACKAGE, 1))
        .await;
    let mut broken = apks::large(PACKAGE, 2, 10_000);
    let middle = broken.len() / 4;
    broken[middle] ^= 1;
    let foreign = apks::release(PACKAGE, 2).sign(apks::foreign_key()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.apk");
    browser.go("/builds/upload").await;
    for (bytes, reason) in [
        (b"this is no APK".to_vec(), "not a sound APK"),
        (apks::release(PACKAGE, 2).unsigned(), "is not signed"),
        (broken, "signature refused"),
        (foreign, "signe"),
        (apks::large(PACKAGE, 1, 500), "exists"),
        (apks::sign(apks::release(PACKAGE, 2).test_only(true)), "testOnly"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        browser.attach("#file", &file).await;
        browser.click("#upload-submit").await;
        let told = browser.reads("#refusal", |text| text.contains(reason)).await;
        assert!(told.len() < 500, "{told}");
        assert_eq!(browser.path().await, "/builds/upload");
    }
    browser.picture("upload-refused").await;
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    // The same page takes another file.
    std::fs::write(&file, apks::build(PACKAGE, 2)).unwrap();
    browser.attach("#file", &file).await;
    browser.click("#upload-submit").await;
    browser
        .reads("#done", |text| text.starts_with("Uploaded and checked"))
        .await;
    // The console is told of each refused request, and of nothing else.
    assert_eq!(
        browser.complaints(&["/builds/upload"]).await,
        Vec::<String>::new()
    );
}

/// A file that Android's own signer made: one of the golden ones in the tests of AOSP's apksig.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_androids_own_signer_is_taken() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let file = folder.join("golden-rsa-verity-out.apk");
    let fixture = Fixture::of("olga", Role::Operator).await;
    fixture.browser.go("/builds/upload").await;
    fixture.browser.attach("#file", &file).await;
    fixture.browser.click("#upload-submit").await;
    fixture
        .browser
        .reads("#done", |text| text.starts_with("Uploaded and checked"))
        .await;
    let facts = fixture.browser.text("#facts").await;
    assert!(
        facts.contains("v2, v3") && facts.contains("FB:5D:BD:3C"),
        "{facts}"
    );
}

/// Fetches what the button of a build's page leads to, as a click would, and tells what came.
const FETCH: &str = "return (async () => {
    const answer = await fetch(document.querySelector('#download').href);
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await answer.arrayBuffer()));
    return {
        path: new URL(answer.url).pathname,
        name: answer.headers.get('content-disposition'),
        sha256: [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
    };
})()";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_fetched_again_by_whoever_is_signed_in_and_by_nobody_else() {
    let fixture = Fixture::of("vera", Role::Viewer).await;
    let (build, _) = fixture.two_builds().await;
    let facts = fixture.server.operator(Role::Viewer).build(build).await.ok();
    fixture.browser.go(&format!("/builds/{build}")).await;
    let fetched = fixture.browser.run(FETCH, vec![]).await;
    assert_eq!(fetched["path"], format!("/builds/{build}/download"));
    let name = format!(
        "{}-{}.apk",
        facts["package_name"].as_str().unwrap(),
        facts["version_code"]
    );
    assert_eq!(fetched["name"], format!("attachment; filename=\"{name}\""));
    assert_eq!(
        fetched["sha256"].as_str().unwrap(),
        facts["sha256"].as_str().unwrap()
    );
    fixture.browser.forget_cookies().await;
    assert_eq!(fixture.browser.run(FETCH, vec![]).await["path"], "/login");
}
