//! How much of one device's word about one build is kept, and that no amount of it drowns an outcome.

use tidegate_domain::{
    BuildId, DeploymentStats, DeviceId, MAX_NEWS_PER_BUILD, MAX_REPORTS_PER_BUILD, Report, ReportStatus,
    RolloutId,
};
use tidegate_storage::{NewReport, Refusal, ReportOutcome, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::reports::failure;
use crate::samples::{APP, enroll_many, proven, release, report};

on_both_engines!(
    reports_are_bounded,
    an_outcome_is_taken_after_any_number_of_words,
    outcomes_are_taken_one_by_one_as_well,
    news_are_bounded_too,
);

async fn reports_are_bounded(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let bound = usize::try_from(MAX_REPORTS_PER_BUILD).unwrap();
    let flood: Vec<_> = (0..bound + 3)
        .map(|n| proven(&devices[0], rollout, failure(build.id, 6, &format!("t{n}")), 1))
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
        i64::from(MAX_REPORTS_PER_BUILD)
    );
}

/// A device that said a lot, as one that waits for alternating reasons does.
struct Talkative {
    store: Store,
    build: BuildId,
    rollout: RolloutId,
    device: DeviceId,
}

impl Talkative {
    fn word(&self, report: Report, second: i64) -> NewReport {
        proven(&self.device, self.rollout, report, second)
    }

    async fn tell(&self, batch: Vec<NewReport>) -> Vec<ReportOutcome> {
        self.store.record_reports(batch).await.unwrap()
    }
}

async fn talkative(place: &Place) -> Talkative {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    // The build was released anew very often.
    place
        .execute("UPDATE rollouts SET retry_generation = 1000")
        .unwrap();
    let device = enroll_many(&store, 1).await.remove(0);
    let word = |n: i64| Report {
        reason: Some(if n % 2 == 0 { "in_call" } else { "battery_low" }.into()),
        request_id: Some(format!("d{n}")),
        ..report(build.id, ReportStatus::Deferred)
    };
    let words = (0..=i64::from(MAX_REPORTS_PER_BUILD)).map(|n| proven(&device, rollout, word(n), n));
    let outcomes = store.record_reports(words.collect()).await.unwrap();
    let (last, before) = outcomes.split_last().unwrap();
    assert!(before.iter().all(|outcome| outcome.fresh));
    assert_eq!(last.refused, Some(Refusal::TooMany));
    Talkative {
        store,
        build: build.id,
        rollout,
        device,
    }
}

/// Each outcome once for each retry generation.
async fn an_outcome_is_taken_after_any_number_of_words(place: &Place) {
    let talkative = talkative(place).await;
    let reports = outcomes_twice(talkative.build).into_iter();
    let batch = reports.map(|report| talkative.word(report, 100)).collect();
    let answers = talkative.tell(batch).await;
    check_outcomes(&talkative, &answers).await;
}

async fn outcomes_are_taken_one_by_one_as_well(place: &Place) {
    let talkative = talkative(place).await;
    let mut answers = vec![];
    for report in outcomes_twice(talkative.build) {
        answers.extend(talkative.tell(vec![talkative.word(report, 100)]).await);
    }
    check_outcomes(&talkative, &answers).await;
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

async fn check_outcomes(talkative: &Talkative, answers: &[ReportOutcome]) {
    let Talkative {
        store, build, device, ..
    } = talkative;
    for (report, answer) in outcomes_twice(*build).iter().zip(answers) {
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
    assert_eq!(store.stats(*build).await.unwrap().stats, counted);
    let runs = store.device(device).await.unwrap().installed;
    assert_eq!(runs.len(), 1, "what it runs is known: {runs:?}");
}

/// A device may state any retry generation up to the rollout's.
async fn news_are_bounded_too(place: &Place) {
    let talkative = talkative(place).await;
    let build = talkative.build;
    let flood = (1..=MAX_NEWS_PER_BUILD + 9).map(|retry_generation| Report {
        retry_generation,
        ..report(build, ReportStatus::InstallFailed)
    });
    talkative
        .tell(flood.map(|report| talkative.word(report, 200)).collect())
        .await;
    let kept = || place.number("SELECT count(*) AS value FROM reports");
    let bound = i64::from(MAX_REPORTS_PER_BUILD + MAX_NEWS_PER_BUILD);
    assert_eq!(kept(), bound);
    let success = talkative.word(report(build, ReportStatus::InstallSuccess), 300);
    assert!(talkative.tell(vec![success]).await[0].fresh, "the outcome");
    let stats = talkative.store.stats(build).await.unwrap().stats;
    assert_eq!(stats.installs_success, 1);
    assert_eq!(kept(), bound + 1);
}
