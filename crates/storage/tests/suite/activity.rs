//! What polls leave behind.

use tidegate_domain::{BuildId, DeploymentStats, DeviceId, RolloutId};
use tidegate_storage::{Activity, ActivityOutcome, Checks, Seen};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, at, device, enroll_many, offered, package, release, seen, version};

on_both_engines!(
    polls_leave_their_traces,
    an_offer_counts_once,
    what_nobody_knows_is_passed_over,
    five_thousand_devices_in_one_batch,
    batches_in_any_order_do_not_wait_for_each_other,
);

async fn polls_leave_their_traces(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 2).await;
    let batch = Activity {
        seen: vec![
            seen(&devices[0], 20, 2),
            offered(&devices[0], 10, rollout, build.id),
            seen(&devices[1], 10, 0),
        ],
        checks: vec![
            Checks {
                rollout,
                build: build.id,
                at: at(3_599),
                count: 2,
            },
            Checks {
                rollout,
                build: build.id,
                at: at(3_600),
                count: 1,
            },
        ],
    };
    let done = store.record_activity(batch).await.unwrap();
    assert_eq!(
        done,
        ActivityOutcome {
            devices: 2,
            new_offers: 1
        }
    );
    let known = store.device(&devices[0]).await.unwrap();
    assert_eq!(known.last_seen_at, Some(at(20)));
    assert_eq!(known.installed, [(package(APP), version(2))], "the later poll's");
    assert_eq!(store.device(&devices[1]).await.unwrap().installed, []);
    let stats = store.stats(build.id).await.unwrap().stats;
    assert_eq!((stats.total_checks, stats.total_eligible), (3, 1));

    let hours = store.stats_by_hour(build.id, at(0), at(7_200)).await.unwrap();
    let hours: Vec<_> = hours
        .iter()
        .map(|hour| (hour.hour, hour.stats.total_checks, hour.stats.total_eligible))
        .collect();
    assert_eq!(hours, [(at(0), 2, 1), (at(3_600), 1, 0)]);
    let second_hour = store.stats_by_hour(build.id, at(1), at(7_200)).await.unwrap();
    assert_eq!(second_hour.len(), 1);
    assert!(
        store
            .stats_by_hour(build.id, at(0), at(63 * 86_400))
            .await
            .is_err()
    );
    assert!(store.stats_by_hour(BuildId(99), at(0), at(1)).await.is_err());

    // An old poll that comes late takes nothing back.
    let late = Activity {
        seen: vec![seen(&devices[0], 5, 1)],
        checks: vec![],
    };
    store.record_activity(late).await.unwrap();
    assert_eq!(store.device(&devices[0]).await.unwrap(), known);
}

async fn an_offer_counts_once(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    for (second, new) in [(1, 1), (2, 0), (3, 0)] {
        let batch = Activity {
            seen: vec![
                offered(&devices[0], second, rollout, build.id),
                offered(&devices[0], second, rollout, build.id),
            ],
            checks: vec![],
        };
        assert_eq!(store.record_activity(batch).await.unwrap().new_offers, new);
    }
    let history = store.device_builds(&devices[0]).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(
        (history[0].build, history[0].history.milestones.offered_at),
        (build.id, Some(at(1)))
    );
    assert_eq!(store.stats(build.id).await.unwrap().stats.total_eligible, 1);
}

async fn what_nobody_knows_is_passed_over(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 1).await;
    let stranger = Seen {
        package: package("com.example.none"),
        ..offered(&devices[0], 2, RolloutId(99), BuildId(99))
    };
    let batch = Activity {
        seen: vec![seen(&device("nobody"), 1, 1), stranger],
        checks: vec![Checks {
            rollout: RolloutId(99),
            build: BuildId(99),
            at: at(0),
            count: 1,
        }],
    };
    let done = store.record_activity(batch).await.unwrap();
    assert_eq!(
        done,
        ActivityOutcome {
            devices: 1,
            new_offers: 0
        }
    );
    let known = store.device(&devices[0]).await.unwrap();
    assert_eq!((known.last_seen_at, known.installed), (Some(at(2)), vec![]));
    assert_eq!(
        store.record_activity(Activity::default()).await,
        Ok(ActivityOutcome::default())
    );
}

async fn five_thousand_devices_in_one_batch(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    place
        .execute(&bulk_devices(place, 5_000))
        .expect("devices without the ceremony");
    let fleet: Vec<DeviceId> = (1..=5_000).map(|n| device(&format!("bulk-{n}"))).collect();
    let batch = |second| Activity {
        seen: fleet
            .iter()
            .map(|id| offered(id, second, rollout, build.id))
            .collect(),
        checks: vec![],
    };
    let first = store.record_activity(batch(1)).await.unwrap();
    assert_eq!(
        first,
        ActivityOutcome {
            devices: 5_000,
            new_offers: 5_000
        }
    );
    assert_eq!(store.record_activity(batch(2)).await.unwrap().new_offers, 0);
    assert_eq!(
        store.stats(build.id).await.unwrap().stats,
        DeploymentStats {
            total_eligible: 5_000,
            ..DeploymentStats::default()
        }
    );
    let seen = "SELECT count(*) AS value FROM devices WHERE last_seen_at IS NOT NULL";
    assert_eq!(place.number(seen), 5_000);
}

fn bulk_devices(place: &Place, count: u32) -> String {
    let source = if place.is_sqlite() {
        format!(
            "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
        )
    } else {
        format!("generate_series(1, {count}) AS s (n)")
    };
    format!("INSERT INTO devices (name, tags_json, enrolled_at) SELECT 'bulk-' || n, '[]', 0 FROM {source}")
}

async fn batches_in_any_order_do_not_wait_for_each_other(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let released = [
        release(&stores[0], APP, 1).await,
        release(&stores[0], APP, 2).await,
    ];
    let devices = enroll_many(&stores[0], 40).await;
    let writers: Vec<_> = (0..8_i64)
        .map(|n| {
            let store = stores[usize::from(n % 2 == 0)].clone();
            let mut order = devices.clone();
            if n % 2 == 0 {
                order.reverse();
            }
            let ids = [&released[0], &released[1]].map(|(build, rollout)| (*rollout, build.id));
            tokio::spawn(async move {
                let seen = order.iter().enumerate().map(|(at, id)| {
                    let (rollout, build) = ids[(at + usize::from(n % 3 == 0)) % 2];
                    Seen {
                        installed: version(n),
                        ..offered(id, n, rollout, build)
                    }
                });
                store
                    .record_activity(Activity {
                        seen: seen.collect(),
                        checks: vec![],
                    })
                    .await
            })
        })
        .collect();
    let mut offers = 0;
    for writer in writers {
        offers += writer.await.unwrap().expect("none of them fails").new_offers;
    }
    assert_eq!(offers, 80, "each device was offered each build once");
}
