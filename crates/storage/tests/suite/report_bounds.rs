//! How much of one device's word about one build is kept, and that no amount of it drowns an outcome.

use tidegate_domain::{BuildId, DeploymentStats, DeviceId, Report, ReportStatus};
use tidegate_storage::{MAX_NEWS_PER_BUILD, MAX_REPORTS_PER_BUILD, Refusal, ReportOutcome, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::reports::failure;
use crate::samples::{APP, at, enroll_many, report, upload};

on_both_engines!(
    reports_are_bounded,
    an_outcome_is_taken_after_any_number_of_words,
    outcomes_are_taken_one_by_one_as_well,
    news_are_bounded_too,
);

async fn reports_are_bounded(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let bound = usize::try_from(MAX_REPORTS_PER_BUILD).unwrap();
    let flood: Vec<_> = (0..bound + 3)
        .map(|n| (devices[0].clone(), failure(build.id, 6, &format!("t{n}")), at(1)))
        .collect();
    let outcomes = store.record_reports(flood.clone()).await.unwrap();
    assert!(outcomes[..bound].iter().all(|outcome| outcome.fresh));
    assert!(
        outcomes[bound..]
            .iter()
            .all(|outcome| outcome.refused == Some(Refusal::TooMany))
    );
    let again = store.record_reports(flood).await.unwrap();
    assert_eq!(again[0].refused, None, "a repeat is still answered");
    assert_eq!(again[bound].refused, Some(Refusal::TooMany));
    assert_eq!(
        place.number("SELECT count(*) AS value FROM reports"),
        MAX_REPORTS_PER_BUILD
    );
}

/// A device that said a lot, as one that waits for alternating reasons does.
async fn talkative(place: &Place) -> (Store, BuildId, DeviceId) {
    let store = place.store().await;
    let build = upload(&store, APP, 2).await;
    let device = enroll_many(&store, 1).await.remove(0);
    let word = |n: i64| Report {
        reason: Some(if n % 2 == 0 { "in_call" } else { "battery_low" }.into()),
        request_id: Some(format!("d{n}")),
        ..report(build.id, ReportStatus::Deferred)
    };
    let words = (0..=MAX_REPORTS_PER_BUILD).map(|n| (device.clone(), word(n), at(n)));
    let outcomes = store.record_reports(words.collect()).await.unwrap();
    let (last, before) = outcomes.split_last().unwrap();
    assert!(before.iter().all(|outcome| outcome.fresh));
    assert_eq!(last.refused, Some(Refusal::TooMany));
    (store, build.id, device)
}

/// Each outcome once for each retry_generation.
async fn an_outcome_is_taken_after_any_number_of_words(place: &Place) {
    let (store, build, device) = talkative(place).await;
    let batch = outcomes_twice(build).into_iter();
    let batch = batch.map(|report| (device.clone(), report, at(100)));
    let answers = store.record_reports(batch.collect()).await.unwrap();
    check_outcomes(&store, build, &device, &answers).await;
}

async fn outcomes_are_taken_one_by_one_as_well(place: &Place) {
    let (store, build, device) = talkative(place).await;
    let mut answers = vec![];
    for report in outcomes_twice(build) {
        let batch = vec![(device.clone(), report, at(100))];
        answers.extend(store.record_reports(batch).await.unwrap());
    }
    check_outcomes(&store, build, &device, &answers).await;
}

/// Of three attempts, first each outcome once and then each of them again.
fn outcomes_twice(build: BuildId) -> Vec<Report> {
    let outcomes = [
        ReportStatus::Downloaded,
        ReportStatus::VerifyFailed,
        ReportStatus::InstallFailed,
        ReportStatus::InstallSuccess,
    ];
    let mut reports = vec![];
    for retry_generation in [1, 2, 3] {
        for try_ in ["first", "second"] {
            reports.extend(outcomes.map(|status| Report {
                retry_generation,
                request_id: Some(try_.into()),
                ..report(build, status)
            }));
        }
    }
    reports
}

async fn check_outcomes(store: &Store, build: BuildId, device: &DeviceId, answers: &[ReportOutcome]) {
    for (report, answer) in outcomes_twice(build).iter().zip(answers) {
        let first = report.request_id.as_deref() == Some("first");
        assert_eq!(answer.fresh, first, "{report:?}");
        assert_eq!(answer.refused.is_none(), first, "{report:?}");
    }
    let counted = DeploymentStats {
        total_checks: 0,
        total_eligible: 1,
        total_downloads: 1,
        installs_success: 1,
        installs_failed: 1,
        verify_failed: 1,
    };
    assert_eq!(store.stats(build).await, Ok(counted));
    let runs = store.device(device).await.unwrap().installed;
    assert_eq!(runs.len(), 1, "what it runs is known: {runs:?}");
}

/// The number of an retry_generation is the device's own word.
async fn news_are_bounded_too(place: &Place) {
    let (store, build, device) = talkative(place).await;
    let attempts = 1..=u32::try_from(MAX_NEWS_PER_BUILD + 9).unwrap();
    let flood = attempts.map(|retry_generation| Report {
        retry_generation,
        ..report(build, ReportStatus::InstallFailed)
    });
    let flood = flood.map(|report| (device.clone(), report, at(200)));
    store.record_reports(flood.collect()).await.unwrap();
    let kept = || place.number("SELECT count(*) AS value FROM reports");
    assert_eq!(kept(), MAX_REPORTS_PER_BUILD + MAX_NEWS_PER_BUILD);
    let success = report(build, ReportStatus::InstallSuccess);
    let batch = vec![(device.clone(), success, at(300))];
    assert!(store.record_reports(batch).await.unwrap()[0].fresh, "the outcome");
    assert_eq!(store.stats(build).await.unwrap().installs_success, 1);
    assert_eq!(kept(), MAX_REPORTS_PER_BUILD + MAX_NEWS_PER_BUILD + 1);
}
