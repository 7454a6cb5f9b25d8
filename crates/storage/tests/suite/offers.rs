//! Which rollout a report counts for, and what each rollout of a build did.

use tidegate_domain::{Build, BuildId, DeploymentStats, Report, ReportStatus, RolloutId};
use tidegate_storage::{Activity, Checks, NewDownload, NewReport, Refusal, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::reports::failure;
use crate::samples::{
    APP, at, device, downloaded, enroll_many, offered, poll, promote, promotion, proven, release, report,
    rollout_of, unproven,
};

on_both_engines!(
    two_rollouts_of_a_build_count_apart,
    a_report_without_proof_counts_for_the_last_offer,
    the_last_offer_of_a_batch_is_its_youngest,
    what_no_offer_stands_for_leaves_nothing,
    an_attempt_above_the_rollouts_blocks_nothing,
    the_last_change_of_statistics_never_goes_back,
);

/// A second rollout of a build: devices that gave it up try again.
async fn release_anew(store: &Store, build: &Build) -> RolloutId {
    let mut again = promotion(100);
    again.retry_failed = true;
    rollout_of(&promote(store, build, again).await)
}

/// What each rollout did, newest first.
async fn by_rollout(store: &Store, build: BuildId) -> Vec<(RolloutId, DeploymentStats)> {
    let stats = store.rollout_stats(build).await.unwrap();
    stats.iter().map(|of| (of.rollout, of.stats)).collect()
}

fn failed(build: BuildId, retry_generation: u32, reason: &str) -> Report {
    Report {
        retry_generation,
        reason: Some(reason.into()),
        ..report(build, ReportStatus::InstallFailed)
    }
}

async fn two_rollouts_of_a_build_count_apart(place: &Place) {
    let store = place.store().await;
    let (build, first) = release(&store, APP, 2).await;
    let second = release_anew(&store, &build).await;
    let devices = enroll_many(&store, 2).await;
    let (both, late) = (&devices[0], &devices[1]);
    let checks = |rollout, second, count| Checks {
        rollout,
        build: build.id,
        at: at(second),
        count,
    };
    let batch = Activity {
        seen: vec![
            offered(both, 1, first, build.id),
            offered(both, 2, second, build.id),
            offered(late, 3_700, second, build.id),
        ],
        checks: vec![
            checks(first, 1, 5),
            checks(second, 1, 2),
            checks(second, 3_700, 1),
        ],
    };
    assert_eq!(store.record_activity(batch).await.unwrap().new_offers, 2);
    let success = |retry_generation| Report {
        retry_generation,
        ..report(build.id, ReportStatus::InstallSuccess)
    };
    let batch = vec![
        proven(both, first, failed(build.id, 1, "storage_low"), 10),
        proven(both, second, failed(build.id, 2, "in_call"), 20),
        proven(both, second, success(2), 30),
        proven(late, second, failed(build.id, 2, "storage_low"), 3_700),
    ];
    let outcomes = store.record_reports(batch).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.fresh), "{outcomes:?}");

    let counted = |total_checks, total_eligible, installs_success, installs_failed| DeploymentStats {
        total_checks,
        total_eligible,
        installs_success,
        installs_failed,
        ..DeploymentStats::default()
    };
    assert_eq!(
        by_rollout(&store, build.id).await,
        [(second, counted(3, 2, 1, 2)), (first, counted(5, 1, 0, 1))]
    );
    let of_build = store.stats(build.id).await.unwrap().stats;
    assert_eq!(of_build, counted(8, 2, 1, 2), "each device once");
    let hours = store.stats_by_hour(build.id, at(0), at(7_200)).await.unwrap();
    let hours: Vec<_> = hours.iter().map(|hour| hour.stats).collect();
    assert_eq!(hours, [counted(7, 1, 1, 1), counted(1, 1, 0, 1)]);
    let hours = place.texts(
        "SELECT r.rollout_id || ': ' || r.total_checks || ' ' || r.total_eligible || ' ' || r.installs_failed AS value
         FROM rollout_stat_hours r ORDER BY r.rollout_id, r.hour_at",
    );
    assert_eq!(
        hours,
        [
            format!("{first}: 5 1 1"),
            format!("{second}: 2 1 1"),
            format!("{second}: 1 1 1")
        ]
    );
    let reasons = store.reasons(build.id).await.unwrap();
    let reasons: Vec<_> = reasons.iter().map(|r| (r.reason.as_deref(), r.reports)).collect();
    assert_eq!(reasons, [(Some("storage_low"), 2), (Some("in_call"), 1)]);
    let reasons = place.texts(
        "SELECT rollout_id || ' ' || reason || ' ' || reports AS value FROM rollout_reasons ORDER BY rollout_id, reason",
    );
    assert_eq!(
        reasons,
        [
            format!("{first} storage_low 1"),
            format!("{second} in_call 1"),
            format!("{second} storage_low 1")
        ]
    );

    let met = store.device_rollouts(both).await.unwrap();
    let met: Vec<_> = met
        .iter()
        .map(|of| {
            let last = of.last.as_ref().unwrap().status;
            let (offered, failed) = (of.milestones.offered_at, of.milestones.install_failed_at);
            (of.rollout, of.build, offered, failed, last)
        })
        .collect();
    assert_eq!(
        met,
        [
            (
                second,
                build.id,
                Some(at(2)),
                Some(at(20)),
                ReportStatus::InstallSuccess
            ),
            (
                first,
                build.id,
                Some(at(1)),
                Some(at(10)),
                ReportStatus::InstallFailed
            ),
        ]
    );
    let history = &store.device_builds(both).await.unwrap()[0].history;
    assert_eq!(history.milestones.offered_at, Some(at(1)));
    assert_eq!(
        history.milestones.install_failed_at,
        Some(at(10)),
        "the first time"
    );
    assert!(store.device_rollouts(&device("nobody")).await.is_err());
}

