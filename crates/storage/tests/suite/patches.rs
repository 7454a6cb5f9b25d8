//! Patches: which are wanted, who makes them, and what devices say of them.

use std::time::Duration;

use tidegate_domain::{Build, PatchOutcome, PatchState, ReportStatus, Sha256, WantedPatch};
use tidegate_storage::{
    Error, Fetched, MAX_PATCH_ATTEMPTS, NewDownload, NewReport, Patch, PatchEnd, PatchJob, Store,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, device, enroll_many, package, proven, release, report, upload, version,
};

on_both_engines!(
    the_most_worthwhile_patch_is_made_first_and_by_one,
    a_lost_makers_patch_is_taken_over_but_not_for_ever,
    a_failed_patch_waits_and_blocks_no_other,
    what_nobody_wants_goes_after_a_while,
    no_more_are_wanted_than_there_is_room_for,
    a_build_that_patches_are_made_from_keeps_its_row,
    the_first_word_of_an_attempt_counts,
    a_patch_that_was_sent_is_what_a_gate_counts,
    a_patch_whose_file_is_lost_is_made_anew,
);

const LONG: Duration = Duration::from_secs(600);
const NONE: Duration = Duration::ZERO;

fn want(build: &Build, from: i64, devices: u64) -> WantedPatch {
    WantedPatch {
        build: build.id,
        from: version(from),
        devices,
    }
}

/// Builds 1, 2 and 3, and what leads to the last.
async fn builds(store: &Store) -> [Build; 3] {
    let builds = [
        upload(store, APP, 1).await,
        upload(store, APP, 2).await,
        upload(store, APP, 3).await,
    ];
    let wanted = vec![want(&builds[2], 1, 5), want(&builds[2], 2, 9)];
    assert!(store.want_patches(wanted, u64::MAX).await.unwrap());
    builds
}

async fn claim(store: &Store, holder: &str, lasts: Duration) -> Option<PatchJob> {
    store.claim_patch(holder, lasts).await.unwrap()
}

async fn end(store: &Store, job: &PatchJob, holder: &str, end: PatchEnd) -> bool {
    store
        .end_patch(job.build.id, job.base.id, holder, end)
        .await
        .unwrap()
}

fn made(size: u64, byte: u8) -> PatchEnd {
    PatchEnd::Made {
        size,
        sha256: Sha256([byte; 32]),
        took: Duration::from_millis(1500),
    }
}

async fn states(store: &Store) -> Vec<(i64, PatchState)> {
    let patches = store.patches().await.unwrap();
    patches
        .iter()
        .map(|patch| (patch.from_version.get(), patch.state))
        .collect()
}

async fn epoch(store: &Store) -> i64 {
    store.epochs().await.unwrap().patches
}

