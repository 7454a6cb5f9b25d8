//! Changing a package's track of releases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_domain::{Build, By, Error as Rule, RolloutId, RolloutState};
use tidegate_storage::{Error, Page, RolloutFilter};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, all, at, package, promote, promotion, release, rollout_of, upload};

on_both_engines!(
    an_operators_day,
    a_rule_that_refuses_writes_nothing,
    a_change_that_changes_nothing_writes_nothing,
    a_kept_rollout_serves_beside_the_new_one,
    a_build_released_anew_counts_its_attempts,
    promotions_at_once_leave_one_current,
    the_database_itself_refuses_a_second_current,
    another_packages_build_cannot_be_released,
    a_builds_last_rollout_is_the_one_that_serves,
);

async fn an_operators_day(place: &Place) {
    let store = place.store().await;
    let old = upload(&store, APP, 1).await;
    let new = upload(&store, APP, 2).await;
    let first = promote(&store, &old, promotion(100)).await;
    let second = promote(&store, &new, promotion(10)).await;
    assert_eq!(
        second.before.current().unwrap().rollout,
        first.inserted[0].clone(),
        "what comes back is what was written"
    );

    let by = || By {
        on_behalf_of: None,
        actor: "ann",
        now: at(60),
    };
    let back = store
        .change_track(package(APP), actor("ann"), move |track, _| {
            track.roll_back(false, by())
        })
        .await
        .unwrap();
    let inserted = back.inserted[0].clone();
    assert_eq!(inserted.spec.build, old.id);
    assert_eq!(inserted.spec.rolled_back_from, Some(new.id));

    let history = all(2, |page| store.rollouts(RolloutFilter::default(), page)).await;
    let states: Vec<RolloutState> = history.iter().map(|rollout| rollout.spec.state).collect();
    assert_eq!(
        states,
        [
            RolloutState::Active,
            RolloutState::RolledBack,
            RolloutState::Superseded
        ]
    );
    let of_new = RolloutFilter {
        state: None,
        package: Some(package(APP)),
        build: Some(new.id),
    };
    assert_eq!(
        store.rollouts(of_new, Page::default()).await.unwrap().items.len(),
        1
    );

    let log = store.audit(Default::default(), Page::default()).await.unwrap();
    let entry = &log.items[0];
    assert_eq!(
        (entry.actor.as_str(), entry.action.as_str(), entry.target.as_str()),
        ("ann", "ota.rollback", "package/com.example.app")
    );
    assert_eq!(entry.before.as_ref().unwrap()["build_id"], new.id.0);
    assert_eq!(entry.after.as_ref().unwrap()["build_id"], old.id.0);
    assert_eq!(store.verify_audit().await, Ok(Ok(5)));
    assert_eq!(store.epochs().await.unwrap().catalog, 5);
}

async fn a_rule_that_refuses_writes_nothing(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    promote(&store, &build, promotion(100)).await;
    let before = store.track(&package(APP)).await.unwrap();
    let epochs = store.epochs().await.unwrap();
    let by = By {
        on_behalf_of: None,
        actor: "ann",
        now: at(0),
    };
    let refused = store
        .change_track(package(APP), actor("ann"), move |track, _| {
            track.roll_back(false, by)
        })
        .await;
    assert!(matches!(refused, Err(Error::Rule(Rule::NoPredecessor { .. }))));
    let unknown = store
        .change_track(package("com.example.none"), actor("ann"), move |track, _| {
            track.roll_back(false, by)
        })
        .await;
    assert!(matches!(unknown, Err(Error::Rule(Rule::NoCurrentBuild { .. }))));
    assert_eq!(store.track(&package(APP)).await.unwrap(), before);
    assert_eq!(store.epochs().await.unwrap(), epochs);
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
}

async fn a_change_that_changes_nothing_writes_nothing(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    promote(&store, &build, promotion(100)).await;
    let again = promote(&store, &build, promotion(100)).await;
    assert!(again.change.is_empty());
    assert!(again.inserted.is_empty());
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
}

async fn a_kept_rollout_serves_beside_the_new_one(place: &Place) {
    let store = place.store().await;
    let mut builds = Vec::new();
    for code in 1..=3 {
        let build = upload(&store, APP, code).await;
        let mut keeping = promotion(10);
        keeping.keep_previous = true;
        keeping.settings.salt = Some("spring".into());
        keeping.settings.audience = crate::samples::of_region("eu");
        promote(&store, &build, keeping).await;
        builds.push(build.id);
    }
    let track = store.track(&package(APP)).await.unwrap();
    let serving: Vec<_> = track.serving.iter().map(|release| release.build.id).collect();
    assert_eq!(serving, [builds[2], builds[1], builds[0]]);
    assert_eq!(track.predecessor.unwrap().build.id, builds[1]);
    assert_eq!(
        track.serving[2].rollout.spec.settings.audience,
        crate::samples::of_region("eu")
    );
    assert_eq!(
        track.serving[2].rollout.spec.settings.salt.as_deref(),
        Some("spring")
    );
}