async fn a_report_without_proof_counts_for_the_last_offer(place: &Place) {
    let store = place.store().await;
    let (build, first) = release(&store, APP, 2).await;
    let second = release_anew(&store, &build).await;
    let devices = enroll_many(&store, 2).await;
    for (n, rollout) in [(1, first), (2, second)] {
        poll(&store, vec![offered(&devices[0], n, rollout, build.id)]).await;
    }
    let word = unproven(&devices[0], report(build.id, ReportStatus::InstallSuccess), 10);
    let file = NewDownload {
        rollout: None,
        ..downloaded(&devices[0], build.id, first, 9)
    };
    assert_eq!(store.record_downloads(vec![file]).await, Ok(1));
    assert!(store.record_reports(vec![word]).await.unwrap()[0].fresh);
    let counted: Vec<_> = by_rollout(&store, build.id)
        .await
        .into_iter()
        .map(|(rollout, stats)| (rollout, stats.total_downloads, stats.installs_success))
        .collect();
    assert_eq!(counted, [(second, 1, 1), (first, 0, 0)]);
}

async fn the_last_offer_of_a_batch_is_its_youngest(place: &Place) {
    let store = place.store().await;
    let (build, first) = release(&store, APP, 2).await;
    let second = release_anew(&store, &build).await;
    let devices = enroll_many(&store, 1).await;
    let polls = [(3, first), (1, first), (2, second)];
    let polls = polls.map(|(second, rollout)| offered(&devices[0], second, rollout, build.id));
    poll(&store, polls.to_vec()).await;
    let word = unproven(&devices[0], report(build.id, ReportStatus::Downloaded), 10);
    store.record_reports(vec![word]).await.unwrap();
    let downloads: Vec<_> = by_rollout(&store, build.id)
        .await
        .into_iter()
        .map(|(rollout, stats)| (rollout, stats.total_downloads))
        .collect();
    assert_eq!(downloads, [(second, 0), (first, 1)]);
    let history = &store.device_builds(&devices[0]).await.unwrap()[0].history;
    assert_eq!(history.milestones.offered_at, Some(at(1)));
}