async fn the_most_worthwhile_patch_is_made_first_and_by_one(place: &Place) {
    let store = place.store().await;
    assert_eq!(epoch(&store).await, 0);
    assert!(!store.patches_wait().await.unwrap());
    let [_, second, third] = builds(&store).await;
    assert_eq!(epoch(&store).await, 1);
    assert_eq!(
        states(&store).await,
        [(2, PatchState::Wanted), (1, PatchState::Wanted)]
    );
    assert!(store.patches_wait().await.unwrap());
    let again = vec![want(&third, 1, 6), want(&third, 2, 9)];
    assert!(!store.want_patches(again, u64::MAX).await.unwrap());
    assert_eq!(epoch(&store).await, 1, "nothing new is no news");

    let job = claim(&store, "one", LONG).await.unwrap();
    assert_eq!((&job.build, &job.base, job.attempts), (&third, &second, 1));
    let other = claim(&store, "two", LONG).await.unwrap();
    assert_eq!(
        other.base.facts.version_code,
        version(1),
        "each makes another one"
    );
    assert_eq!(claim(&store, "three", LONG).await, None);
    assert!(store.renew_patch(third.id, second.id, "one", LONG).await.unwrap());
    assert!(!store.renew_patch(third.id, second.id, "two", LONG).await.unwrap());
    assert!(!end(&store, &job, "two", made(1, 1)).await);
    let before = epoch(&store).await;
    assert!(end(&store, &job, "one", made(70, 9)).await);
    assert_eq!(epoch(&store).await, before + 1);
    assert!(!end(&store, &job, "one", made(71, 8)).await, "it is made once");
    assert!(
        end(
            &store,
            &other,
            "two",
            PatchEnd::TooLarge {
                size: 4_000,
                took: LONG
            }
        )
        .await
    );
    assert!(!store.patches_wait().await.unwrap());

    let patches = store.patches_of(third.id).await.unwrap();
    let known = &patches[0];
    let expected = Patch {
        package: package(APP),
        build: third.id,
        full_size: third.facts.size,
        base: second.id,
        from_version: version(2),
        base_sha256: second.facts.sha256,
        state: PatchState::Made,
        reason: None,
        devices: 9,
        size: Some(70),
        sha256: Some(Sha256([9; 32])),
        wanted_at: known.wanted_at,
        made_at: known.made_at,
        took: Some(Duration::from_millis(1500)),
        attempts: 1,
    };
    assert_eq!(known, &expected);
    assert!(known.made_at.unwrap() >= known.wanted_at);
    let too_large = &patches[1];
    assert_eq!(
        (too_large.state, too_large.size, too_large.sha256),
        (PatchState::TooLarge, Some(4_000), None)
    );
    assert_eq!(store.patch_file_in_use(Sha256([9; 32])).await, Ok(true));
    assert_eq!(store.patch_file_in_use(Sha256([8; 32])).await, Ok(false));
    assert_eq!(store.patches_of(second.id).await, Ok(vec![]));
    let unknown = store.patches_of(tidegate_domain::BuildId(999)).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}

async fn a_lost_makers_patch_is_taken_over_but_not_for_ever(place: &Place) {
    let store = place.store().await;
    let [first, _, third] = builds(&store).await;
    let only = vec![want(&third, 1, 5)];
    store.want_patches(only, u64::MAX).await.unwrap();
    let lost = claim(&store, "lost", NONE).await.unwrap();
    assert_eq!(lost.base, first);
    let job = claim(&store, "next", LONG).await.unwrap();
    assert_eq!((&job.base, job.attempts), (&first, 2));
    assert!(!end(&store, &lost, "lost", made(1, 1)).await, "too late");
    assert!(end(&store, &job, "next", PatchEnd::GivenBack).await);
    for attempt in 2..=MAX_PATCH_ATTEMPTS {
        let job = claim(&store, "lost", NONE).await.unwrap();
        assert_eq!(job.attempts, attempt, "what was given back is no attempt");
    }
    assert_eq!(claim(&store, "next", LONG).await, None);
    let patches = store.patches().await.unwrap();
    let given_up = patches.iter().find(|patch| patch.base == first.id).unwrap();
    assert_eq!(given_up.state, PatchState::Failed);
    assert!(given_up.reason.as_deref().unwrap().contains("lost"));
    assert!(!store.patches_wait().await.unwrap());
}

async fn a_failed_patch_waits_and_blocks_no_other(place: &Place) {
    let store = place.store().await;
    let [_, second, _] = builds(&store).await;
    let failed = |retry_after| PatchEnd::Failed {
        reason: "no\0 room".to_owned(),
        retry_after,
    };
    let job = claim(&store, "one", LONG).await.unwrap();
    assert_eq!(job.base, second);
    assert!(end(&store, &job, "one", failed(Some(NONE))).await);
    let other = claim(&store, "one", LONG).await.unwrap();
    assert_ne!(other.base, second, "the others come first");
    let again = claim(&store, "one", LONG).await.unwrap();
    assert_eq!((&again.base, again.attempts), (&second, 2));
    assert!(end(&store, &again, "one", failed(Some(LONG))).await);
    assert_eq!(claim(&store, "one", LONG).await, None, "its time has not come");
    assert!(end(&store, &other, "one", failed(None)).await);
    assert_eq!(claim(&store, "one", LONG).await, None, "never");
    let patches = store.patches().await.unwrap();
    assert!(patches.iter().all(|patch| patch.reason.is_some()));
}

