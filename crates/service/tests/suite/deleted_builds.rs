//! Deleting builds: their files go, and versions that devices may have are never given to others.

use tidegate_service::{BuildEdit, Kind, MAX_NOTES_BYTES, Page};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::instance::{Instance, admin, operator, refusal, to};

#[tokio::test]
async fn a_build_that_nobody_was_offered_goes_with_its_file() {
    let instance = Instance::start().await;
    let apk = apks::build(PACKAGE, 1);
    let build = instance.upload(apk.clone()).await.unwrap();
    let files = instance.files();
    let denied = instance.uploads.delete(operator(), build.id).await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
    assert_eq!(instance.files(), files);
    assert!(
        instance
            .uploads
            .delete(admin(), build.id)
            .await
            .unwrap()
            .version_free
    );
    assert_eq!(instance.files(), files - 1);
    assert_eq!(
        refusal(instance.builds.get(build.id).await),
        (Kind::NotFound, "not_found")
    );
    let promoted = instance
        .rollouts
        .promote(operator(), build.id, to(100), None)
        .await;
    assert_eq!(refusal(promoted).0, Kind::NotFound);
    let again = instance.upload(apk).await.unwrap();
    assert_ne!(again.id, build.id);
    assert_eq!(instance.files(), files);
}

#[tokio::test]
async fn a_build_that_was_released_keeps_its_version() {
    let instance = Instance::start().await;
    let apk = apks::build(PACKAGE, 1);
    let old = instance.upload(apk.clone()).await.unwrap().id;
    instance.promote(old, to(100)).await;
    let offer = instance.poll("phone", 0).unwrap();
    assert_eq!(
        refusal(instance.uploads.delete(admin(), old).await),
        (Kind::Conflict, "build_in_use")
    );
    instance.release(2).await;
    assert_eq!(
        refusal(instance.uploads.delete(admin(), old).await),
        (Kind::Conflict, "build_in_use")
    );
    instance.release(3).await;
    let files = instance.files();
    assert!(!instance.uploads.delete(admin(), old).await.unwrap().version_free);
    assert_eq!(instance.files(), files - 1);

    let view = instance.builds.get(old).await.unwrap();
    assert!(view.deleted_at.is_some() && view.last.is_some());
    let listed = instance.builds.list(None, Page::default()).await.unwrap();
    assert!(listed.items.iter().all(|view| view.build.id != old));
    assert_eq!(
        refusal(instance.upload(apk).await),
        (Kind::Conflict, "build_deleted")
    );
    assert_eq!(instance.files(), files - 1, "the refused file is not kept");
    let other = apks::large(PACKAGE, 1, 4_000);
    assert_eq!(
        refusal(instance.upload(other).await),
        (Kind::Conflict, "build_deleted")
    );
    let promoted = instance.rollouts.promote(operator(), old, to(100), None).await;
    assert_eq!(refusal(promoted), (Kind::Conflict, "build_deleted"));
    let url = instance.downloads.authorize(old, &offer.query, None).await;
    assert_eq!(refusal(url), (Kind::NotFound, "build_deleted"));
    let findings = instance.blob_check().run(true).await.unwrap();
    assert_eq!((findings.faulty, findings.spare), (0, 0));
    assert_eq!(
        refusal(instance.uploads.delete(admin(), old).await),
        (Kind::Conflict, "build_deleted")
    );
}

#[tokio::test]
async fn notes_are_told_to_devices_and_have_a_bound() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let before = instance.snapshots.catalog_version();
    let edit = |notes: String| BuildEdit {
        notes: Some(notes),
        ..BuildEdit::default()
    };
    let set = |notes: String| instance.builds.edit(operator(), build, edit(notes));
    let view = set("Mends the printer.".to_owned()).await.unwrap();
    assert_eq!(view.build.provenance.notes, "Mends the printer.");
    assert!(
        instance.snapshots.catalog_version() > before,
        "polls are told them"
    );
    let too_long = set("x".repeat(MAX_NOTES_BYTES + 1)).await.map(drop).unwrap_err();
    assert_eq!(
        (too_long.kind, too_long.field.as_deref()),
        (Kind::Invalid, Some("notes"))
    );
    set("x".repeat(MAX_NOTES_BYTES)).await.unwrap();
    set(String::new()).await.unwrap();
    let viewer = crate::instance::viewer();
    let denied = instance.builds.edit(viewer, build, edit(String::new())).await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
}
