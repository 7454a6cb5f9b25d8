//! What is removed after its time, and devices that are not counted after theirs.

use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::{Reason, ReportStatus};
use tidegate_service::{MIN_REPORTS_KEPT, Page, RemovedKind, RetentionPass, RetentionSettings, TagChange};

use crate::instance::{Instance, admin, id};

const NOTHING: RetentionPass = RetentionPass {
    inactive: 0,
    active_again: 0,
    reports: 0,
    campaigns: 0,
    stat_hours: 0,
    stories: 0,
    gate_members: 0,
    tag_changes: 0,
};

async fn pass(instance: &Instance, settings: RetentionSettings) -> RetentionPass {
    let pass = instance.retention(settings).pass().await;
    pass.unwrap().expect("nobody else is at it")
}

fn removed(instance: &Instance, kind: RemovedKind) -> u64 {
    let removals = instance.counters.removals();
    removals
        .iter()
        .find(|(word, _)| *word == kind.as_str())
        .unwrap()
        .1
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_young_stays() {
    let instance = Instance::start().await;
    let settings = RetentionSettings {
        inactive_after: None,
        ..RetentionSettings::default()
    };
    let build = instance.release(1).await;
    for name in ["one", "two"] {
        instance.enrol(name).await;
        let offer = instance.poll(name, 0).unwrap();
        instance
            .report_on(&offer, ReportStatus::Downloaded)
            .await
            .unwrap();
    }
    instance.activity.flush(&instance.store).await.unwrap();
    let change = TagChange {
        add: vec![id("one"), id("two")],
        ..TagChange::default()
    };
    let lab = "lab".parse().unwrap();
    instance.tags.change(admin(), &lab, change).await.unwrap();
    instance.devices.retire(admin(), &id("one")).await.unwrap();
    assert_eq!(pass(&instance, settings).await, NOTHING);
    assert!(instance.counters.retention_ran_at() > 0);

    instance.clock.advance(TimeDelta::days(91));
    let offer = instance.poll("two", 0).unwrap();
    instance
        .report_on(&offer, ReportStatus::VerifyFailed)
        .await
        .unwrap();
    let done = pass(&instance, settings).await;
    assert_eq!(
        done,
        RetentionPass {
            stories: 1,
            ..NOTHING
        }
    );

    instance.clock.advance(TimeDelta::days(90));
    let done = pass(&instance, settings).await;
    assert_eq!(
        done,
        RetentionPass {
            reports: 1,
            tag_changes: 2,
            ..NOTHING
        },
        "the report of the retired went before"
    );
    instance.clock.advance(TimeDelta::days(230));
    let done = pass(&instance, settings).await;
    assert_eq!((done.reports, done.stories), (1, 0));
    assert!(done.stat_hours >= 2, "of the build and of the rollout");
    assert_eq!(pass(&instance, settings).await, NOTHING);
    assert_eq!(removed(&instance, RemovedKind::Reports), 2);
    assert_eq!(removed(&instance, RemovedKind::Stories), 1);
    assert_eq!(removed(&instance, RemovedKind::TagChanges), 2);
    assert_eq!(
        instance
            .tags
            .devices(&lab, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    let stats = instance.stats(build).await;
    assert_eq!((stats.total_downloads, stats.verify_failed), (2, 1), "sums stay");
}

#[tokio::test]
async fn without_a_time_everything_is_kept() {
    let instance = Instance::start().await;
    instance.release(1).await;
    instance.enrol("phone").await;
    let offer = instance.poll("phone", 0).unwrap();
    instance
        .report_on(&offer, ReportStatus::Downloaded)
        .await
        .unwrap();
    instance.activity.flush(&instance.store).await.unwrap();
    instance.clock.advance(TimeDelta::days(10_000));
    let settings = RetentionSettings {
        inactive_after: None,
        reports: None,
        campaigns: None,
        stat_hours: None,
        retired_stories: None,
    };
    assert_eq!(pass(&instance, settings).await, NOTHING);
}

#[tokio::test]
async fn a_device_that_stays_away_is_not_counted_until_it_polls() {
    let instance = Instance::start().await;
    instance.release(1).await;
    for name in ["one", "two"] {
        instance.enrol(name).await;
        instance.poll(name, 1).map(drop).unwrap_err();
    }
    instance.activity.flush(&instance.store).await.unwrap();
    let settings = RetentionSettings::default();
    let census = async || instance.store.census(instance.clock.read()).await.unwrap();
    let counted = async || (census().await.devices, census().await.inactive);
    instance.clock.advance(TimeDelta::days(89));
    assert_eq!(instance.told("two", 1), Err(Reason::AlreadyCurrent));
    instance.activity.flush(&instance.store).await.unwrap();
    assert_eq!(pass(&instance, settings).await, NOTHING);
    instance.clock.advance(TimeDelta::days(2));
    assert_eq!(
        pass(&instance, settings).await,
        RetentionPass {
            inactive: 1,
            ..NOTHING
        }
    );
    assert_eq!(counted().await, (1, 1));

    let longer = RetentionSettings {
        inactive_after: Some(Duration::from_secs(100 * 24 * 3_600)),
        ..settings
    };
    assert_eq!(
        pass(&instance, longer).await,
        RetentionPass {
            active_again: 1,
            ..NOTHING
        }
    );
    assert_eq!(pass(&instance, settings).await.inactive, 1);
    let never = RetentionSettings {
        inactive_after: None,
        ..settings
    };
    assert_eq!(pass(&instance, never).await.active_again, 1);
    assert_eq!(pass(&instance, settings).await.inactive, 1);
    assert_eq!(instance.told("one", 1), Err(Reason::AlreadyCurrent));
    instance.activity.flush(&instance.store).await.unwrap();
    assert_eq!(counted().await, (2, 0));
}

#[tokio::test]
async fn one_server_at_a_time_removes_what_is_old() {
    let instance = Instance::start().await;
    let minute = Duration::from_secs(60);
    assert!(
        instance
            .store
            .take_lease("retention", "another", minute)
            .await
            .unwrap()
    );
    let retention = instance.retention(RetentionSettings::default());
    assert_eq!(retention.pass().await.unwrap(), None);
    instance
        .store
        .give_lease_back("retention", "another")
        .await
        .unwrap();
    assert_eq!(retention.pass().await.unwrap(), Some(NOTHING));
    assert_eq!(
        retention.pass().await.unwrap(),
        Some(NOTHING),
        "it gave the lease back"
    );
}

#[test]
fn reports_are_kept_for_as_long_as_they_deduplicate() {
    assert!(MIN_REPORTS_KEPT >= Duration::from_secs(90 * 24 * 3_600));
    assert!(RetentionSettings::default().reports >= Some(MIN_REPORTS_KEPT));
}