async fn what_nobody_wants_goes_after_a_while(place: &Place) {
    let store = place.store().await;
    let [first, second, third] = builds(&store).await;
    let job = claim(&store, "one", LONG).await.unwrap();
    end(&store, &job, "one", made(70, 9)).await;
    let making = claim(&store, "one", LONG).await.unwrap();
    store.want_patches(vec![], u64::MAX).await.unwrap();
    assert_eq!(
        store.stale_patches(LONG).await,
        Ok(vec![]),
        "downloads may be under way"
    );
    let stale = store.stale_patches(NONE).await.unwrap();
    let [stale] = &stale[..] else {
        panic!("one is being made: {stale:?}");
    };
    assert_eq!(
        (stale.build, stale.base, stale.sha256),
        (third.id, second.id, Some(Sha256([9; 32])))
    );
    assert!(
        !store.forget_patch(third.id, first.id).await.unwrap(),
        "one is being made"
    );

    let back = vec![want(&third, 2, 1)];
    assert!(!store.want_patches(back, u64::MAX).await.unwrap());
    assert_eq!(store.stale_patches(NONE).await, Ok(vec![]));
    assert!(
        !store.forget_patch(third.id, second.id).await.unwrap(),
        "it is wanted again"
    );
    store.want_patches(vec![], u64::MAX).await.unwrap();
    let before = epoch(&store).await;
    assert!(store.forget_patch(third.id, second.id).await.unwrap());
    assert_eq!(epoch(&store).await, before + 1);
    assert!(end(&store, &making, "one", made(1, 1)).await);
    assert_eq!(states(&store).await, [(1, PatchState::Made)]);
    assert_eq!(store.stale_patches(NONE).await.unwrap().len(), 1);
}

async fn no_more_are_wanted_than_there_is_room_for(place: &Place) {
    let store = place.store().await;
    let [first, _, third] = builds(&store).await;
    let job = claim(&store, "one", LONG).await.unwrap();
    end(&store, &job, "one", made(70, 9)).await;
    let fourth = upload(&store, APP, 4).await;
    let more = vec![want(&third, 2, 9), want(&fourth, 3, 9)];
    assert!(!store.want_patches(more.clone(), 70).await.unwrap());
    assert!(store.want_patches(more, 71).await.unwrap());
    let elsewhere = upload(&store, "com.example.other", 1).await;
    let strange = vec![want(&elsewhere, 2, 9), want(&fourth, 17, 9), want(&fourth, 4, 9)];
    assert!(
        !store.want_patches(strange, u64::MAX).await.unwrap(),
        "no such base"
    );
    store.want_patches(vec![], u64::MAX).await.unwrap();
    let versions = vec![version(1), version(4), version(17)];
    let kept = store
        .kept_versions(&package(APP), versions.clone())
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    let note = actor("ann").note("ota.delete", format!("package/{APP}"));
    store.delete_build(first.id, note).await.unwrap();
    let kept = store.kept_versions(&package(APP), versions).await.unwrap();
    assert_eq!(kept, [version(4)]);
    let wanted = vec![want(&third, 1, 9), want(&fourth, 1, 9)];
    assert!(
        !store.want_patches(wanted, u64::MAX).await.unwrap(),
        "its file is gone"
    );
    assert_eq!(claim(&store, "one", LONG).await, None);
}

async fn a_build_that_patches_are_made_from_keeps_its_row(place: &Place) {
    let store = place.store().await;
    let [first, _, third] = builds(&store).await;
    let note = || actor("ann").note("ota.delete", format!("package/{APP}"));
    let deleted = store.delete_build(first.id, note()).await.unwrap();
    assert!(!deleted.version_free);
    assert!(store.build_deleted_at(first.id).await.unwrap().is_some());
    store.want_patches(vec![], u64::MAX).await.unwrap();
    for patch in store.patches().await.unwrap() {
        assert!(store.forget_patch(patch.build, patch.base).await.unwrap());
    }
    let deleted = store.delete_build(third.id, note()).await.unwrap();
    assert!(deleted.version_free, "nothing refers to it any more");
}