async fn a_build_released_anew_counts_its_attempts(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let mut again = promotion(100);
    again.retry_failed = true;
    let attempts = [
        promote(&store, &build, promotion(50)).await,
        promote(&store, &build, again.clone()).await,
        promote(&store, &build, again).await,
    ]
    .map(|change| change.inserted[0].spec.retry_generation);
    assert_eq!(attempts, [1, 2, 3]);
}

async fn promotions_at_once_leave_one_current(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let mut builds = Vec::new();
    for code in 1..=8 {
        builds.push(upload(&stores[0], APP, code).await);
    }
    let asked = Arc::new(AtomicU32::new(0));
    let promotions: Vec<_> = builds
        .into_iter()
        .enumerate()
        .map(|(n, build)| {
            let store = stores[n % 2].clone();
            let asked = asked.clone();
            tokio::spawn(async move {
                asked.fetch_add(1, Ordering::Relaxed);
                promote(&store, &build, promotion(100)).await
            })
        })
        .collect();
    for promotion in promotions {
        promotion.await.unwrap();
    }
    let history = all(100, |page| stores[0].rollouts(RolloutFilter::default(), page)).await;
    assert_eq!(history.len(), 8);
    let current: Vec<_> = history.iter().filter(|rollout| rollout.spec.is_current).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0].id, history[0].id, "the last one is it");
    for pair in history.windows(2) {
        assert_eq!(pair[0].spec.previous, Some(pair[1].id), "each saw the one before");
    }
    assert_eq!(stores[1].verify_audit().await, Ok(Ok(16)));
}

async fn the_database_itself_refuses_a_second_current(place: &Place) {
    let store = place.store().await;
    let old = upload(&store, APP, 1).await;
    let new = upload(&store, APP, 2).await;
    promote(&store, &old, promotion(100)).await;
    promote(&store, &new, promotion(100)).await;
    let second = place.execute("UPDATE rollouts SET is_current = TRUE, serving = TRUE, state = 'active'");
    let fault = second.unwrap_err();
    assert!(fault.to_lowercase().contains("unique"), "{fault}");
    for (lie, sql) in [
        (
            "an ended one that serves",
            "UPDATE rollouts SET serving = TRUE WHERE state = 'superseded'",
        ),
        (
            "an ended one that is current",
            "UPDATE rollouts SET state = 'rolled_back', serving = FALSE WHERE is_current",
        ),
        ("a state that is none", "UPDATE rollouts SET state = 'sleeping'"),
        (
            "more than everybody",
            "UPDATE rollouts SET percent_hundredths = 10001",
        ),
    ] {
        let fault = place.execute(sql).expect_err(lie);
        assert!(fault.to_lowercase().contains("check"), "{lie}: {fault}");
    }
}

async fn another_packages_build_cannot_be_released(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let foreign = upload(&store, "com.example.other", 1).await;
    let refused = store
        .change_track(package(APP), actor("ann"), move |track, attempts| {
            let by = By {
                on_behalf_of: None,
                actor: "ann",
                now: at(0),
            };
            track.promote(&foreign, &promotion(100), attempts.of(foreign.id), by)
        })
        .await;
    assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    assert_eq!(store.track(&package(APP)).await.unwrap().serving, vec![]);
}

async fn a_builds_last_rollout_is_the_one_that_serves(place: &Place) {
    let store = place.store().await;
    let (one, first) = release(&store, APP, 1).await;
    let (other, second) = release(&store, APP, 2).await;
    let unreleased = upload(&store, APP, 3).await;
    let ids = vec![one.id, other.id, unreleased.id];
    let last = async |build: &Build| {
        let found = store.last_rollouts(ids.clone()).await.unwrap();
        found
            .get(&build.id)
            .map(|last| (last.rollout.id, last.previous_build))
    };
    assert_eq!(last(&one).await, Some((first, None)), "though it ended");
    assert_eq!(last(&other).await, Some((second, Some(one.id))));
    assert_eq!(last(&unreleased).await, None);

    let mut again = promotion(100);
    again.retry_failed = true;
    let third = rollout_of(&promote(&store, &other, again).await);
    assert_eq!(last(&other).await.unwrap().0, third, "the newest");
    let set = |rollout: RolloutId, state: &str, serves: bool, is_current: bool| {
        let sql = format!(
            "UPDATE rollouts SET state = '{state}', serving = {serves}, is_current = {is_current}
             WHERE id = {rollout}"
        );
        place.execute(&sql).unwrap();
    };
    set(third, "superseded", false, false);
    set(second, "active", true, false);
    assert_eq!(
        last(&other).await.unwrap().0,
        second,
        "what serves before what ended"
    );
    set(third, "active", true, false);
    assert_eq!(
        last(&other).await.unwrap().0,
        third,
        "of those that serve the newest"
    );
    set(second, "active", true, true);
    assert_eq!(
        last(&other).await.unwrap().0,
        second,
        "the current one before others"
    );
}
