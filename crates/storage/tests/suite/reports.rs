//! What devices report, and what it counts for.

use chrono::TimeDelta;
use tidegate_domain::{
    BuildId, Consequence, DeploymentStats, REJECTION_COOL_DOWN_HOURS, Rejection, Report, ReportStatus,
};
use tidegate_storage::Refusal;

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, at, device, downloaded, enroll_many, package, promote, promotion, proven, release, report,
    rollout_of, version,
};

on_both_engines!(
    an_update_from_download_to_success,
    the_same_report_counts_once,
    the_same_report_at_once_counts_once,
    failures_that_may_pass_lead_to_a_rest,
    a_failure_that_cannot_pass_rejects_for_good,
    a_later_attempt_begins_anew,
    strangers_are_refused_in_their_place,
    the_servers_own_count_of_downloads,
    rejections_are_asked_for_by_build,
    hostile_texts_do_no_harm,
);

pub(crate) fn failure(build: BuildId, status: i32, try_: &str) -> Report {
    Report {
        android_status: Some(status),
        request_id: Some(try_.into()),
        ..report(build, ReportStatus::InstallFailed)
    }
}

async fn an_update_from_download_to_success(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 2).await;
    let (one, other) = (&devices[0], &devices[1]);
    let deferred = Report {
        reason: Some("battery_low".into()),
        ..report(build.id, ReportStatus::Deferred)
    };
    let outcomes = store
        .record_reports(vec![
            proven(one, rollout, report(build.id, ReportStatus::Downloaded), 1),
            proven(one, rollout, deferred, 2),
            proven(other, rollout, report(build.id, ReportStatus::VerifyFailed), 3),
            proven(one, rollout, failure(build.id, 6, "t1"), 4),
            proven(one, rollout, report(build.id, ReportStatus::InstallSuccess), 5),
        ])
        .await
        .unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.fresh && outcome.refused.is_none())
    );
    let consequences: Vec<_> = outcomes.iter().map(|outcome| outcome.consequence).collect();
    assert_eq!(
        consequences,
        [
            Consequence::None,
            Consequence::None,
            Consequence::Failed,
            Consequence::Failed,
            Consequence::Forgiven
        ]
    );
    let counted = DeploymentStats {
        total_checks: 0,
        total_eligible: 2,
        total_downloads: 1,
        installs_success: 1,
        installs_failed: 1,
        verify_failed: 1,
    };
    assert_eq!(store.stats(build.id).await.unwrap().stats, counted);
    let hours = store.stats_by_hour(build.id, at(0), at(3_600)).await.unwrap();
    assert_eq!(hours[0].stats, counted);

    assert_eq!(
        store.device(one).await.unwrap().installed,
        [(package(APP), version(2))]
    );
    let history = store.device_builds(one).await.unwrap();
    assert_eq!(history[0].history.milestones.downloaded_at, Some(at(1)));
    assert_eq!(history[0].history.milestones.install_failed_at, Some(at(4)));
    assert_eq!(history[0].history.milestones.installed_at, Some(at(5)));
    assert_eq!(
        history[0].history.last.as_ref().unwrap().status,
        ReportStatus::InstallSuccess
    );
    let history = store.device_builds(other).await.unwrap();
    assert_eq!(history[0].history.milestones.verify_failed_at, Some(at(3)));
    assert!(store.device_builds(&device("nobody")).await.is_err());
}

async fn the_same_report_counts_once(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let one = proven(
        &devices[0],
        rollout,
        report(build.id, ReportStatus::InstallFailed),
        1,
    );
    let mut fresh = Vec::new();
    for batch in [vec![one.clone(), one.clone()], vec![one.clone()], vec![one]] {
        let outcomes = store.record_reports(batch).await.unwrap();
        fresh.extend(outcomes.iter().map(|outcome| outcome.fresh));
    }
    assert_eq!(fresh, [true, false, false, false]);
    assert_eq!(store.stats(build.id).await.unwrap().stats.installs_failed, 1);
    assert_eq!(place.number("SELECT count(*) AS value FROM reports"), 1);
}