async fn the_first_word_of_an_attempt_counts(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    place.execute("UPDATE rollouts SET retry_generation = 2").unwrap();
    let devices = enroll_many(&store, 3).await;
    let said = |device: &_, status, attempt, patch, second| NewReport {
        patch: Some(patch),
        attempt: Some(attempt),
        ..proven(
            device,
            rollout,
            tidegate_domain::Report {
                retry_generation: attempt,
                ..report(build.id, status)
            },
            second,
        )
    };
    let sent = |size| NewDownload {
        device: devices[0].clone(),
        build: build.id,
        rollout: Some(rollout),
        sent: Fetched::Patch(size),
        at: at(1),
    };
    assert_eq!(
        store.record_downloads(vec![sent(999), sent(1000)]).await,
        Ok(0),
        "a patch is no file"
    );
    let downloaded = said(&devices[0], ReportStatus::Downloaded, 1, PatchOutcome::Applied, 2);
    let batch = vec![
        downloaded.clone(),
        said(
            &devices[0],
            ReportStatus::InstallSuccess,
            1,
            PatchOutcome::Applied,
            3,
        ),
        said(
            &devices[1],
            ReportStatus::Downloaded,
            1,
            PatchOutcome::BaseDiffers,
            2,
        ),
        proven(
            &devices[2],
            rollout,
            report(build.id, ReportStatus::Downloaded),
            2,
        ),
    ];
    let outcomes = store.record_reports(batch).await.unwrap();
    let saved = build.facts.size - 1000;
    let counted: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            outcome
                .patch
                .map(|counted| (counted.outcome, counted.saved_bytes))
        })
        .collect();
    assert_eq!(
        counted,
        [
            Some((PatchOutcome::Applied, saved)),
            None,
            Some((PatchOutcome::BaseDiffers, 0)),
            None
        ]
    );
    let again = store.record_reports(vec![downloaded]).await.unwrap();
    assert_eq!((again[0].fresh, again[0].patch), (false, None));
    let later = said(&devices[1], ReportStatus::Downloaded, 2, PatchOutcome::Damaged, 9);
    assert!(
        store.record_reports(vec![later]).await.unwrap()[0]
            .patch
            .is_some()
    );

    let stats = store.patch_stats(build.id).await.unwrap();
    let [stats] = &stats[..] else {
        panic!("one rollout: {stats:?}");
    };
    assert_eq!(
        (stats.rollout, stats.saved_bytes, stats.full),
        (rollout, saved, 2)
    );
    assert_eq!(stats.outcomes, [1, 1, 0, 1, 0, 0]);
    assert_eq!(stats.count(PatchOutcome::Damaged), 1);
    let rows = "SELECT count(*) AS value FROM device_patches";
    assert_eq!(place.number(rows), 2);
    let note = actor("ann").note("device.erase", format!("device/{}", devices[0]));
    store
        .erase_device(&device("d-0000"), vec![[1; 32]], note)
        .await
        .unwrap();
    assert_eq!(place.number(rows), 1, "with the device goes what it said");
}

async fn a_patch_that_was_sent_is_what_a_gate_counts(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let sent = |sent| NewDownload {
        device: devices[0].clone(),
        build: build.id,
        rollout: Some(rollout),
        sent,
        at: at(1),
    };
    store
        .record_downloads(vec![sent(Fetched::Patch(5))])
        .await
        .unwrap();
    let size = "SELECT size AS value FROM device_patches WHERE outcome IS NULL";
    assert_eq!(place.number(size), 5);
    assert_eq!(
        store.record_downloads(vec![sent(Fetched::Whole)]).await,
        Ok(1),
        "then the file all the same"
    );
    assert_eq!(store.patch_stats(build.id).await, Ok(vec![]), "nothing was said");
}

async fn a_patch_whose_file_is_lost_is_made_anew(place: &Place) {
    let store = place.store().await;
    let [_, second, third] = builds(&store).await;
    let job = claim(&store, "one", LONG).await.unwrap();
    end(&store, &job, "one", made(70, 9)).await;
    let lose = async |byte| {
        store
            .lose_patch(third.id, second.id, Sha256([byte; 32]))
            .await
            .unwrap()
    };
    assert!(!lose(8).await, "another file");
    let before = epoch(&store).await;
    assert!(lose(9).await);
    assert_eq!(epoch(&store).await, before + 1);
    assert!(!lose(9).await, "once");
    assert_eq!(states(&store).await[0], (2, PatchState::Wanted));
    let again = claim(&store, "one", LONG).await.unwrap();
    assert_eq!((&again.base, again.attempts), (&second, 1));
}
