//! Counting the fleet, and finding devices in it.

use tidegate_domain::{Reason, Report, ReportStatus, cohort};
use tidegate_storage::{
    Census, DeviceFilter, Error, MAX_REASONS, MAX_VERSIONS_KEPT, Page, Seen, Standing, Store, Told,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    self, APP, TOKEN, all, at, device, enroll_many, enrollment, issue_token, package, poll, proven, release,
    report, upload, version,
};

on_both_engines!(
    a_census_counts_versions_by_cohort,
    devices_of_an_older_server_are_placed,
    an_hour_remembers_its_last_census,
    rare_versions_are_remembered_together,
    reasons_are_counted_and_bounded,
    devices_are_found_by_what_they_run,
    devices_are_counted_and_found_by_what_they_were_told,
    silent_and_failing_devices_are_found,
    filters_combine_and_pages_go_on,
    aliases_page_through_equals,
    the_database_is_asked_by_index,
);

/// A device that was seen with a version.
async fn seen(store: &Store, name: &str, runs: i64, second: i64) {
    poll(store, vec![samples::seen(&device(name), second, runs)]).await;
}

fn counts(census: &Census) -> Vec<(i64, u64)> {
    let versions = census.packages.iter().flat_map(|package| &package.versions);
    versions.map(|v| (v.version.get(), v.devices())).collect()
}

async fn a_census_counts_versions_by_cohort(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    let devices = enroll_many(&store, 40).await;
    for (n, id) in devices.iter().enumerate() {
        seen(&store, id.as_str(), [0, 1, 2, 2][n % 4], 10).await;
    }
    seen(&store, devices[0].as_str(), 2, 99).await;
    let census = store.census(at(50)).await.unwrap();
    assert_eq!((census.devices, census.seen), (40, 1));
    assert_eq!(counts(&census), [(0, 9), (1, 10), (2, 21)]);
    for known in &census.packages[0].versions {
        assert_eq!(known.unplaced, 0);
    }
    let mut expected = [0_u32; 100];
    for (n, id) in devices.iter().enumerate() {
        if n % 4 == 1 {
            expected[usize::from(cohort(id.as_str()))] += 1;
        }
    }
    assert_eq!(*census.packages[0].versions[1].cohorts, expected);
}

async fn devices_of_an_older_server_are_placed(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    for id in enroll_many(&store, 5).await {
        seen(&store, id.as_str(), 1, 10).await;
    }
    let before = store.census(at(0)).await.unwrap();
    place.execute("UPDATE device_packages SET cohort = NULL").unwrap();
    let unplaced = store.census(at(0)).await.unwrap();
    assert_eq!(counts(&unplaced), counts(&before), "they count meanwhile");
    assert_eq!(unplaced.packages[0].versions[0].unplaced, 5);
    assert_eq!(store.fill_cohorts(3).await, Ok(3));
    assert_eq!(store.fill_cohorts(3).await, Ok(2));
    assert_eq!(store.fill_cohorts(3).await, Ok(0));
    assert_eq!(store.census(at(0)).await.unwrap(), before);
}

async fn an_hour_remembers_its_last_census(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    enroll_many(&store, 2).await;
    seen(&store, "d-0000", 1, 10).await;
    seen(&store, "d-0001", 1, 10).await;
    let note = async |second| {
        let census = store.census(at(0)).await.unwrap();
        store.record_census(census, at(second)).await.unwrap();
    };
    note(100).await;
    seen(&store, "d-0000", 2, 200).await;
    seen(&store, "d-0001", 2, 200).await;
    note(300).await;
    seen(&store, "d-0001", 3, 3_700).await;
    note(3_800).await;
    let hours = store
        .version_hours(&package(APP), at(0), at(7_200))
        .await
        .unwrap();
    let told: Vec<_> = hours
        .iter()
        .map(|h| (h.hour, h.version.map(|v| v.get()), h.devices))
        .collect();
    assert_eq!(
        told,
        [
            (at(0), Some(2), 2),
            (at(3_600), Some(2), 1),
            (at(3_600), Some(3), 1)
        ],
        "of version 1 nothing is left in the hour that ended without it"
    );
    let census = store.census(at(0)).await.unwrap();
    let later = 100 * 24 * 3_600;
    store.record_census(census, at(later)).await.unwrap();
    let old = store
        .version_hours(&package(APP), at(0), at(7_200))
        .await
        .unwrap();
    assert_eq!(old, [], "months later nobody asks for it");
    let long = store.version_hours(&package(APP), at(0), at(later)).await;
    assert!(matches!(long, Err(Error::Rule(_))), "{long:?}");
}

