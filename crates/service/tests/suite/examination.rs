//! On which API levels builds install: told on upload, and of builds from before in the background.

use bytes::Bytes;
use tidegate_apk::Profile;
use tidegate_apk::build::ApkBuilder;
use tidegate_domain::{Build, Installability};
use tidegate_service::{Examiner, Kind};
use tidegate_storage::Actor;
use tidegate_testkit::apks::{self, PACKAGE};
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, refusal};

/// Android 11 and later refuse a compressed resource table in what was written for them.
fn refused_from_30(version_code: i64) -> ApkBuilder {
    apks::release(PACKAGE, version_code)
        .target_sdk(34)
        .file("resources.arsc", vec![0; 5_000])
}

fn levels(build: &Build) -> Option<String> {
    build.facts.installability.as_ref().map(Installability::levels)
}

#[tokio::test]
async fn an_upload_is_examined_and_refused_when_no_device_installs_it() {
    let instance = Instance::start_with(|settings| settings.fleet_min_sdk = 29).await;
    let build = instance.upload(apks::sign(refused_from_30(1))).await.unwrap();
    assert_eq!(levels(&build).as_deref(), Some("24-29"));
    let text = instance.store.build_profile(build.id).await.unwrap().unwrap();
    let profile: Profile = serde_json::from_str(&text).unwrap();
    assert_eq!((profile.version_code, profile.target_sdk), (1, 34));
    assert!(!profile.installability.installs_at(30));

    let instance = Instance::start_with(|settings| settings.fleet_min_sdk = 30).await;
    let refused = refusal(instance.upload(apks::sign(refused_from_30(1))).await);
    assert_eq!(refused, (Kind::Refused, "not_installable"));
    assert_eq!(instance.files(), 0);
    let good = instance.upload(apks::build(PACKAGE, 1)).await.unwrap();
    assert_eq!(levels(&good).as_deref(), Some("24+"));
}

/// A build as an earlier version left it: its file is there, and was not examined.
async fn from_before(instance: &Instance, version_code: i64, file: Option<Vec<u8>>) -> Build {
    let apk = apks::sign(refused_from_30(version_code));
    let scratch = Instance::start().await;
    let Build {
        mut facts,
        provenance,
        ..
    } = scratch.upload(apk.clone()).await.unwrap();
    facts.installability = None;
    if let Some(file) = file {
        let artifacts = instance.artifacts();
        let mut staging = artifacts.stage(1 << 20).await.unwrap();
        staging.write(Bytes::from(file.clone())).await.unwrap();
        let staged = staging.finish().await.unwrap();
        facts.sha256.0 = *staged.sha256();
        facts.size = staged.size();
        artifacts.commit(staged).await.unwrap();
    }
    let actor = Actor {
        subject: "ci".to_owned(),
        role: "operator".to_owned(),
        request_id: None,
        now: provenance.uploaded_at,
    };
    let note = actor.note("ota.upload", format!("package/{PACKAGE}"));
    let insert = instance.store.insert_build(facts, provenance, None, note);
    insert.await.unwrap()
}

#[tokio::test]
async fn builds_from_before_are_examined_one_after_the_other() {
    let instance = Instance::start().await;
    let readable = from_before(&instance, 1, Some(apks::sign(refused_from_30(1)))).await;
    let no_apk = from_before(&instance, 2, Some(b"no APK".to_vec())).await;
    let missing = from_before(&instance, 3, None).await;
    assert_eq!(levels(&readable), None);

    let examiner = Examiner::new(instance.store.clone(), instance.artifacts(), 24);
    examiner.run(CancellationToken::new()).await;
    let build = instance.store.build(readable.id).await.unwrap();
    assert_eq!(levels(&build).as_deref(), Some("24-29"));
    let found = build.facts.installability.unwrap();
    assert_eq!(found.findings[0].code, "resources-compressed");
    assert!(instance.store.build_profile(readable.id).await.unwrap().is_some());
    // What can't be read is left as it was, and does not keep the others from their turn.
    for unread in [no_apk, missing] {
        assert_eq!(instance.store.build(unread.id).await, Ok(unread));
    }
}

#[tokio::test]
async fn builds_are_compared_once_their_files_were_examined() {
    let instance = Instance::start().await;
    let old = from_before(&instance, 1, None).await;
    let new = instance.upload(apks::build(PACKAGE, 2)).await.unwrap();
    let compare = || instance.builds.compare(new.id, Some(old.id));
    assert_eq!(refusal(compare().await), (Kind::Conflict, "not_examined"));
    assert!(
        instance
            .builds
            .compare_with_current(new.id)
            .await
            .unwrap()
            .is_none()
    );
}
