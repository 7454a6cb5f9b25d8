//! What is removed after its time, and who removes it.

use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::{NudgeOrder, Report, ReportStatus};
use tidegate_storage::{Checks, DeliveryOutcome, EnrollCredential, Error, Outcome, Page, Removed, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    self, APP, actor, at, device, enroll_many, enrollment, issue_token, named, nudge, offered, poll, proven,
    release, report, seen, wakeable,
};

on_both_engines!(
    old_reports_go_in_bounded_steps,
    a_report_that_was_removed_counts_again,
    old_hours_go_and_the_totals_stay,
    a_finished_campaign_goes_with_its_deliveries,
    a_campaign_that_goes_on_or_is_followed_stays,
    the_story_of_a_device_goes_after_its_retirement,
    a_lease_is_one_holders_until_it_ends,
);

const DAY: i64 = 24 * 3_600;

async fn old_reports_go_in_bounded_steps(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 5).await;
    for (n, id) in (0..).zip(&devices) {
        let told = report(build.id, ReportStatus::Downloaded);
        store
            .record_reports(vec![proven(id, rollout, told, n * 10)])
            .await
            .unwrap();
    }
    let rows = || place.number("SELECT count(*) AS value FROM reports");
    let first = store.remove_reports(at(30), 0, 2).await.unwrap();
    assert_eq!((first.rows, rows()), (2, 3));
    let second = store
        .remove_reports(at(30), first.next.unwrap(), 2)
        .await
        .unwrap();
    assert_eq!((second.rows, rows()), (1, 2), "the fourth is not old");
    let third = store
        .remove_reports(at(30), second.next.unwrap(), 2)
        .await
        .unwrap();
    assert_eq!(third, Removed { rows: 0, next: None });
    assert_eq!(store.stats(build.id).await.unwrap().stats.total_downloads, 5);
}

async fn a_report_that_was_removed_counts_again(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let id = &enroll_many(&store, 1).await[0];
    let told = Report {
        request_id: Some("r-1".into()),
        ..report(build.id, ReportStatus::Deferred)
    };
    let tell = async || {
        let answer = store
            .record_reports(vec![proven(id, rollout, told.clone(), 5)])
            .await;
        answer.unwrap()[0].fresh
    };
    assert!(tell().await);
    assert!(!tell().await, "while it is kept it deduplicates");
    store.remove_reports(at(6), 0, 10).await.unwrap();
    assert!(
        tell().await,
        "so reports have to be kept longer than devices repeat them"
    );
}

async fn old_hours_go_and_the_totals_stay(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    for hour in 0..4 {
        let checks = Checks {
            rollout,
            build: build.id,
            at: at(hour * 3_600),
            count: 1,
        };
        let batch = tidegate_storage::Activity {
            seen: vec![],
            checks: vec![checks],
        };
        store.record_activity(batch).await.unwrap();
    }
    assert_eq!(
        store.remove_stat_hours(at(3 * 3_600), 2).await,
        Ok(4),
        "two of each table"
    );
    assert_eq!(store.remove_stat_hours(at(3 * 3_600), 2).await, Ok(2));
    assert_eq!(store.remove_stat_hours(at(3 * 3_600), 2).await, Ok(0));
    let hours = store.stats_by_hour(build.id, at(0), at(5 * 3_600)).await.unwrap();
    assert_eq!(hours.len(), 1);
    assert_eq!(store.stats(build.id).await.unwrap().stats.total_checks, 4);
    assert_eq!(
        store.rollout_stats(build.id).await.unwrap()[0].stats.total_checks,
        4
    );
}

/// A campaign for these devices that was sent, and so completed.
async fn completed(store: &Store, name: &str, second: i64) -> tidegate_storage::Campaign {
    let campaign = nudge(store, name, NudgeOrder::everybody()).await;
    let claims = store
        .claim_deliveries(campaign.id, at(second), TimeDelta::seconds(60), 100)
        .await;
    let sent = claims.unwrap().claims.into_iter().map(|claim| Outcome {
        device: claim.device,
        attempt: claim.attempt,
        result: DeliveryOutcome::Sent,
    });
    store
        .record_deliveries(campaign.id, sent.collect(), at(second))
        .await
        .unwrap()
        .campaign
}

