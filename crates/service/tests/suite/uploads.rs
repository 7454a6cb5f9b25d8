//! Uploads: which files are taken in, and what a refused one leaves behind.

use bytes::Bytes;
use tidegate_apk::Capabilities;
use tidegate_apk::build::{Lineage, Signing};
use tidegate_domain::{SignerFingerprint, Signers};
use tidegate_service::{Kind, MAX_NOTES_BYTES, UploadNotes};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::instance::{Instance, admin, operator, package, refusal, viewer};

#[tokio::test]
async fn a_build_is_what_its_file_says() {
    let instance = Instance::start().await;
    let apk = apks::build(PACKAGE, 7);
    let mut upload = instance.uploads.begin(operator()).await.unwrap();
    for half in apk.chunks(apk.len().div_ceil(2)) {
        upload.write(Bytes::copy_from_slice(half)).await.unwrap();
    }
    let notes = UploadNotes {
        git_sha: "abc".to_owned(),
        ..UploadNotes::default()
    };
    let build = instance.uploads.finish(upload, notes).await.unwrap().build;
    let facts = &build.facts;
    assert_eq!((facts.package.as_str(), facts.version_code.get()), (PACKAGE, 7));
    assert_eq!(facts.size, apk.len() as u64);
    let signer = SignerFingerprint(apks::key().fingerprint());
    assert_eq!(facts.signers, Signers::one(signer));
    assert_eq!(build.provenance.uploaded_by, "operator");
    assert_eq!(build.provenance.git_sha, "abc");
    assert_eq!(instance.counters.uploaded_bytes(), apk.len() as u64);
    assert_eq!(instance.files(), 1);
}

#[tokio::test]
async fn the_same_file_again_is_its_build_and_another_of_that_version_is_refused() {
    let instance = Instance::start().await;
    let first = apks::build(PACKAGE, 7);
    let build = instance.upload(first.clone()).await.unwrap();
    assert_eq!(instance.upload(first).await.unwrap(), build);
    let other = apks::large(PACKAGE, 7, 5_000);
    let refused = refusal(instance.upload(other).await);
    assert_eq!(refused, (Kind::Exists, "version_exists"));
    assert_eq!(instance.files(), 1, "the file of the first stays");
    let known = instance.builds.list(None, Default::default()).await.unwrap();
    assert_eq!(known.items.len(), 1);
}

#[tokio::test]
async fn a_later_build_has_the_signer_of_the_first_or_a_lineage_from_it() {
    let instance = Instance::start().await;
    instance.build(1).await;
    let (old, new) = (apks::key(), apks::foreign_key());
    let foreign = apks::release(PACKAGE, 2).sign(new).unwrap();
    let refused = refusal(instance.upload(foreign).await);
    assert_eq!(refused, (Kind::Conflict, "signer_conflict"));
    assert_eq!(instance.files(), 1);

    let keep = Capabilities::DEFAULT;
    let lineage = Lineage::new(old, keep).then(old, new, keep).unwrap();
    let rotated = apks::release(PACKAGE, 2)
        .min_sdk(28)
        .sign_as(&Signing::new(old).rotate(new, &lineage))
        .unwrap();
    let build = instance.upload(rotated).await.unwrap();
    let seen = build.facts.signers.seen_by(Some(34));
    assert_eq!(seen, SignerFingerprint(new.fingerprint()));
}

#[tokio::test]
async fn a_debuggable_build_needs_a_package_that_allows_it() {
    let instance = Instance::start().await;
    let debuggable = || apks::sign(apks::release(PACKAGE, 1).debuggable(true));
    let refused = refusal(instance.upload(debuggable()).await);
    assert_eq!(refused, (Kind::Refused, "debuggable"));
    let packages = &instance.packages;
    packages
        .allow_debuggable(admin(), &package(), true)
        .await
        .unwrap();
    assert!(instance.upload(debuggable()).await.unwrap().facts.debuggable);
}

#[tokio::test]
async fn a_file_that_devices_would_refuse_is_refused() {
    let instance = Instance::start().await;
    for (file, code) in [
        (b"not a zip file".to_vec(), "not_an_apk"),
        (apks::release(PACKAGE, 1).unsigned(), "unsigned"),
        (apks::sign(apks::release(PACKAGE, 1).test_only(true)), "test_only"),
        (apks::build(PACKAGE, 0), "version_code_zero"),
    ] {
        let refused = refusal(instance.upload(file).await);
        assert_eq!(refused, (Kind::Refused, code));
    }
    assert_eq!(instance.files(), 0);
}

#[tokio::test]
async fn an_upload_has_a_size_bound_and_leaves_nothing_beyond_it() {
    let apk = apks::build(PACKAGE, 1);
    let size = apk.len() as u64;
    let instance = Instance::start_with(|settings| settings.max_upload_bytes = size).await;
    let mut upload = instance.uploads.begin(operator()).await.unwrap();
    upload.write(Bytes::from(apk.clone())).await.unwrap();
    let more = upload.write(Bytes::from_static(b"!")).await;
    assert_eq!(refusal(more), (Kind::TooLarge, "too_large"));
    drop(upload);
    assert_eq!(instance.files(), 0);
    instance.upload(apk).await.unwrap();
}

#[tokio::test]
async fn as_many_uploads_run_at_once_as_there_are_places() {
    let instance = Instance::start_with(|settings| settings.max_concurrent_uploads = 1).await;
    let first = instance.uploads.begin(operator()).await.unwrap();
    let second = instance.uploads.begin(operator()).await;
    assert_eq!(refusal(second), (Kind::Exhausted, "too_many_uploads"));
    drop(first);
    instance.build(1).await;
}

#[tokio::test]
async fn a_viewer_uploads_nothing_and_notes_have_a_bound() {
    let instance = Instance::start().await;
    let begun = instance.uploads.begin(viewer()).await;
    assert_eq!(refusal(begun), (Kind::Forbidden, "role_too_low"));
    let mut upload = instance.uploads.begin(operator()).await.unwrap();
    upload.write(apks::build(PACKAGE, 1).into()).await.unwrap();
    let notes = UploadNotes {
        notes: "x".repeat(MAX_NOTES_BYTES + 1),
        ..UploadNotes::default()
    };
    let refused = instance.uploads.finish(upload, notes).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        (Kind::Invalid, Some("notes"))
    );
    assert_eq!(instance.files(), 0);
}
