//! Devices by condition: the parts add up to the package's devices in every state of its rollouts, and each part's list
//! holds exactly the devices that its count says.

use std::collections::BTreeMap;

use tidegate_domain::{Build, BuildId, Change, Reason, ReportStatus, RolloutDraft, Track};
use tidegate_storage::{
    Census, Condition, DeviceFilter, PackageCensus, Seen, Standing, Store, TakenBack, Told,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    self, APP, actor, all, at, by, device, enroll_many, package, poll, promotion, proven, release, report,
    upload,
};

on_both_engines!(
    each_device_is_in_the_part_that_its_story_says,
    in_every_state_of_the_rollouts_the_parts_add_up,
    who_recovered_or_moved_on_is_not_failing,
    what_was_taken_back_is_told_until_nobody_runs_it,
    a_package_that_nobody_releases_adds_up_as_well,
    devices_that_do_not_count_are_in_no_part,
    versions_that_devices_make_up_are_counted,
    the_count_and_the_lists_are_read_along_indexes,
);

/// Devices that were not seen since this second are silent.
const SILENT_BEFORE: i64 = 1_000;
/// A poll now.
const NOW: i64 = 2_000;

fn part(condition: Condition) -> DeviceFilter {
    DeviceFilter {
        package: Some(package(APP)),
        condition: Some((condition, at(SILENT_BEFORE))),
        ..DeviceFilter::default()
    }
}

async fn listed(store: &Store, filter: DeviceFilter, size: u32) -> Vec<String> {
    let found = all(size, |page| store.devices(filter.clone(), page)).await;
    found.iter().map(|device| device.id.to_string()).collect()
}

async fn census(store: &Store) -> PackageCensus {
    let Census { packages, .. } = store.census(at(SILENT_BEFORE)).await.unwrap();
    let found = packages.into_iter().find(|of| of.package == package(APP));
    found.expect("devices of the package")
}

/// The parts, after checking that counts and lists agree and that no device is left out or in two of them.
async fn parts(store: &Store, devices: usize) -> BTreeMap<&'static str, Vec<String>> {
    let census = census(store).await;
    let counts: BTreeMap<_, _> = census.conditions.iter().copied().collect();
    let told: u64 = census.told.iter().map(|(_, count)| count).sum();
    assert_eq!(
        told,
        counts.values().sum::<u64>(),
        "both ways of counting count the same devices"
    );
    let mut parts = BTreeMap::new();
    let mut everybody = Vec::new();
    for condition in Condition::ALL {
        let mut ids = listed(store, part(condition), 2).await;
        let count = counts.get(&condition).copied().unwrap_or(0);
        assert_eq!(ids.len() as u64, count, "{condition}: {ids:?}");
        let searched = DeviceFilter {
            search: Some("d-".into()),
            ..part(condition)
        };
        let mut found = listed(store, searched, 50).await;
        ids.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, ids, "{condition}, when another index leads");
        everybody.extend(ids.clone());
        if !ids.is_empty() {
            parts.insert(condition.as_str(), ids);
        }
    }
    everybody.sort_unstable();
    everybody.dedup();
    assert_eq!(everybody.len(), devices, "each device is in one part");
    assert_eq!(counts.values().sum::<u64>(), devices as u64);
    parts
}

async fn told(store: &Store, name: &str, runs: i64, told: Standing) {
    let seen = Seen {
        told,
        ..samples::seen(&device(name), NOW, runs)
    };
    poll(store, vec![seen]).await;
}

async fn change<F>(store: &Store, rule: F)
where
    F: Fn(&Track) -> Result<Change, tidegate_domain::Error> + Send + Sync + 'static,
{
    let changed = store.change_track(package(APP), actor("ann"), move |track, _| rule(track));
    changed.await.unwrap();
}

/// A rollout of this build above the base.
async fn canary(store: &Store, build: &Build, percent: i64) {
    let (build, draft) = (
        build.clone(),
        RolloutDraft {
            name: "canary".into(),
            priority: 10,
            promotion: promotion(percent),
        },
    );
    change(store, move |track| track.create(&build, &draft, 0, by())).await;
}

async fn roll_back(store: &Store, force: bool) {
    change(store, move |track| track.roll_back(force, by())).await;
}

async fn fails(store: &Store, name: &str, build: BuildId, rollout: tidegate_domain::RolloutId) {
    let failed = report(build, ReportStatus::InstallFailed);
    let batch = vec![proven(&device(name), rollout, failed, NOW)];
    store.record_reports(batch).await.unwrap();
}