async fn the_same_report_at_once_counts_once(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let (build, rollout) = release(&stores[0], APP, 2).await;
    let devices = enroll_many(&stores[0], 1).await;
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let store = stores[n % 2].clone();
            let batch = vec![proven(
                &devices[0],
                rollout,
                report(build.id, ReportStatus::InstallSuccess),
                1,
            )];
            tokio::spawn(async move { store.record_reports(batch).await })
        })
        .collect();
    let mut fresh = 0;
    for done in tries {
        fresh += u32::from(done.await.unwrap().unwrap()[0].fresh);
    }
    assert_eq!(fresh, 1);
    assert_eq!(stores[0].stats(build.id).await.unwrap().stats.installs_success, 1);
}

async fn failures_that_may_pass_lead_to_a_rest(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let send = async |try_: &str, second| {
        let batch = vec![proven(&devices[0], rollout, failure(build.id, 6, try_), second)];
        store.record_reports(batch).await.unwrap()[0]
    };
    assert_eq!(send("t1", 1).await.consequence, Consequence::Failed);
    assert_eq!(send("t2", 2).await.consequence, Consequence::Failed);
    assert!(!send("t2", 2).await.fresh, "a repeat is no further failure");
    assert_eq!(store.epochs().await.unwrap().rejections, 0);
    let rest = Rejection {
        retry_generation: 1,
        until: Some(at(3) + TimeDelta::hours(REJECTION_COOL_DOWN_HOURS)),
    };
    assert_eq!(send("t3", 3).await.consequence, Consequence::Rejected(rest));
    assert_eq!(
        store.rejections(vec![build.id]).await,
        Ok(vec![(devices[0].clone(), (build.id, rest))])
    );
    assert_eq!(store.epochs().await.unwrap().rejections, 1);
    assert_eq!(
        send("t3", 3).await.consequence,
        Consequence::Rejected(rest),
        "a repeat hears the same"
    );

    let success = proven(
        &devices[0],
        rollout,
        report(build.id, ReportStatus::InstallSuccess),
        9,
    );
    store.record_reports(vec![success]).await.unwrap();
    assert_eq!(store.rejections(vec![build.id]).await, Ok(vec![]));
    assert_eq!(store.epochs().await.unwrap().rejections, 2);
    assert_eq!(
        send("t4", 10).await.consequence,
        Consequence::Failed,
        "earlier failures are forgotten"
    );
}

async fn a_failure_that_cannot_pass_rejects_for_good(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let good = Rejection {
        retry_generation: 1,
        until: None,
    };
    let mut batch = vec![proven(&devices[0], rollout, failure(build.id, 7, "t0"), 1)];
    // What may pass later does not weaken it.
    batch.extend((1..=3).map(|n| proven(&devices[0], rollout, failure(build.id, 6, &format!("t{n}")), n)));
    let outcomes = store.record_reports(batch).await.unwrap();
    assert_eq!(outcomes[0].consequence, Consequence::Rejected(good));
    assert_eq!(
        store.rejections(vec![build.id]).await,
        Ok(vec![(devices[0].clone(), (build.id, good))])
    );
    let history = store.device_builds(&devices[0]).await.unwrap();
    assert_eq!(history[0].history.rejection, Some(good));
}

async fn a_later_attempt_begins_anew(place: &Place) {
    let store = place.store().await;
    let (build, first) = release(&store, APP, 2).await;
    let mut again = promotion(100);
    again.retry_failed = true;
    let second = rollout_of(&promote(&store, &build, again).await);
    let devices = enroll_many(&store, 1).await;
    let send = async |retry_generation, try_: &str| {
        let rollout = if retry_generation == 1 { first } else { second };
        let report = Report {
            retry_generation,
            ..failure(build.id, 6, try_)
        };
        let batch = vec![proven(&devices[0], rollout, report, 1)];
        store.record_reports(batch).await.unwrap()[0].consequence
    };
    for try_ in ["a", "b"] {
        assert_eq!(send(1, try_).await, Consequence::Failed);
    }
    for try_ in ["c", "d"] {
        assert_eq!(
            send(2, try_).await,
            Consequence::Failed,
            "of the second retry generation"
        );
    }
    assert!(matches!(
        send(2, "e").await,
        Consequence::Rejected(Rejection {
            retry_generation: 2,
            ..
        })
    ));
    assert!(
        matches!(
            send(1, "late").await,
            Consequence::Rejected(Rejection {
                retry_generation: 2,
                ..
            })
        ),
        "an old generation's straggler hears of the rejection that stands"
    );
    let (_, (_, rejection)) = store.rejections(vec![build.id]).await.unwrap()[0];
    assert_eq!(rejection.retry_generation, 2);
}

