//! Terms for the installation, and the devices that are overdue with them.

use tidegate_domain::{Build, DeviceId, InstallTerms, ReportStatus, RolloutId};
use tidegate_storage::{DeviceFilter, Error, OverdueCounts, Page, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    self, APP, actor, all, at, enroll_many, offered, poll, promote, promotion, proven, release, report,
    rollout_of, upload,
};

on_both_engines!(
    terms_come_back_as_they_were_written,
    overdue_devices_are_counted_and_found,
    only_rollouts_that_serve_have_overdue_devices,
    a_roll_back_is_overdue_where_the_bad_version_still_runs,
    a_filter_for_no_rollout_is_refused,
    an_earlier_version_goes_on_without_the_terms,
);

/// When the deadline is.
const DEADLINE: i64 = 1_000;

fn terms() -> InstallTerms {
    InstallTerms {
        when: InstallTerms::parse_conditions("charging,app_consents").unwrap(),
        deadline: Some(at(DEADLINE)),
    }
}

/// A build that is released to everybody on these terms, in the place of an older one.
async fn due(store: &Store) -> (Build, RolloutId) {
    release(store, APP, 1).await;
    let build = upload(store, APP, 2).await;
    let mut on_terms = promotion(100);
    on_terms.settings.install = terms();
    let rollout = rollout_of(&promote(store, &build, on_terms).await);
    (build, rollout)
}

async fn terms_come_back_as_they_were_written(place: &Place) {
    let store = place.store().await;
    let (_, rollout) = due(&store).await;
    let (_, plain) = release(&store, APP, 3).await;
    let settings = store.rollout(plain).await.unwrap().spec.settings;
    assert_eq!(settings.install, InstallTerms::default());
    assert_eq!(
        store.rollout(rollout).await.unwrap().spec.settings.install,
        terms()
    );
    let track = store.track(&samples::package(APP)).await.unwrap();
    let predecessor = track.predecessor.as_ref().unwrap();
    assert_eq!(predecessor.rollout.spec.settings.install, terms());
}

async fn overdue(store: &Store, rollout: RolloutId, now: i64) -> OverdueCounts {
    let counts = store.overdue_of(vec![rollout], at(now)).await.unwrap();
    assert_eq!(store.overdue(at(now), 10).await.unwrap(), counts, "the only one");
    counts
}

async fn listed(store: &Store, filter: DeviceFilter) -> Vec<String> {
    let ask = |page: Page| store.devices(filter.clone(), page);
    let found = all(2, ask).await;
    found.into_iter().map(|device| device.id.to_string()).collect()
}

async fn overdue_devices_are_counted_and_found(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = due(&store).await;
    let devices = enroll_many(&store, 9).await;
    let offer = |device: &DeviceId| offered(device, 10, rollout, build.id);
    poll(&store, devices[..8].iter().map(offer).collect()).await;
    // 0 only fetched it, 1 failed, 2 put it off, 3 has done nothing: these are late. 4 reports that it installed it, 5 tells
    // the version without a report, 6 runs a higher one, 7 is retired, and 8 was never offered anything.
    let told = |device: &DeviceId, status| proven(device, rollout, report(build.id, status), 20);
    let reports = vec![
        told(&devices[0], ReportStatus::Downloaded),
        told(&devices[1], ReportStatus::InstallFailed),
        told(&devices[2], ReportStatus::Deferred),
        told(&devices[4], ReportStatus::InstallSuccess),
    ];
    store.record_reports(reports).await.unwrap();
    let seen =
        [(5, 2), (6, 7), (8, 1)].map(|(n, version): (usize, i64)| samples::seen(&devices[n], 30, version));
    poll(&store, seen.to_vec()).await;
    let note = actor("ann").note("device.retire", "device/d-0007");
    store.retire_device(&devices[7], note).await.unwrap();

    let due = |now| DeviceFilter {
        overdue: Some((rollout, at(now))),
        ..DeviceFilter::default()
    };
    assert_eq!(overdue(&store, rollout, DEADLINE - 1).await, OverdueCounts::new());
    assert_eq!(listed(&store, due(DEADLINE - 1)).await, [""; 0]);
    assert_eq!(
        overdue(&store, rollout, DEADLINE).await,
        OverdueCounts::from([(rollout, 4)])
    );
    let late = ["d-0000", "d-0001", "d-0002", "d-0003"];
    assert_eq!(listed(&store, due(DEADLINE)).await, late);

    // Together with other filters.
    let named = |search: &str| DeviceFilter {
        search: Some(search.to_owned()),
        ..due(DEADLINE)
    };
    assert_eq!(listed(&store, named("d-000")).await, late);
    assert_eq!(listed(&store, named("d-0002")).await, ["d-0002"]);
    assert_eq!(listed(&store, named("d-0004")).await, [""; 0]);
    let failing = DeviceFilter {
        failing: Some(build.id),
        ..due(DEADLINE)
    };
    assert_eq!(listed(&store, failing).await, ["d-0001"]);
    let before = DeviceFilter {
        search: Some("d-000".to_owned()),
        ..due(DEADLINE - 1)
    };
    assert_eq!(listed(&store, before).await, [""; 0]);

    // The last ones install it.
    let late: Vec<_> = devices[..4]
        .iter()
        .map(|device| told(device, ReportStatus::InstallSuccess))
        .collect();
    store.record_reports(late).await.unwrap();
    assert_eq!(
        overdue(&store, rollout, DEADLINE).await,
        OverdueCounts::from([(rollout, 0)])
    );
    assert_eq!(listed(&store, due(DEADLINE)).await, [""; 0]);
}

