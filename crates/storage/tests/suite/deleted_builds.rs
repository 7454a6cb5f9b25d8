//! Deleting builds, and giving them other notes.

use tidegate_domain::{Build, By, Error as Rule};
use tidegate_storage::{AuditFilter, BuildEdit, BuildFilter, Error, Page, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, enroll_many, facts, offered, package, poll, promote, promotion, provenance, release,
    rollout_of, upload,
};

on_both_engines!(
    a_build_that_was_never_released_leaves_no_row,
    a_released_build_keeps_its_version_and_its_numbers,
    what_serves_or_is_the_way_back_is_not_deleted,
    a_roll_back_does_not_return_to_a_deleted_build,
    notes_change_and_the_log_tells,
);

async fn delete(store: &Store, build: &Build) -> Result<bool, Error> {
    let note = actor("ann").note("ota.delete", format!("package/{APP}"));
    store
        .delete_build(build.id, note)
        .await
        .map(|deleted| deleted.version_free)
}

async fn listed(store: &Store) -> Vec<i64> {
    let builds = store
        .builds(BuildFilter::default(), Page::default())
        .await
        .unwrap();
    builds.items.iter().map(|build| build.id.0).collect()
}

async fn a_build_that_was_never_released_leaves_no_row(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let before = store.epochs().await.unwrap().catalog;
    assert_eq!(delete(&store, &build).await, Ok(true));
    assert_eq!(store.epochs().await.unwrap().catalog, before + 1);
    assert!(matches!(store.build(build.id).await, Err(Error::NotFound { .. })));
    assert_eq!(store.blob_in_use(build.facts.sha256).await, Ok(false));
    assert!(matches!(
        delete(&store, &build).await,
        Err(Error::NotFound { .. })
    ));
    let again = upload(&store, APP, 1).await;
    assert_ne!(again.id, build.id, "the number is never given again");
    let log = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    let entry = &log.items[1];
    assert_eq!(entry.action, "ota.delete");
    assert_eq!(entry.before.as_ref().unwrap()["version_code"], 1);
    assert_eq!(entry.after.as_ref().unwrap()["version_code_is_free"], true);
}

async fn a_released_build_keeps_its_version_and_its_numbers(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 1).await;
    let devices = enroll_many(&store, 1).await;
    poll(&store, vec![offered(&devices[0], 10, rollout, build.id)]).await;
    let next = upload(&store, APP, 2).await;
    promote(&store, &next, promotion(100)).await;
    let last = upload(&store, APP, 3).await;
    promote(&store, &last, promotion(100)).await;
    assert_eq!(delete(&store, &build).await, Ok(false));

    assert_eq!(listed(&store).await, [last.id.0, next.id.0]);
    assert_eq!(store.build_deleted_at(build.id).await, Ok(Some(at(0))));
    assert_eq!(store.build_deleted_at(last.id).await, Ok(None));
    assert_eq!(store.stats(build.id).await.unwrap().stats.total_eligible, 1);
    assert_eq!(store.device_builds(&devices[0]).await.unwrap().len(), 1);
    assert_eq!(store.blob_in_use(build.facts.sha256).await, Ok(false));
    let note = actor("ci").note("ota.upload", format!("package/{APP}"));
    let taken = store.insert_build(facts(APP, 1), provenance(), None, note).await;
    assert!(matches!(taken, Err(Error::VersionExists { existing, .. }) if existing == build.id));
    assert_eq!(
        delete(&store, &build).await,
        Err(Error::BuildDeleted { build: build.id })
    );
    let promoted = store
        .change_track(package(APP), actor("ann"), {
            let build = build.clone();
            move |track, attempts| {
                let by = By {
                    on_behalf_of: None,
                    actor: "ann",
                    now: at(0),
                };
                track.promote(&build, &promotion(100), attempts.of(build.id), by)
            }
        })
        .await;
    assert!(
        matches!(promoted, Err(Error::BuildDeleted { .. })),
        "{promoted:?}"
    );
    assert_eq!(
        store.unexamined_build(Some(next.id)).await,
        Ok(None),
        "its file is gone"
    );
}

async fn what_serves_or_is_the_way_back_is_not_deleted(place: &Place) {
    let store = place.store().await;
    let (first, _) = release(&store, APP, 1).await;
    assert!(matches!(
        delete(&store, &first).await,
        Err(Error::BuildInUse { .. })
    ));
    let second = upload(&store, APP, 2).await;
    promote(&store, &second, promotion(10)).await;
    let refused = delete(&store, &first).await.unwrap_err();
    assert!(refused.to_string().contains("roll-back"), "{refused}");
    assert_eq!(
        listed(&store).await,
        [second.id.0, first.id.0],
        "nothing was written"
    );
    // The same bytes under another build.
    assert_eq!(store.blob_in_use(first.facts.sha256).await, Ok(true));
}

async fn a_roll_back_does_not_return_to_a_deleted_build(place: &Place) {
    let store = place.store().await;
    let (first, _) = release(&store, APP, 1).await;
    let second = upload(&store, APP, 2).await;
    promote(&store, &second, promotion(100)).await;
    let third = upload(&store, APP, 3).await;
    rollout_of(&promote(&store, &third, promotion(100)).await);
    assert_eq!(delete(&store, &first).await, Ok(false));
    let roll_back = async || {
        let rule = |track: &tidegate_domain::Track, _: &tidegate_storage::Attempts| {
            let by = By {
                on_behalf_of: None,
                actor: "ann",
                now: at(0),
            };
            track.roll_back(false, by)
        };
        store.change_track(package(APP), actor("ann"), rule).await
    };
    roll_back().await.unwrap();
    let track = store.track(&package(APP)).await.unwrap();
    assert_eq!(track.current().unwrap().build.id, second.id);
    assert!(track.predecessor.is_none(), "the first build is gone");
    let refused = roll_back().await.unwrap_err();
    assert!(
        matches!(refused, Error::Rule(Rule::NoPredecessor { .. })),
        "{refused}"
    );
}

async fn notes_change_and_the_log_tells(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let before = store.epochs().await.unwrap().catalog;
    let set = async |notes: &str| {
        let note = actor("ann").note("ota.notes", format!("package/{APP}"));
        let edit = BuildEdit {
            notes: Some(notes.into()),
            ..BuildEdit::default()
        };
        store
            .edit_build(build.id, edit, note)
            .await
            .map(|before| before.provenance.notes)
    };
    let long = "ä".repeat(600);
    assert_eq!(set(&long).await, Ok("Fixes the thing.".into()));
    assert_eq!(store.build(build.id).await.unwrap().provenance.notes, long);
    assert_eq!(
        set(&long).await,
        Ok(long.clone()),
        "the same again changes nothing"
    );
    assert_eq!(store.epochs().await.unwrap().catalog, before + 1);
    let log = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    assert_eq!(log.items.len(), 2);
    assert_eq!(
        log.items[0].before.as_ref().unwrap()["release_notes"],
        "Fixes the thing."
    );
    assert_eq!(
        log.items[0].after.as_ref().unwrap()["release_notes"],
        "ä".repeat(500)
    );
    let note = actor("ann").note("ota.notes", format!("package/{APP}"));
    let unknown = store
        .edit_build(tidegate_domain::BuildId(99), BuildEdit::default(), note)
        .await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}