async fn a_finished_campaign_goes_with_its_deliveries(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 5).await;
    let old = completed(&store, "n-1", 10).await;
    let young = completed(&store, "n-2", 9 * DAY).await;
    let unknown = nudge(&store, "n-3", named(&[device("nobody")])).await;
    assert_eq!(unknown.state.as_str(), "completed");
    let before = at(8 * DAY);
    let mut steps = Vec::new();
    loop {
        match store.remove_campaigns(before, 3).await.unwrap() {
            0 => break,
            rows => steps.push(rows),
        }
    }
    assert_eq!(
        steps,
        [3, 3, 2],
        "five deliveries and the campaign; the unknown device and its campaign"
    );
    assert!(matches!(
        store.campaign(old.id).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        store.campaign(unknown.id).await,
        Err(Error::NotFound { .. })
    ));
    let left = store.campaigns(Page::default()).await.unwrap().items;
    assert_eq!(left, [young]);
    for table in ["nudge_deliveries", "nudge_counts", "nudge_unknown_devices"] {
        let rows = place.number(&format!(
            "SELECT count(*) AS value FROM {table} WHERE campaign_id <> 2"
        ));
        assert_eq!(rows, 0, "{table}");
    }
}

async fn a_campaign_that_goes_on_or_is_followed_stays(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 1).await;
    nudge(&store, "n-1", NudgeOrder::everybody()).await;
    completed(&store, "n-2", 10).await;
    assert_eq!(
        store.remove_campaigns(at(6 * DAY), 9).await,
        Ok(0),
        "polls still count for it"
    );
    assert_eq!(
        store.remove_campaigns(at(8 * DAY), 9).await,
        Ok(2),
        "the one that ended"
    );
    assert_eq!(store.campaigns(Page::default()).await.unwrap().items.len(), 1);
}

async fn the_story_of_a_device_goes_after_its_retirement(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 3).await;
    for id in &devices {
        poll(&store, vec![offered(id, 10, rollout, build.id)]).await;
        let told = report(build.id, ReportStatus::Downloaded);
        store
            .record_reports(vec![proven(id, rollout, told, 12)])
            .await
            .unwrap();
    }
    for (n, second) in [(0, 100), (1, 900)] {
        let mut note = actor("ann").note("device.retire", format!("device/{}", devices[n]));
        note.at = at(second);
        store.retire_device(&devices[n], note).await.unwrap();
    }
    assert_eq!(store.remove_stories(at(100), 9).await, Ok(0));
    assert_eq!(store.remove_stories(at(101), 9).await, Ok(1));
    assert_eq!(store.remove_stories(at(101), 9).await, Ok(0), "once is enough");
    let stories = async |n: usize| store.device_builds(&devices[n]).await.unwrap().len();
    assert_eq!((stories(0).await, stories(1).await, stories(2).await), (0, 1, 1));
    assert_eq!(place.number("SELECT count(*) AS value FROM reports"), 2);
    assert!(
        store.device(&devices[0]).await.unwrap().retired_at.is_some(),
        "the row stays"
    );
    assert_eq!(store.stats(build.id).await.unwrap().stats.total_downloads, 3);

    issue_token(&store, [8; 32], 1).await;
    let mut again = enrollment("d-0000");
    again.credential = EnrollCredential::Token([8; 32]);
    store.enroll(again).await.unwrap();
    poll(&store, vec![seen(&devices[0], 2_000, 2)]).await;
    assert_eq!(
        samples::all(9, |page| store.devices(Default::default(), page))
            .await
            .len(),
        2
    );
    let mut note = actor("ann").note("device.retire", "device/d-0000");
    note.at = at(3_000);
    store.retire_device(&devices[0], note).await.unwrap();
    assert_eq!(
        store.remove_stories(at(9_000), 1).await,
        Ok(1),
        "one device at a time"
    );
    assert_eq!(
        store.remove_stories(at(9_000), 9).await,
        Ok(1),
        "it has a story again"
    );
}

async fn a_lease_is_one_holders_until_it_ends(place: &Place) {
    let store = place.store().await;
    let long = Duration::from_secs(600);
    assert_eq!(store.take_lease("work", "a", long).await, Ok(true));
    assert_eq!(store.take_lease("work", "b", long).await, Ok(false));
    assert_eq!(store.take_lease("other", "b", long).await, Ok(true));
    assert_eq!(
        store.take_lease("work", "a", Duration::ZERO).await,
        Ok(true),
        "its holder has it again"
    );
    assert_eq!(
        store.take_lease("work", "b", long).await,
        Ok(true),
        "the time of the first is over"
    );
    store.give_lease_back("work", "a").await.unwrap();
    assert_eq!(
        store.take_lease("work", "a", long).await,
        Ok(false),
        "it was not its to give back"
    );
    store.give_lease_back("work", "b").await.unwrap();
    assert_eq!(store.take_lease("work", "a", long).await, Ok(true));
}