fn named(parts: &[(&'static str, &[&str])]) -> BTreeMap<&'static str, Vec<String>> {
    let owned = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
    parts.iter().map(|(word, ids)| (*word, owned(ids))).collect()
}

async fn each_device_is_in_the_part_that_its_story_says(place: &Place) {
    let store = place.store().await;
    let (first, _) = release(&store, APP, 1).await;
    let (bad, _) = release(&store, APP, 4).await;
    roll_back(&store, false).await;
    let (third, rollout) = release(&store, APP, 3).await;
    let fifth = upload(&store, APP, 5).await;
    canary(&store, &fifth, 10).await;
    enroll_many(&store, 13).await;
    let refused = |reason| Standing::Refused(reason);
    let offered = Standing::Offered {
        rollout,
        build: third.id,
    };
    told(&store, "d-0000", 3, refused(Reason::AlreadyCurrent)).await;
    told(&store, "d-0001", 5, refused(Reason::AlreadyCurrent)).await;
    told(&store, "d-0002", 1, offered).await;
    told(&store, "d-0003", 1, refused(Reason::AlreadyCurrent)).await;
    told(&store, "d-0004", 1, refused(Reason::NotInCohort)).await;
    told(&store, "d-0005", 0, refused(Reason::OutsideWindow)).await;
    told(&store, "d-0006", 1, refused(Reason::HeldByPolicy)).await;
    told(&store, "d-0007", 1, offered).await;
    fails(&store, "d-0007", third.id, rollout).await;
    told(&store, "d-0008", 9, refused(Reason::NewerInstalled)).await;
    told(&store, "d-0009", 4, refused(Reason::NewerInstalled)).await;
    for (name, runs) in [("d-0010", 3), ("d-0011", 1), ("d-0012", 4)] {
        poll(&store, vec![samples::seen(&device(name), 10, runs)]).await;
    }
    let expected = named(&[
        ("current", &["d-0000"]),
        ("other_rollout", &["d-0001"]),
        ("pending", &["d-0002"]),
        ("not_asked", &["d-0003"]),
        ("outside", &["d-0004"]),
        ("waiting", &["d-0005"]),
        ("blocked", &["d-0006"]),
        ("failing", &["d-0007"]),
        ("ahead", &["d-0008"]),
        // Also one that is silent since: it may be the bad build that silenced it.
        ("stranded", &["d-0009", "d-0012"]),
        ("silent", &["d-0010", "d-0011"]),
    ]);
    assert_eq!(parts(&store, 13).await, expected);
    assert_ne!(first.id, bad.id);
}

/// Devices in every mixture of version, answer, age and failures.
async fn mixed(store: &Store, builds: &[(BuildId, tidegate_domain::RolloutId)]) -> usize {
    const DEVICES: usize = 120;
    let devices = enroll_many(store, DEVICES).await;
    let mut polls = Vec::new();
    let mut reports = Vec::new();
    for (n, id) in devices.iter().enumerate() {
        let (build, rollout) = builds[n % builds.len()];
        let told = match Told::ALL[n * 7 % Told::ALL.len()] {
            Told::Offered => Standing::Offered { rollout, build },
            Told::NoUpdate(reason) => Standing::Refused(reason),
            Told::NotPolled => {
                // It says in a report what it runs.
                reports.push(proven(
                    id,
                    rollout,
                    report(build, ReportStatus::InstallSuccess),
                    NOW,
                ));
                continue;
            }
        };
        polls.push(Seen {
            told,
            ..samples::seen(
                id,
                if n % 5 == 0 { 10 } else { NOW },
                i64::try_from(n % 8).unwrap(),
            )
        });
        if n % 3 == 0 {
            reports.push(proven(id, rollout, report(build, ReportStatus::VerifyFailed), 20));
        }
    }
    poll(store, polls).await;
    store.record_reports(reports).await.unwrap();
    DEVICES
}

async fn in_every_state_of_the_rollouts_the_parts_add_up(place: &Place) {
    let store = place.store().await;
    let mut builds = Vec::new();
    for code in 1..=4 {
        let (build, rollout) = release(&store, APP, code).await;
        builds.push((build.id, rollout));
    }
    let devices = mixed(&store, &builds).await;
    let mut seen = std::collections::BTreeSet::new();
    let mut add_up = async || seen.extend(parts(&store, devices).await.into_keys());
    add_up().await;
    roll_back(&store, false).await;
    add_up().await;
    let next = upload(&store, APP, 5).await;
    canary(&store, &next, 10).await;
    add_up().await;
    let of_next = next.id;
    change(&store, move |track| track.pause(of_next, by())).await;
    add_up().await;
    roll_back(&store, true).await;
    add_up().await;
    // Only the canary is left, then nothing.
    change(&store, move |track| {
        let current = track.current().unwrap().rollout.id;
        track.cancel(current, by())
    })
    .await;
    add_up().await;
    change(&store, move |track| {
        track.roll_back_rollout(of_canary(track), false, by())
    })
    .await;
    add_up().await;
    release(&store, APP, 7).await;
    add_up().await;
    let all: Vec<&str> = Condition::ALL.into_iter().map(Condition::as_str).collect();
    let missing: Vec<_> = all.iter().filter(|word| !seen.contains(*word)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

fn of_canary(track: &Track) -> tidegate_domain::RolloutId {
    track.above_base().next().unwrap().rollout.id
}

async fn who_recovered_or_moved_on_is_not_failing(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    enroll_many(&store, 4).await;
    for name in ["d-0000", "d-0001", "d-0002", "d-0003"] {
        told(
            &store,
            name,
            1,
            Standing::Offered {
                rollout,
                build: build.id,
            },
        )
        .await;
        fails(&store, name, build.id, rollout).await;
    }
    assert_eq!(parts(&store, 4).await["failing"].len(), 4);
    // One succeeds at last, one has the version by another way, one is on a later one.
    let success = report(build.id, ReportStatus::InstallSuccess);
    let batch = vec![proven(&device("d-0001"), rollout, success, NOW - 1)];
    store.record_reports(batch).await.unwrap();
    told(&store, "d-0001", 2, Standing::Refused(Reason::AlreadyCurrent)).await;
    told(&store, "d-0002", 2, Standing::Refused(Reason::AlreadyCurrent)).await;
    told(&store, "d-0003", 3, Standing::Refused(Reason::NewerInstalled)).await;
    let expected = named(&[
        ("ahead", &["d-0003"]),
        ("current", &["d-0001", "d-0002"]),
        ("failing", &["d-0000"]),
    ]);
    assert_eq!(parts(&store, 4).await, expected);
    // What failed with an earlier release says nothing of the next.
    let (next, rollout) = release(&store, APP, 5).await;
    told(
        &store,
        "d-0000",
        1,
        Standing::Offered {
            rollout,
            build: next.id,
        },
    )
    .await;
    assert_eq!(parts(&store, 4).await["pending"], ["d-0000"]);
}

async fn what_was_taken_back_is_told_until_nobody_runs_it(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 1).await;
    let (bad, rollout) = release(&store, APP, 2).await;
    enroll_many(&store, 3).await;
    for name in ["d-0000", "d-0001", "d-0002"] {
        told(&store, name, 2, Standing::Refused(Reason::AlreadyCurrent)).await;
    }
    assert_eq!(census(&store).await.taken_back, []);
    roll_back(&store, false).await;
    let mut expected = TakenBack {
        version: samples::version(2),
        build: bad.id,
        name: "2.0".into(),
        rollout,
        rolled_back: Some((at(0), "ann".into())),
        is_forced: false,
        devices: 3,
    };
    assert_eq!(census(&store).await.taken_back, [expected.clone()]);
    told(&store, "d-0000", 1, Standing::Refused(Reason::AlreadyCurrent)).await;
    expected.devices = 2;
    assert_eq!(census(&store).await.taken_back, [expected.clone()]);
    let counted: u64 = census(&store)
        .await
        .conditions
        .iter()
        .filter(|(condition, _)| *condition == Condition::Stranded)
        .map(|(_, devices)| devices)
        .sum();
    assert_eq!(counted, 2);

    // Released anew, it is nothing bad any more; taken back by force, its devices are on their way.
    let again = bad.clone();
    change(&store, move |track| {
        track.promote(&again, &promotion(100), 1, by())
    })
    .await;
    assert_eq!(census(&store).await.taken_back, []);
    assert_eq!(parts(&store, 3).await["current"], ["d-0001", "d-0002"]);
    roll_back(&store, true).await;
    let taken_back = census(&store).await.taken_back;
    assert_eq!((taken_back[0].is_forced, taken_back[0].devices), (true, 2));
    assert!(taken_back[0].rollout > rollout, "the last of its rollouts");
    // A higher release reaches them as all others.
    let (next, rollout) = release(&store, APP, 3).await;
    for name in ["d-0001", "d-0002"] {
        told(
            &store,
            name,
            2,
            Standing::Offered {
                rollout,
                build: next.id,
            },
        )
        .await;
    }
    assert_eq!(census(&store).await.taken_back, []);
    assert_eq!(parts(&store, 3).await["pending"], ["d-0001", "d-0002"]);
}

async fn a_package_that_nobody_releases_adds_up_as_well(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 2).await;
    enroll_many(&store, 3).await;
    told(&store, "d-0000", 2, Standing::Refused(Reason::AlreadyCurrent)).await;
    told(&store, "d-0001", 0, Standing::Refused(Reason::NoCurrentBuild)).await;
    poll(&store, vec![samples::seen(&device("d-0002"), 10, 1)]).await;
    let expected = named(&[("not_released", &["d-0000", "d-0001"]), ("silent", &["d-0002"])]);
    assert_eq!(parts(&store, 3).await, expected);
    let unknown = DeviceFilter {
        package: Some(package("com.example.unknown")),
        ..part(Condition::NotReleased)
    };
    assert_eq!(listed(&store, unknown, 10).await, Vec::<String>::new());
}

async fn devices_that_do_not_count_are_in_no_part(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 2).await;
    let devices = enroll_many(&store, 3).await;
    for id in &devices {
        told(&store, id.as_str(), 2, Standing::Refused(Reason::AlreadyCurrent)).await;
    }
    let note = actor("ann").note("device.retire", "device/d-0001");
    store.retire_device(&devices[1], note).await.unwrap();
    let expected = named(&[("current", &["d-0000", "d-0002"])]);
    assert_eq!(parts(&store, 2).await, expected);
}

async fn versions_that_devices_make_up_are_counted(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 500).await;
    let devices = enroll_many(&store, 60).await;
    let polls = devices.iter().enumerate().map(|(n, id)| {
        let runs = i64::try_from(n * 20).unwrap();
        let told = match runs < 500 {
            true => Standing::Refused(Reason::NotInCohort),
            false => Standing::Refused(Reason::NewerInstalled),
        };
        Seen {
            told,
            ..samples::seen(id, NOW, runs)
        }
    });
    poll(&store, polls.collect()).await;
    let parts = parts(&store, 60).await;
    let counts: Vec<_> = parts.iter().map(|(word, ids)| (*word, ids.len())).collect();
    assert_eq!(counts, [("ahead", 34), ("current", 1), ("outside", 25)]);
}

/// What must hold for a million devices is seen in the plan that SQLite makes for none.
async fn the_count_and_the_lists_are_read_along_indexes(place: &Place) {
    place.store().await;
    if !place.is_sqlite() {
        return;
    }
    for (query, index) in [
        (
            "SELECT package_id, standing, version_code, count(*) AS devices FROM device_packages
             WHERE counted AND package_id = 1 GROUP BY package_id, standing, version_code",
            "COVERING INDEX device_packages_standing (package_id=?)",
        ),
        (
            "SELECT version_code, device_id FROM device_packages WHERE counted AND package_id = 1 AND standing = 'offered'
             AND version_code >= 2 AND version_code <= 7 AND (version_code > 2 OR device_id > 7)
             ORDER BY version_code, device_id LIMIT 5",
            "COVERING INDEX device_packages_standing (package_id=? AND standing=? AND version_code>? AND version_code<?)",
        ),
        (
            "SELECT id FROM devices WHERE retired_at IS NULL AND last_seen_at < 7 ORDER BY id LIMIT 9",
            "COVERING INDEX devices_last_seen (last_seen_at<?)",
        ),
        (
            "SELECT id FROM devices WHERE retired_at IS NULL AND last_seen_at IS NULL ORDER BY id LIMIT 9",
            "COVERING INDEX devices_last_seen (last_seen_at=?)",
        ),
        (
            "SELECT DISTINCT device_packages.package_id, device_packages.device_id, standing, version_code
             FROM device_builds CROSS JOIN device_packages CROSS JOIN devices
             WHERE device_packages.device_id = device_builds.device_id AND devices.id = device_builds.device_id
             AND device_builds.build_id IN (1, 2) AND device_builds.failures > 0 AND device_packages.package_id = 1
             AND counted AND devices.last_seen_at >= 7 AND ((device_builds.build_id = 1 AND (version_code < 2)))",
            "INDEX device_builds_failing (build_id=?)",
        ),
        (
            "SELECT DISTINCT device_id FROM device_builds WHERE build_id IN (1, 2) AND (device_builds.failures > 0)
             AND device_id > 7 ORDER BY device_id LIMIT 5",
            "COVERING INDEX device_builds_failing (build_id=? AND device_id>?)",
        ),
    ] {
        let plan = place.plan(query);
        assert!(plan.contains(index), "{query}: {plan}");
        assert!(!plan.contains("SCAN"), "{query}: {plan}");
    }
}
