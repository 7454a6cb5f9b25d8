//! Files that are gone from the artifact store.

use std::fs;
use std::path::PathBuf;

use tidegate_domain::BuildId;
use tidegate_service::{BlobFault, Kind};

use crate::instance::{Instance, operator, package, refusal, to};

/// Where a build's file lies.
async fn file(instance: &Instance, id: BuildId) -> PathBuf {
    let sha256 = instance.store.build(id).await.unwrap().facts.sha256.to_string();
    instance
        .path("artifacts")
        .join("blobs")
        .join(&sha256[..2])
        .join(&sha256)
}

#[tokio::test]
async fn a_build_without_its_file_is_not_promoted() {
    let instance = Instance::start().await;
    let build = instance.build(1).await;
    let file = file(&instance, build).await;
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[1..]).unwrap();
    let promote = || instance.rollouts.promote(operator(), build, to(100), None);
    assert_eq!(refusal(promote().await), (Kind::Conflict, "file_missing"));
    fs::remove_file(&file).unwrap();
    assert_eq!(refusal(promote().await), (Kind::Conflict, "file_missing"));
    assert_eq!(instance.actions().await, ["ota.upload"]);
    fs::write(&file, bytes).unwrap();
    promote().await.unwrap();
}

/// The disk lost it after it was promoted: devices come again, and nobody is told of a fault of the program.
#[tokio::test]
async fn a_file_that_is_gone_or_was_cut_is_asked_for_again_later() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let file = file(&instance, build).await;
    let bytes = fs::read(&file).unwrap();
    let open = async || {
        let download = instance
            .downloads
            .authorize_person(operator(), build)
            .await
            .unwrap();
        let whole = 0..u64::try_from(bytes.len()).unwrap();
        instance.downloads.open(&download, whole).await
    };
    drop(open().await.unwrap());
    for left in [bytes.len() - 1, 1, 0] {
        fs::write(&file, &bytes[..left]).unwrap();
        assert_eq!(
            refusal(open().await),
            (Kind::Unavailable, "unavailable"),
            "{left}"
        );
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(refusal(open().await), (Kind::Unavailable, "unavailable"));
}

#[tokio::test]
async fn a_predecessor_without_its_file_is_found_before_it_is_needed() {
    let instance = Instance::start().await;
    let one = instance.release(1).await;
    let two = instance.build(2).await;
    let file = file(&instance, one).await;
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let promote = || instance.rollouts.promote(operator(), two, to(100), None);
    assert_eq!(refusal(promote().await), (Kind::Conflict, "file_missing"));
    assert_eq!(instance.told("phone", 0), Ok(one), "nothing was changed");

    // Who holds the old one knows that there is no way back.
    instance.rollouts.pause(operator(), one).await.unwrap();
    promote().await.unwrap();
    let roll_back = || {
        instance
            .rollouts
            .roll_back(operator(), Some(package()), None, false)
    };
    assert_eq!(refusal(roll_back().await), (Kind::Conflict, "file_missing"));
    assert_eq!(instance.told("phone", 0), Ok(two));
    fs::write(&file, bytes).unwrap();
    roll_back().await.unwrap();
}

#[tokio::test]
async fn a_store_that_does_not_answer_keeps_nothing_out_there() {
    let instance = Instance::start().await;
    let (one, two) = (instance.release(1).await, instance.release(2).await);
    assert_ne!(one, two);
    // A file where a folder is looked into.
    let folder = file(&instance, one).await.parent().unwrap().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let rolled_back = instance
        .rollouts
        .roll_back(operator(), Some(package()), None, false);
    assert_eq!(rolled_back.await.unwrap().to.id, one);
}

#[tokio::test]
async fn a_check_names_what_is_missing_and_what_is_left_over() {
    let instance = Instance::start().await;
    let mut builds = vec![];
    for version in 1..=4 {
        builds.push(instance.build(version).await);
    }
    let check = instance.blob_check();
    let whole = check.run(true).await.unwrap();
    assert_eq!(
        (whole.builds, whole.files, whole.faulty, whole.spare),
        (4, 4, 0, 0)
    );

    fs::remove_file(file(&instance, builds[0]).await).unwrap();
    fs::write(file(&instance, builds[1]).await, "short").unwrap();
    let damaged = file(&instance, builds[2]).await;
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let spare = "ab".repeat(32);
    let folder = instance.path("artifacts").join("blobs/ab");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&spare), "spare").unwrap();

    let quick = check.run(false).await.unwrap();
    let mut faults = vec![
        (builds[1], BlobFault::OtherSize(5)),
        (builds[0], BlobFault::Missing),
    ];
    assert_eq!(quick.faults, faults);
    assert_eq!((quick.files, quick.spare), (4, 1));
    assert_eq!(quick.spares[0].to_string(), spare);
    faults.insert(0, (builds[2], BlobFault::Damaged));
    assert_eq!(check.run(true).await.unwrap().faults, faults);
}
