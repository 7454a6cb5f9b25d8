//! What other servers hear of: rejections and revocations after an epoch.

use std::collections::BTreeSet;

use tidegate_domain::{BuildId, DeviceFacts, DeviceId, Rejection, ReportStatus, RolloutId};
use tidegate_storage::{EnrollCredential, Epochs, Error, RejectionChange, Seen, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::reports::failure;
use crate::samples::{
    APP, TOKEN, actor, at, device, enroll_many, enrollment, issue_taking, issue_token, poll, proven, release,
    report, seen,
};

on_both_engines!(
    rejections_are_told_since_an_epoch,
    revocations_are_told_since_an_epoch,
    changes_at_once_are_all_told,
    another_installation_of_android_begins_anew,
    an_operator_gives_another_try,
);

const FOR_GOOD: Rejection = Rejection {
    retry_generation: 1,
    until: None,
};

async fn reject(store: &Store, id: &DeviceId, build: BuildId, rollout: RolloutId) {
    let word = proven(id, rollout, failure(build, 4, "t"), 1);
    store.record_reports(vec![word]).await.unwrap();
}

/// By device and build.
async fn since(store: &Store, epoch: i64) -> Vec<RejectionChange> {
    let mut changes = store.rejections_since(epoch).await.unwrap();
    changes.sort_by_key(|(id, build, _)| (id.clone(), *build));
    changes
}

async fn epoch(store: &Store) -> i64 {
    store.epochs().await.unwrap().rejections
}

async fn rejections_are_told_since_an_epoch(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let ids = enroll_many(&store, 3).await;
    let given_up = |n: usize| (ids[n].clone(), build.id, Some(FOR_GOOD));
    assert_eq!(since(&store, 0).await, []);
    reject(&store, &ids[0], build.id, rollout).await;
    let first = epoch(&store).await;
    reject(&store, &ids[1], build.id, rollout).await;
    let second = epoch(&store).await;
    assert_eq!(since(&store, 0).await, [given_up(0), given_up(1)]);
    assert_eq!(since(&store, -9).await, [given_up(0), given_up(1)]);
    assert_eq!(since(&store, first).await, [given_up(1)]);
    assert_eq!(since(&store, second).await, []);

    let passing = proven(&ids[2], rollout, failure(build.id, 6, "t"), 2);
    store.record_reports(vec![passing]).await.unwrap();
    assert_eq!(
        epoch(&store).await,
        second,
        "a failure alone is no news to others"
    );
    let success = proven(
        &ids[0],
        rollout,
        report(build.id, ReportStatus::InstallSuccess),
        3,
    );
    store.record_reports(vec![success]).await.unwrap();
    let forgiven = (ids[0].clone(), build.id, None);
    assert_eq!(since(&store, second).await, std::slice::from_ref(&forgiven));
    assert_eq!(since(&store, 0).await, [forgiven, given_up(1)], "as they stand");
}

async fn revocations_are_told_since_an_epoch(place: &Place) {
    let store = place.store().await;
    let ids = enroll_many(&store, 3).await;
    let tokens = async || store.epochs().await.unwrap().tokens;
    let revoke = async |n: usize| {
        let note = actor("ann").note("device.revoke", "device");
        store.revoke(&ids[n], note).await.unwrap();
        tokens().await
    };
    assert_eq!(
        store.revoked_since(-9).await,
        Ok(vec![]),
        "those that never were are not told"
    );
    let first = revoke(0).await;
    let second = revoke(1).await;
    assert_eq!(store.revoked_since(first).await, Ok(vec![(ids[1].clone(), 2)]));
    assert_eq!(store.revoked_since(second).await, Ok(vec![]));
    let third = revoke(0).await;
    assert_eq!(store.revoked_since(second).await, Ok(vec![(ids[0].clone(), 3)]));
    assert_eq!(store.revoked_since(third).await, Ok(vec![]));
    assert_eq!(store.revoked_since(0).await.unwrap().len(), 2);
}

/// A server that asks as gateways do: the epoch first, then what changed since the one it knew.
async fn follow(store: Store, expected: usize) -> (BTreeSet<DeviceId>, BTreeSet<DeviceId>) {
    let (mut rejected, mut revoked) = (BTreeSet::new(), BTreeSet::new());
    let mut known = Epochs::default();
    for _ in 0..2_000 {
        let now = store.epochs().await.unwrap();
        if now == known {
            if rejected.len() + revoked.len() >= 2 * expected {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            continue;
        }
        let changes = store.rejections_since(known.rejections).await.unwrap();
        rejected.extend(changes.into_iter().map(|(id, _, _)| id));
        let changes = store.revoked_since(known.tokens).await.unwrap();
        revoked.extend(changes.into_iter().map(|(id, _)| id));
        known = now;
    }
    (rejected, revoked)
}

async fn changes_at_once_are_all_told(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let (build, rollout) = release(&stores[0], APP, 2).await;
    let ids = enroll_many(&stores[0], 40).await;
    let follower = tokio::spawn(follow(place.store().await, ids.len()));
    let writers: Vec<_> = ids
        .chunks(5)
        .enumerate()
        .map(|(n, ids)| {
            let (store, ids, build) = (stores[n % 2].clone(), ids.to_vec(), build.id);
            tokio::spawn(async move {
                for id in ids {
                    reject(&store, &id, build, rollout).await;
                    let note = actor("ann").note("device.revoke", "device");
                    store.revoke(&id, note).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let (rejected, revoked) = follower.await.unwrap();
    let all: BTreeSet<DeviceId> = ids.into_iter().collect();
    assert_eq!(rejected, all, "none was missed");
    assert_eq!(revoked, all, "none was missed");
}

async fn another_installation_of_android_begins_anew(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 5).await;
    issue_taking(&store, [8; 32], 5).await;
    let (build, rollout) = release(&store, APP, 2).await;
    let id = device("a");
    let mut first = enrollment("a");
    first.key_hash = Some([1; 32]);
    store.enroll(first.clone()).await.unwrap();
    let facts = DeviceFacts {
        region: Some("eu".into()),
        ..DeviceFacts::default()
    };
    let said = Seen {
        facts: facts.clone(),
        ..seen(&id, 1, 1)
    };
    poll(&store, vec![said]).await;
    reject(&store, &id, build.id, rollout).await;

    let before = store.epochs().await.unwrap();
    store.enroll(first).await.unwrap();
    assert_eq!(
        store.epochs().await.unwrap(),
        before,
        "a repeated enrolment is no news"
    );
    assert_eq!(store.rejections(vec![build.id]).await.unwrap().len(), 1);
    assert_eq!(store.device(&id).await.unwrap().polled, Some(facts));

    let mut fresh = enrollment("a");
    fresh.credential = EnrollCredential::Token([8; 32]);
    fresh.key_hash = Some([2; 32]);
    store.enroll(fresh.clone()).await.unwrap();
    assert_eq!(store.rejections(vec![build.id]).await, Ok(vec![]));
    assert_eq!(
        since(&store, before.rejections).await,
        [(id.clone(), build.id, None)]
    );
    assert_eq!(
        store.revoked_since(before.tokens).await,
        Ok(vec![(id.clone(), 2)])
    );
    assert_eq!(store.device(&id).await.unwrap().polled, None);

    let before = store.epochs().await.unwrap();
    reject_again(&store, &id, build.id, rollout).await;
    store.enroll(fresh).await.unwrap();
    assert_eq!(store.rejections(vec![build.id]).await.unwrap().len(), 1);
    assert_eq!(epoch(&store).await, before.rejections + 1, "by the report alone");
}

async fn reject_again(store: &Store, id: &DeviceId, build: BuildId, rollout: RolloutId) {
    let word = proven(id, rollout, failure(build, 4, "again"), 9);
    store.record_reports(vec![word]).await.unwrap();
}

async fn an_operator_gives_another_try(place: &Place) {
    let store = place.store().await;
    let (one, first) = release(&store, APP, 1).await;
    let (other, second) = release(&store, APP, 2).await;
    let (third, last) = release(&store, APP, 3).await;
    let ids = enroll_many(&store, 2).await;
    let id = &ids[0];
    for (build, rollout) in [(&one, first), (&other, second), (&third, last)] {
        reject(&store, id, build.id, rollout).await;
        reject(&store, &ids[1], build.id, rollout).await;
    }
    let entries = async || store.verify_audit().await.unwrap().unwrap();
    let forget = async |build| {
        let note = actor("ann").note("device.retry", "device/d-0000");
        store.forget_rejections(id, build, note).await
    };
    let (before, begun) = (entries().await, epoch(&store).await);
    assert_eq!(forget(Some(one.id)).await, Ok(1));
    assert_eq!(entries().await, before + 1);
    let lifted = |build: &tidegate_domain::Build| (id.clone(), build.id, Some(Rejection::lifted(at(0))));
    assert_eq!(since(&store, begun).await, [lifted(&one)]);
    let history = store.device_builds(id).await.unwrap();
    assert_eq!(history[2].history.failures, 0);
    assert_eq!(history[1].history.rejection, Some(FOR_GOOD));

    let told = epoch(&store).await;
    assert_eq!(forget(Some(one.id)).await, Ok(0), "it is forgotten already");
    assert_eq!(forget(Some(BuildId(99))).await, Ok(0));
    assert_eq!(
        (entries().await, epoch(&store).await),
        (before + 1, told),
        "nothing was done"
    );

    assert_eq!(forget(None).await, Ok(2));
    assert_eq!(entries().await, before + 2, "one entry for all");
    assert_eq!(since(&store, told).await, [lifted(&other), lifted(&third)]);
    let others = store.device_builds(&ids[1]).await.unwrap();
    assert!(others.iter().all(|of| of.history.rejection == Some(FOR_GOOD)));
    let note = actor("ann").note("device.retry", "device/nobody");
    let nobody = store.forget_rejections(&device("nobody"), None, note).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })), "{nobody:?}");
}