async fn rare_versions_are_remembered_together(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    let devices = enroll_many(&store, MAX_VERSIONS_KEPT + 4).await;
    for (n, id) in devices.iter().enumerate() {
        let runs = i64::try_from(n.max(1)).unwrap();
        seen(&store, id.as_str(), runs, 10).await;
    }
    let census = store.census(at(0)).await.unwrap();
    store.record_census(census, at(10)).await.unwrap();
    let hours = store
        .version_hours(&package(APP), at(0), at(3_600))
        .await
        .unwrap();
    assert_eq!(hours.len(), MAX_VERSIONS_KEPT + 1);
    assert_eq!((hours[0].version, hours[0].devices), (None, 3));
    let sum: i64 = hours.iter().map(|hour| hour.devices).sum();
    assert_eq!(usize::try_from(sum).unwrap(), devices.len());
}

async fn reasons_are_counted_and_bounded(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 8).await;
    let failed = |reason: Option<&str>, android_status, request: usize| Report {
        reason: reason.map(Into::into),
        android_status,
        request_id: Some(request.to_string()),
        ..report(build.id, ReportStatus::InstallFailed)
    };
    let low = failed(Some("storage_low"), Some(6), 1);
    let batch = vec![
        proven(&devices[0], rollout, low.clone(), 1),
        proven(&devices[1], rollout, low.clone(), 2),
        proven(&devices[1], rollout, low, 3),
        proven(&devices[2], rollout, failed(None, Some(4), 1), 4),
        proven(&devices[2], rollout, failed(None, None, 2), 5),
        proven(
            &devices[3],
            rollout,
            report(build.id, ReportStatus::Downloaded),
            6,
        ),
    ];
    store.record_reports(batch).await.unwrap();
    let told: Vec<_> = store.reasons(build.id).await.unwrap();
    let told: Vec<_> = told.iter().map(|r| (r.reason.as_deref(), r.reports)).collect();
    assert_eq!(
        told,
        [(Some("storage_low"), 2), (None, 1), (Some("android_status 4"), 1)],
        "a repeated report counts once, and a download is no failure"
    );

    let mut batch = Vec::new();
    for id in &devices[4..] {
        for n in 0..60 {
            let reason = format!("{id}-{n}");
            batch.push(proven(id, rollout, failed(Some(&reason), None, n), 10));
        }
    }
    store.record_reports(batch).await.unwrap();
    let told = store.reasons(build.id).await.unwrap();
    assert!(told.len() <= MAX_REASONS + 1, "{}", told.len());
    assert_eq!(told.iter().map(|r| r.reports).sum::<i64>(), 4 + 4 * 60);
    assert_eq!(told[0].reason, None, "what is too much counts without its words");
}

async fn names(store: &Store, filter: DeviceFilter, size: u32) -> Vec<String> {
    let found = all(size, |page| store.devices(filter.clone(), page)).await;
    found.iter().map(|device| device.id.to_string()).collect()
}

async fn devices_are_found_by_what_they_run(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    enroll_many(&store, 6).await;
    for (name, runs) in [
        ("d-0000", 3),
        ("d-0001", 1),
        ("d-0002", 2),
        ("d-0003", 1),
        ("d-0004", 0),
    ] {
        seen(&store, name, runs, 10).await;
    }
    let running = |versions: Option<(i64, i64)>| DeviceFilter {
        package: Some(package(APP)),
        versions: versions.map(|(from, to)| version(from)..=version(to)),
        ..DeviceFilter::default()
    };
    for size in [1, 2, 50] {
        assert_eq!(
            names(&store, running(None), size).await,
            ["d-0001", "d-0003", "d-0002", "d-0000"],
            "by version, and not those that do not run it"
        );
        let behind = names(&store, running(Some((1, 2))), size).await;
        assert_eq!(behind, ["d-0001", "d-0003", "d-0002"]);
        assert_eq!(names(&store, running(Some((3, 3))), size).await, ["d-0000"]);
    }
}