async fn strangers_are_refused_in_their_place(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let word = |device: &_, build| proven(device, rollout, report(build, ReportStatus::Downloaded), 1);
    let outcomes = store
        .record_reports(vec![
            word(&device("nobody"), build.id),
            word(&devices[0], BuildId(99)),
            word(&devices[0], build.id),
        ])
        .await
        .unwrap();
    let refused: Vec<_> = outcomes.iter().map(|outcome| outcome.refused).collect();
    assert_eq!(
        refused,
        [Some(Refusal::UnknownDevice), Some(Refusal::UnknownBuild), None]
    );
    assert_eq!(store.stats(build.id).await.unwrap().stats.total_downloads, 1);
    assert_eq!(store.record_reports(vec![]).await, Ok(vec![]));
}

async fn the_servers_own_count_of_downloads(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 2).await;
    let sent = vec![
        downloaded(&devices[0], build.id, rollout, 1),
        downloaded(&devices[0], build.id, rollout, 2),
        downloaded(&device("nobody"), build.id, rollout, 2),
        downloaded(&devices[1], BuildId(99), rollout, 2),
    ];
    assert_eq!(store.record_downloads(sent.clone()).await, Ok(1));
    assert_eq!(store.record_downloads(sent).await, Ok(0));
    let own_word = vec![proven(
        &devices[0],
        rollout,
        report(build.id, ReportStatus::Downloaded),
        3,
    )];
    assert!(store.record_reports(own_word).await.unwrap()[0].fresh);
    let stats = store.stats(build.id).await.unwrap().stats;
    assert_eq!(
        (stats.total_downloads, stats.total_eligible),
        (1, 1),
        "however it is known"
    );
}

async fn rejections_are_asked_for_by_build(place: &Place) {
    let store = place.store().await;
    let (old, first) = release(&store, APP, 1).await;
    let (new, second) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let batch = [(&old, first), (&new, second)]
        .map(|(build, rollout)| proven(&devices[0], rollout, failure(build.id, 5, "t"), 1));
    store.record_reports(batch.to_vec()).await.unwrap();
    let given_up = async |builds: Vec<BuildId>| -> Vec<BuildId> {
        let rejections = store.rejections(builds).await.unwrap();
        rejections.iter().map(|(_, (build, _))| *build).collect()
    };
    assert_eq!(given_up(vec![old.id]).await, [old.id]);
    assert_eq!(given_up(vec![new.id]).await, [new.id]);
    assert_eq!(given_up(vec![]).await, []);
}

async fn hostile_texts_do_no_harm(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let hostile = "'; DROP TABLE reports; -- \0 \u{1F4A5} \" \\ $1 \u{202e}";
    let report = Report {
        reason: Some(hostile.into()),
        message: Some(hostile.into()),
        request_id: Some(hostile.into()),
        ..report(build.id, ReportStatus::Deferred)
    };
    let batch = vec![proven(&devices[0], rollout, report, 1)];
    assert!(store.record_reports(batch.clone()).await.unwrap()[0].fresh);
    assert!(!store.record_reports(batch).await.unwrap()[0].fresh);
    let history = store.device_builds(&devices[0]).await.unwrap();
    assert_eq!(
        history[0].history.last.as_ref().unwrap().reason.as_deref(),
        Some(hostile.replace('\0', "\u{fffd}").as_str())
    );
}