async fn what_no_offer_stands_for_leaves_nothing(place: &Place) {
    let store = place.store().await;
    let (build, _) = release(&store, APP, 2).await;
    let (_, foreign) = release(&store, "com.example.other", 1).await;
    let devices = enroll_many(&store, 1).await;
    let one = &devices[0];
    let success = report(build.id, ReportStatus::InstallSuccess);
    let batch = vec![
        unproven(one, success.clone(), 1),
        unproven(one, failure(build.id, 4, "t"), 1),
        proven(one, foreign, success.clone(), 1),
        proven(one, RolloutId(99), success, 1),
    ];
    for outcome in store.record_reports(batch).await.unwrap() {
        assert_eq!(
            (outcome.fresh, outcome.refused),
            (false, Some(Refusal::NotOffered))
        );
    }
    let file = NewDownload {
        rollout: None,
        ..downloaded(one, build.id, foreign, 1)
    };
    let foreign = downloaded(one, build.id, foreign, 1);
    assert_eq!(store.record_downloads(vec![file, foreign]).await, Ok(0));
    for table in [
        "reports",
        "device_builds",
        "device_rollouts",
        "rollout_reasons",
        "rollout_stats",
    ] {
        let count = place.number(&format!("SELECT count(*) AS value FROM {table}"));
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(store.stats(build.id).await, Ok(Default::default()));
    assert_eq!(store.device(one).await.unwrap().installed, []);
    assert_eq!(store.epochs().await.unwrap().rejections, 0);
}

async fn an_attempt_above_the_rollouts_blocks_nothing(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 2).await;
    let one = &devices[0];
    let forged = |attempt| NewReport {
        attempt: Some(attempt),
        ..proven(one, rollout, failure(build.id, 4, "t"), 1)
    };
    for attempt in [2, u32::MAX] {
        let outcome = store.record_reports(vec![forged(attempt)]).await.unwrap()[0];
        assert_eq!(outcome.refused, Some(Refusal::AttemptTooHigh));
    }
    assert_eq!(store.rejections(vec![build.id]).await, Ok(vec![]));
    assert_eq!(store.stats(build.id).await, Ok(Default::default()));
    assert_eq!(place.number("SELECT count(*) AS value FROM reports"), 0);

    let silent = NewReport {
        attempt: None,
        ..forged(1)
    };
    let earlier = NewReport {
        device: devices[1].clone(),
        ..forged(0)
    };
    for taken in store.record_reports(vec![silent, earlier]).await.unwrap() {
        assert!(taken.fresh, "{taken:?}");
    }
    let given_up = store.rejections(vec![build.id]).await.unwrap();
    let generations: Vec<u32> = given_up
        .iter()
        .map(|(_, (_, rejection))| rejection.retry_generation)
        .collect();
    assert!(
        generations.contains(&1),
        "who states none has the rollout's: {generations:?}"
    );
}

async fn the_last_change_of_statistics_never_goes_back(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 2).await;
    let updated = async || {
        let of_build = store.stats(build.id).await.unwrap().last_updated;
        let of_rollout = store.rollout_stats(build.id).await.unwrap();
        (of_build, of_rollout.first().and_then(|of| of.last_updated))
    };
    assert_eq!(updated().await, (None, None));
    let word = |n: usize, second| {
        let batch = vec![proven(
            &devices[n],
            rollout,
            report(build.id, ReportStatus::Downloaded),
            second,
        )];
        store.record_reports(batch)
    };
    word(0, 100).await.unwrap();
    assert_eq!(updated().await, (Some(at(100)), Some(at(100))));
    word(1, 50).await.unwrap();
    assert_eq!(
        updated().await,
        (Some(at(100)), Some(at(100))),
        "it waited in a queue"
    );
    let checks = Checks {
        rollout,
        build: build.id,
        at: at(200),
        count: 1,
    };
    let batch = Activity {
        seen: vec![],
        checks: vec![checks],
    };
    store.record_activity(batch).await.unwrap();
    assert_eq!(updated().await, (Some(at(200)), Some(at(200))));
}