async fn devices_are_counted_and_found_by_what_they_were_told(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 40).await;
    let mut expected: Vec<Vec<String>> = vec![vec![]; Told::ALL.len()];
    let mut polls = Vec::new();
    for (n, id) in devices.iter().enumerate() {
        let which = n % Told::ALL.len();
        expected[which].push(id.to_string());
        let told = match Told::ALL[which] {
            Told::Offered => Standing::Offered {
                rollout,
                build: build.id,
            },
            Told::NoUpdate(reason) => Standing::Refused(reason),
            Told::NotPolled => continue,
        };
        // Some of each kind run it.
        let runs = i64::try_from(n / Told::ALL.len() % 2).unwrap();
        polls.push(Seen {
            told,
            ..samples::seen(id, 10, runs)
        });
    }
    poll(&store, polls).await;
    // Those that only enrolled say what they run in a report.
    let never: Vec<_> = (devices.iter().enumerate())
        .filter(|(n, _)| Told::ALL[n % Told::ALL.len()] == Told::NotPolled)
        .map(|(_, id)| proven(id, rollout, report(build.id, ReportStatus::InstallSuccess), 5))
        .collect();
    store.record_reports(never).await.unwrap();

    let census = store.census(at(0)).await.unwrap();
    let package_census = &census.packages[0];
    let counts: Vec<(Told, u64)> = (Told::ALL.into_iter().zip(&expected))
        .map(|(told, ids)| (told, ids.len() as u64))
        .collect();
    assert_eq!(package_census.told, counts);
    let running: u64 = package_census.versions.iter().map(|v| v.devices()).sum();
    assert_eq!(running, 40, "both ways of counting count the same devices");

    let told = |told: Told| DeviceFilter {
        package: Some(package(APP)),
        told: Some(told),
        ..DeviceFilter::default()
    };
    for (which, ids) in Told::ALL.into_iter().zip(&expected) {
        for size in [1, 2, 50] {
            let mut found = names(&store, told(which), size).await;
            assert_eq!(found.len(), ids.len(), "{which}");
            found.sort_unstable();
            assert_eq!(found, *ids, "{which}");
        }
        // The same when another index leads.
        let searched = DeviceFilter {
            search: Some("d-".into()),
            ..told(which)
        };
        let mut found = names(&store, searched, 3).await;
        found.sort_unstable();
        assert_eq!(found, *ids, "{which}");
    }
    let running = DeviceFilter {
        versions: Some(version(1)..=version(1)),
        ..told(Told::NoUpdate(Reason::Paused))
    };
    let paused = Told::ALL
        .iter()
        .position(|told| *told == Told::NoUpdate(Reason::Paused));
    let some: Vec<String> = (0..devices.len())
        .filter(|n| Some(n % Told::ALL.len()) == paused && n / Told::ALL.len() % 2 == 1)
        .map(|n| devices[n].to_string())
        .collect();
    assert!(!some.is_empty());
    assert_eq!(names(&store, running, 50).await, some);

    let shown = store.standings_of(devices[..2].to_vec()).await.unwrap();
    assert_eq!(shown[&devices[0]], [(package(APP), Told::ALL[0])]);
    assert_eq!(shown[&devices[1]], [(package(APP), Told::ALL[1])]);
    assert_eq!(shown.len(), 2);
}

async fn silent_and_failing_devices_are_found(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 6).await;
    for (name, second) in [("d-0000", 300), ("d-0001", 100), ("d-0002", 200), ("d-0003", 100)] {
        seen(&store, name, 1, second).await;
    }
    let silent = DeviceFilter {
        silent_since: Some(at(300)),
        ..DeviceFilter::default()
    };
    let failing = DeviceFilter {
        failing: Some(build.id),
        ..DeviceFilter::default()
    };
    let batch = [4, 1].map(|n: usize| {
        let failed = report(build.id, ReportStatus::VerifyFailed);
        proven(&devices[n], rollout, failed, 9)
    });
    store.record_reports(batch.to_vec()).await.unwrap();
    for size in [1, 2, 50] {
        assert_eq!(
            names(&store, silent.clone(), size).await,
            ["d-0004", "d-0005", "d-0001", "d-0003", "d-0002"],
            "those that never came first, then the longest silent"
        );
        assert_eq!(names(&store, failing.clone(), size).await, ["d-0001", "d-0004"]);
    }
}