async fn only_rollouts_that_serve_have_overdue_devices(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = due(&store).await;
    let devices = enroll_many(&store, 1).await;
    poll(&store, vec![offered(&devices[0], 10, rollout, build.id)]).await;
    assert_eq!(overdue(&store, rollout, DEADLINE).await.len(), 1);
    release(&store, APP, 3).await;
    assert_eq!(overdue(&store, rollout, DEADLINE).await, OverdueCounts::new());
    let due = DeviceFilter {
        overdue: Some((rollout, at(DEADLINE))),
        ..DeviceFilter::default()
    };
    assert_eq!(listed(&store, due).await, [""; 0]);
}

async fn a_roll_back_is_overdue_where_the_bad_version_still_runs(place: &Place) {
    let store = place.store().await;
    let (first, rollout) = due(&store).await;
    place
        .execute(&format!(
            "UPDATE rollouts SET takes_back_version = 5 WHERE id = {rollout}"
        ))
        .unwrap();
    let devices = enroll_many(&store, 2).await;
    for (device, version) in devices.iter().zip([5, 6]) {
        poll(&store, vec![offered(device, 10, rollout, first.id)]).await;
        poll(&store, vec![samples::seen(device, 20, version)]).await;
    }
    assert_eq!(
        overdue(&store, rollout, DEADLINE).await,
        OverdueCounts::from([(rollout, 1)])
    );
    let due = DeviceFilter {
        overdue: Some((rollout, at(DEADLINE))),
        ..DeviceFilter::default()
    };
    assert_eq!(listed(&store, due).await, ["d-0000"]);
}

async fn a_filter_for_no_rollout_is_refused(place: &Place) {
    let store = place.store().await;
    due(&store).await;
    let filter = DeviceFilter {
        overdue: Some((RolloutId(99), at(DEADLINE))),
        ..DeviceFilter::default()
    };
    let refused = store.devices(filter, Page::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no rollout 99");
    assert!(matches!(refused, Error::NotFound { .. }));
}

async fn an_earlier_version_goes_on_without_the_terms(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = due(&store).await;
    let reverted = store.revert_to("0014").await.unwrap();
    assert!(reverted.contains(&"0017".to_owned()), "{reverted:?}");
    let serving = place.number("SELECT count(*) AS value FROM rollouts WHERE serving AND is_current");
    assert_eq!(serving, 1);
    store.migrate().await.unwrap();
    let kept = store.rollout(rollout).await.unwrap();
    assert_eq!(
        (kept.spec.build, kept.spec.settings.install),
        (build.id, InstallTerms::default())
    );
}