async fn filters_combine_and_pages_go_on(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 30).await;
    for (n, id) in devices.iter().enumerate() {
        seen(&store, id.as_str(), 1 + i64::from(n % 3 == 0), 10).await;
    }
    let failed = report(build.id, ReportStatus::VerifyFailed);
    let batch = [3, 6, 7].map(|n: usize| proven(&devices[n], rollout, failed.clone(), 9));
    store.record_reports(batch.to_vec()).await.unwrap();
    let filter = DeviceFilter {
        search: Some("D-000".into()),
        package: Some(package(APP)),
        versions: Some(version(2)..=version(2)),
        ..DeviceFilter::default()
    };
    let expected = ["d-0000", "d-0003", "d-0006", "d-0009"];
    for size in [1, 3, 50] {
        assert_eq!(names(&store, filter.clone(), size).await, expected);
    }
    let filter = DeviceFilter {
        failing: Some(build.id),
        silent_since: Some(at(11)),
        ..filter
    };
    assert_eq!(names(&store, filter, 1).await, ["d-0003", "d-0006"]);
}

async fn aliases_page_through_equals(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 100).await;
    for n in 0..7 {
        let mut given = enrollment(&format!("x-{n}"));
        given.alias = Some(if n == 3 { "Kiosk 2".into() } else { "kiosk".into() });
        store.enroll(given).await.unwrap();
    }
    store.enroll(enrollment("kiosk-9")).await.unwrap();
    let filter = DeviceFilter {
        search: Some("kiosk".into()),
        ..DeviceFilter::default()
    };
    for size in [1, 2, 3, 50] {
        assert_eq!(
            names(&store, filter.clone(), size).await,
            ["x-0", "x-1", "x-2", "x-3", "x-4", "x-5", "x-6", "kiosk-9"],
            "by age, whether the id or the alias holds it"
        );
    }
    let forged = Page::new(None, Some("30".repeat(900))).unwrap();
    let refused = store.devices(filter, forged).await;
    assert!(matches!(refused, Err(Error::Rule(_))), "{refused:?}");
}

/// What must hold for a million devices is seen in the plan that SQLite makes for none.
async fn the_database_is_asked_by_index(place: &Place) {
    place.store().await;
    if !place.is_sqlite() {
        return;
    }
    for (query, index) in [
        (
            "SELECT package_id, version_code, cohort, count(*) FROM device_packages WHERE counted GROUP BY 1, 2, 3",
            "COVERING INDEX device_packages_cohort",
        ),
        (
            "SELECT count(*) FROM devices WHERE retired_at IS NULL AND last_seen_at >= 1",
            "COVERING INDEX devices_last_seen",
        ),
        (
            "SELECT count(*) FROM device_builds WHERE build_id = 1 AND (device_builds.failures > 0)",
            "COVERING INDEX device_builds_failing",
        ),
        (
            "SELECT * FROM devices WHERE retired_at IS NULL AND alias_key >= 'a' AND alias_key < 'b'
             AND (alias_key > 'a' OR id > 7) ORDER BY alias_key, id LIMIT 5",
            "INDEX devices_alias_unretired",
        ),
        (
            "SELECT d.name, b.build_id FROM device_builds b JOIN devices d ON d.id = b.device_id
             WHERE b.rejection_epoch > ?1 AND b.rejection_epoch > 0",
            "INDEX device_builds_rejection_epoch",
        ),
        (
            "SELECT name, token_generation FROM devices WHERE token_epoch > ?1 AND token_epoch > 0",
            "INDEX devices_token_epoch",
        ),
        (
            "SELECT version_code, device_id FROM device_packages WHERE counted AND package_id = 1 AND standing IS NULL
             AND version_code >= 0 AND version_code <= 9 ORDER BY version_code, device_id LIMIT 5",
            "COVERING INDEX device_packages_standing (package_id=? AND standing=? AND version_code>? AND version_code<?)",
        ),
        (
            "SELECT device_rollouts.device_id FROM device_rollouts JOIN device_packages
             ON device_packages.device_id = device_rollouts.device_id WHERE device_rollouts.rollout_id = 1
             AND device_rollouts.offered_at IS NOT NULL AND device_rollouts.installed_at IS NULL
             AND device_rollouts.device_id > 7 AND device_packages.package_id = 1 AND device_packages.counted
             AND (device_packages.version_code < 4 OR device_packages.version_code = -1)
             ORDER BY device_rollouts.device_id LIMIT 5",
            "INDEX device_rollouts_unfinished (rollout_id=? AND device_id>?)",
        ),
        (
            "SELECT * FROM rollout_stats WHERE rollout_id IN (1, 2)",
            "PRIMARY KEY (rollout_id=?)",
        ),
        (
            "SELECT package_id, standing FROM device_packages WHERE device_id = 1 AND standing IS NOT NULL",
            "PRIMARY KEY (device_id=?)",
        ),
    ] {
        let plan = place.plan(query);
        assert!(plan.contains(index), "{query}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}
