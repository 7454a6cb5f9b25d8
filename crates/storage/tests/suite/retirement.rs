//! Devices that leave: retired, inactive, erased.

use chrono::TimeDelta;
use tidegate_domain::{
    NudgeAudience, NudgeOrder, PatchOutcome, PolicySpec, PolicySubject, PolicyTerms, Report, ReportStatus,
};
use tidegate_storage::{
    AuditFilter, AuditNote, Condition, DeviceFilter, EnrollCredential, EnrolledAs, Error, InactiveCursor,
    NewReport, Page, Store, Told,
};

use crate::gate_counts::{gated, treated};
use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, TOKEN, actor, all, at, device, enroll_many, enrollment, issue_token, nudge, offered, package, poll,
    proven, release, report, seen, version, wakeable,
};

on_both_engines!(
    a_retired_device_is_in_no_list_and_no_count,
    retiring_ends_the_token_once,
    a_retired_device_comes_back_with_a_new_token,
    what_a_retired_device_had_under_way_brings_it_not_back,
    retired_devices_get_no_nudge,
    an_inactive_device_counts_again_with_its_next_poll,
    devices_that_never_came_become_inactive,
    another_setting_counts_devices_again,
    a_walk_along_the_unseen_goes_on_where_it_was,
    an_erased_device_leaves_no_row_anywhere,
    statistics_outlive_an_erased_device,
    tokens_of_an_erased_id_are_never_good_again,
    erasing_ends_a_campaign_that_waited_for_the_device,
    the_log_names_devices_by_pseudonyms,
    every_device_has_a_pseudonym_of_its_own,
    pages_of_the_fleet_are_found_by_index,
);

fn note(action: &'static str, id: &str, second: i64) -> AuditNote {
    AuditNote {
        at: at(second),
        ..actor("ann").note(action, format!("device/{id}"))
    }
}

async fn retire(store: &Store, id: &str, second: i64) -> bool {
    let retired = store
        .retire_device(&device(id), note("device.retire", id, second))
        .await;
    retired.expect("the device is known")
}

async fn erase(store: &Store, id: &str, tag: [u8; 32]) {
    let erased = store
        .erase_device(&device(id), vec![tag], note("device.erase", id, 0))
        .await;
    erased.expect("the device is known");
}

async fn names(store: &Store, filter: DeviceFilter) -> Vec<String> {
    let found = all(2, |page| store.devices(filter.clone(), page)).await;
    found.iter().map(|device| device.id.to_string()).collect()
}

fn of_package() -> DeviceFilter {
    DeviceFilter {
        package: Some(package(APP)),
        ..DeviceFilter::default()
    }
}

fn told(told: Told) -> DeviceFilter {
    DeviceFilter {
        told: Some(told),
        ..of_package()
    }
}

/// The devices that the census counts: all, by version and by what they were told.
async fn counted(store: &Store) -> (u64, u64, u64) {
    let census = store.census(at(0)).await.unwrap();
    let versions = census.packages.iter().flat_map(|package| &package.versions);
    let told = census.packages.iter().flat_map(|package| &package.told);
    (
        census.devices,
        versions.map(|version| version.devices()).sum(),
        told.map(|(_, devices)| devices).sum(),
    )
}

async fn a_retired_device_is_in_no_list_and_no_count(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 4).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 2)).collect()).await;
    poll(&store, vec![offered(&devices[1], 11, rollout, build.id)]).await;
    let failed = report(build.id, ReportStatus::InstallFailed);
    store
        .record_reports(vec![proven(&devices[1], rollout, failed, 12)])
        .await
        .unwrap();
    assert_eq!(counted(&store).await, (4, 4, 4));
    assert!(retire(&store, "d-0001", 20).await);

    assert_eq!(counted(&store).await, (3, 3, 3));
    let census = store.census(at(0)).await.unwrap();
    assert_eq!((census.retired, census.inactive, census.seen), (1, 0, 3));
    assert_eq!(census.packages[0].conditions, [(Condition::Current, 3)]);
    let rest = ["d-0000", "d-0002", "d-0003"];
    assert_eq!(names(&store, DeviceFilter::default()).await, rest);
    assert_eq!(names(&store, of_package()).await, rest);
    assert_eq!(names(&store, told(Told::Offered)).await, [""; 0]);
    let found = |search: &str, retired| DeviceFilter {
        search: Some(search.into()),
        retired,
        ..DeviceFilter::default()
    };
    assert_eq!(names(&store, found("d-000", false)).await, rest);
    assert_eq!(names(&store, found("d-000", true)).await, ["d-0001"]);
    let silent = DeviceFilter {
        silent_since: Some(at(1_000)),
        ..DeviceFilter::default()
    };
    assert_eq!(names(&store, silent).await, rest);
    let failing = DeviceFilter {
        failing: Some(build.id),
        ..DeviceFilter::default()
    };
    assert_eq!(names(&store, failing).await, [""; 0]);
    let retired = DeviceFilter {
        retired: true,
        ..of_package()
    };
    assert_eq!(
        names(&store, retired).await,
        ["d-0001"],
        "what it ran is still known"
    );
    let page = store.device(&devices[1]).await.unwrap();
    assert_eq!(page.retired_at, Some(at(20)));
    assert_eq!(
        store.device_builds(&devices[1]).await.unwrap().len(),
        1,
        "its story stays"
    );
    assert_eq!(store.rejections(vec![build.id]).await.unwrap(), []);
}

async fn retiring_ends_the_token_once(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 1).await;
    let before = store.epochs().await.unwrap().tokens;
    assert!(retire(&store, "d-0000", 1).await);
    assert!(
        !retire(&store, "d-0000", 2).await,
        "a second time it changes nothing"
    );
    let changed = store.revoked_since(before).await.unwrap();
    assert_eq!(changed, [(device("d-0000"), 2)]);
    let log = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    assert_eq!(
        log.items
            .iter()
            .filter(|entry| entry.action == "device.retire")
            .count(),
        1
    );
    let unknown = store
        .retire_device(&device("nobody"), note("device.retire", "nobody", 3))
        .await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}

async fn a_retired_device_comes_back_with_a_new_token(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    release(&store, APP, 2).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 2)).collect()).await;
    retire(&store, "d-0001", 20).await;
    let spent = store.enroll(enrollment("d-0001")).await;
    assert_eq!(
        spent,
        Err(Error::DeviceKnown {
            device: device("d-0001")
        }),
        "the token that it has brings nobody back"
    );
    assert_eq!(counted(&store).await, (1, 1, 1));

    issue_token(&store, [8; 32], 1).await;
    let mut again = enrollment("d-0001");
    again.credential = EnrollCredential::Token([8; 32]);
    let enrolled = store.enroll(again).await.unwrap();
    assert!(enrolled.token_generation > 2, "{enrolled:?}");
    assert_eq!(counted(&store).await, (2, 2, 2));
    assert_eq!(store.device(&devices[1]).await.unwrap().retired_at, None);
    assert_eq!(names(&store, DeviceFilter::default()).await, ["d-0000", "d-0001"]);
}

async fn what_a_retired_device_had_under_way_brings_it_not_back(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    retire(&store, "d-0000", 5).await;
    poll(&store, vec![offered(&devices[0], 6, rollout, build.id)]).await;
    let late = proven(
        &devices[0],
        rollout,
        report(build.id, ReportStatus::InstallFailed),
        7,
    );
    let answer = store.record_reports(vec![late]).await.unwrap();
    assert!(answer[0].refused.is_some());
    assert_eq!(counted(&store).await, (0, 0, 0));
    let census = store.census(at(0)).await.unwrap();
    assert!(
        census
            .packages
            .iter()
            .all(|package| package.conditions.is_empty())
    );
}

async fn retired_devices_get_no_nudge(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 2).await;
    let devices = wakeable(&store, 4).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 1)).collect()).await;
    retire(&store, "d-0001", 20).await;
    poll(
        &store,
        devices.iter().skip(3).map(|id| seen(id, 1_000, 1)).collect(),
    )
    .await;
    store
        .mark_inactive(at(500), at(600), InactiveCursor::default(), 1)
        .await
        .unwrap();
    let marked = store
        .mark_inactive(at(500), at(600), last_seen_leg(&store).await, 1)
        .await
        .unwrap();
    assert_eq!(marked.devices, 1, "d-0000");

    let everybody = nudge(&store, "n-1", NudgeOrder::everybody()).await;
    assert_eq!(
        everybody.progress.total, 2,
        "neither the retired nor the inactive one"
    );
    let behind = NudgeOrder {
        audience: NudgeAudience::Behind,
        package: Some(package(APP)),
        ..NudgeOrder::everybody()
    };
    assert_eq!(nudge(&store, "n-2", behind.clone()).await.progress.total, 2);
    let named = NudgeOrder {
        devices: Some(devices[..2].to_vec()),
        ..behind
    };
    let named = nudge(&store, "n-3", named).await;
    assert_eq!(
        named.progress.queued, 1,
        "by its name an inactive device is woken"
    );
    let retired = nudge(&store, "n-4", crate::samples::named(&devices[1..2])).await;
    let failed = store
        .failed_deliveries(retired.id, Page::default())
        .await
        .unwrap();
    assert_eq!(failed.items[0].reason.as_str(), "revoked");
}

/// The cursor behind the devices that never came.
async fn last_seen_leg(store: &Store) -> InactiveCursor {
    let never = store
        .mark_inactive(at(0), at(0), InactiveCursor::default(), 1_000)
        .await
        .unwrap();
    never.next.expect("the walk goes on with those that came")
}

/// Walks along all that was not seen since then.
async fn mark(store: &Store, since: i64, limit: u32) -> u64 {
    let (mut next, mut sum) = (Some(InactiveCursor::default()), 0);
    while let Some(after) = next {
        let marked = store
            .mark_inactive(at(since), at(since), after, limit)
            .await
            .unwrap();
        sum += marked.devices;
        next = marked.next;
    }
    sum
}

async fn an_inactive_device_counts_again_with_its_next_poll(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 2).await;
    let devices = enroll_many(&store, 3).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 2)).collect()).await;
    poll(&store, vec![seen(&devices[2], 900, 2)]).await;
    assert_eq!(mark(&store, 500, 1_000).await, 2);
    assert_eq!(mark(&store, 500, 1_000).await, 0, "once is enough");
    assert_eq!(counted(&store).await, (1, 1, 1));
    let census = store.census(at(0)).await.unwrap();
    assert_eq!((census.inactive, census.retired), (2, 0));
    let everybody = ["d-0000", "d-0001", "d-0002"];
    assert_eq!(
        names(&store, DeviceFilter::default()).await,
        everybody,
        "they are found"
    );
    assert_eq!(
        names(&store, of_package()).await,
        ["d-0002"],
        "as they are counted"
    );
    let searched = DeviceFilter {
        search: Some("d-".into()),
        ..of_package()
    };
    assert_eq!(names(&store, searched).await, ["d-0002"]);
    assert_eq!(
        store.device(&devices[0]).await.unwrap().inactive_at,
        Some(at(500))
    );

    poll(&store, vec![seen(&devices[0], 1_000, 2)]).await;
    assert_eq!(counted(&store).await, (2, 2, 2));
    assert_eq!(store.device(&devices[0]).await.unwrap().inactive_at, None);
    retire(&store, "d-0001", 1_001).await;
    let census = store.census(at(0)).await.unwrap();
    assert_eq!((census.devices, census.inactive, census.retired), (2, 0, 1));
}

async fn devices_that_never_came_become_inactive(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    for (name, second) in [("a", 0), ("b", 800)] {
        let mut given = enrollment(name);
        given.now = at(second);
        store.enroll(given).await.unwrap();
    }
    assert_eq!(mark(&store, 500, 1).await, 1);
    assert_eq!(
        store.device(&device("a")).await.unwrap().inactive_at,
        Some(at(500))
    );
    let mut again = enrollment("a");
    again.now = at(900);
    store.enroll(again).await.unwrap();
    assert_eq!(store.device(&device("a")).await.unwrap().inactive_at, None);
}

async fn another_setting_counts_devices_again(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 4).await;
    for (id, second) in devices.iter().zip([10, 20, 30]) {
        poll(&store, vec![seen(id, second, 1)]).await;
    }
    assert_eq!(mark(&store, 500, 2).await, 4);
    assert_eq!(
        store.unmark_inactive(Some(at(20)), 1).await,
        Ok(1),
        "no more than asked for"
    );
    assert_eq!(store.unmark_inactive(Some(at(20)), 9).await, Ok(1));
    assert_eq!(store.unmark_inactive(Some(at(20)), 9).await, Ok(0));
    assert_eq!(store.census(at(0)).await.unwrap().devices, 2);
    assert_eq!(store.unmark_inactive(None, 9).await, Ok(2));
    assert_eq!(store.census(at(0)).await.unwrap().devices, 4);
}

async fn a_walk_along_the_unseen_goes_on_where_it_was(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 7).await;
    poll(&store, devices.iter().skip(2).map(|id| seen(id, 10, 1)).collect()).await;
    assert_eq!(
        mark(&store, 500, 2).await,
        7,
        "five of them were seen at the same moment"
    );
}

async fn an_erased_device_leaves_no_row_anywhere(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = wakeable(&store, 2).await;
    for id in &devices {
        poll(&store, vec![treated(id, 10, (&build, rollout), 0)]).await;
        let failed = Report {
            message: Some("no room".into()),
            ..report(build.id, ReportStatus::InstallFailed)
        };
        let failed = NewReport {
            patch: Some(PatchOutcome::Damaged),
            ..proven(id, rollout, failed, 12)
        };
        store.record_reports(vec![failed]).await.unwrap();
    }
    let lab = "lab".parse().unwrap();
    let tagged = store.tag_devices(&lab, devices.clone(), vec![], note("tag.add", "x", 12));
    tagged.await.unwrap();
    for id in &devices {
        let pin = PolicySpec {
            subject: PolicySubject::Device(id.clone()),
            package: None,
            terms: PolicyTerms {
                max_version: Some(version(1)),
                hold: None,
            },
            remark: "under repair".into(),
        };
        store.create_policy(pin, actor("olga")).await.unwrap();
    }
    let unknown = crate::samples::named(&[device("d-0009")]);
    nudge(&store, "n-1", unknown).await;
    nudge(&store, "n-2", NudgeOrder::everybody()).await;
    let mut tables = tables_of_devices(place);
    let known = [
        "device_builds",
        "device_packages",
        "device_patches",
        "device_rollouts",
        "device_search",
        "device_tags",
        "enroll_token_uses",
        "gate_members",
        "imported_devices",
        "nudge_deliveries",
        "policies",
        "reports",
        "tag_changes",
        "tagged_devices",
    ];
    assert_eq!(tables, known, "erasing a device has to empty each of them");
    // That one is about devices that have not enrolled here; see `an_erased_import_leaves_no_row`.
    tables.retain(|table| table != "imported_devices");
    let rows = |table: &str| place.number(&format!("SELECT count(*) AS value FROM {table}"));
    let before: Vec<i64> = tables.iter().map(|table| rows(table)).collect();
    assert!(before.iter().all(|count| *count >= 2), "{before:?}");

    erase(&store, "d-0001", [1; 32]).await;
    issue_token(&store, [9; 32], 1).await;
    let mut late = enrollment("d-0009");
    late.credential = EnrollCredential::Token([9; 32]);
    store.enroll(late).await.unwrap();
    erase(&store, "d-0009", [2; 32]).await;
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(rows(table) * 2, before, "{table}");
    }
    assert_eq!(rows("nudge_unknown_devices"), 0);
    assert!(matches!(
        store.device(&devices[1]).await,
        Err(Error::NotFound { .. })
    ));
    let text = format!(
        "{:?}",
        store
            .audit(AuditFilter::default(), Page::default())
            .await
            .unwrap()
    );
    assert!(
        text.contains("device.erase") && !text.contains("d-0001"),
        "{text}"
    );
    assert_eq!(
        store.verify_audit().await.unwrap().map(|entries| entries > 3),
        Ok(true)
    );
    let twice = store
        .erase_device(&devices[1], vec![], note("device.erase", "d-0001", 0))
        .await;
    assert!(matches!(twice, Err(Error::NotFound { .. })));
}

/// The tables that refer to devices by their numbers.
fn tables_of_devices(place: &Place) -> Vec<String> {
    let mut tables = place.texts(if place.is_sqlite() {
        "SELECT s.name AS value FROM sqlite_schema s, pragma_table_info(s.name) c
         WHERE s.type = 'table' AND c.name = 'device_id'"
    } else {
        "SELECT table_name AS value FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name = 'device_id'"
    });
    tables.sort();
    tables
}

async fn statistics_outlive_an_erased_device(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    poll(&store, vec![offered(&devices[0], 10, rollout, build.id)]).await;
    let installed = report(build.id, ReportStatus::InstallSuccess);
    store
        .record_reports(vec![proven(&devices[0], rollout, installed, 12)])
        .await
        .unwrap();
    let before = store.stats(build.id).await.unwrap();
    assert_eq!(
        (before.stats.total_eligible, before.stats.installs_success),
        (1, 1)
    );
    erase(&store, "d-0000", [1; 32]).await;
    assert_eq!(store.stats(build.id).await.unwrap(), before);
    assert_eq!(
        store.rollout_stats(build.id).await.unwrap()[0].stats,
        before.stats
    );
    assert_eq!(counted(&store).await, (0, 0, 0));
}

async fn tokens_of_an_erased_id_are_never_good_again(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 1).await;
    retire(&store, "d-0000", 1).await;
    let before = store.epochs().await.unwrap().tokens;
    erase(&store, "d-0000", [5; 32]).await;
    assert_eq!(store.erased_since(before).await.unwrap(), [([5; 32], 3)]);
    assert_eq!(
        store.erased_since(0).await.unwrap().len(),
        1,
        "for a server that starts"
    );
    assert_eq!(store.erased_since(before + 1).await.unwrap(), []);

    issue_token(&store, [8; 32], 9).await;
    let enroll = async |name: &str, tags: Vec<[u8; 32]>| {
        let mut given = enrollment(name);
        given.credential = EnrollCredential::Token([8; 32]);
        given.erased_tags = tags;
        store.enroll(given).await.unwrap()
    };
    let again = enroll("d-0000", vec![[6; 32], [5; 32]]).await;
    assert_eq!((again.token_generation, again.how), (3, EnrolledAs::New));
    assert_eq!(
        enroll("d-0000", vec![[5; 32]]).await.token_generation,
        3,
        "a lost answer"
    );
    assert_eq!(
        store.revoked_since(before + 1).await.unwrap(),
        [(device("d-0000"), 3)]
    );
    assert_eq!(
        enroll("d-0001", vec![[6; 32]]).await.token_generation,
        1,
        "others begin at 1"
    );
    erase(&store, "d-0000", [5; 32]).await;
    assert_eq!(store.erased_since(0).await.unwrap(), [([5; 32], 4)]);
}

async fn erasing_ends_a_campaign_that_waited_for_the_device(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 2).await;
    let one = nudge(&store, "n-1", crate::samples::named(&devices[..1])).await;
    let two = nudge(&store, "n-2", crate::samples::named(&devices)).await;
    erase(&store, "d-0000", [5; 32]).await;
    let one = store.campaign(one.id).await.unwrap();
    assert_eq!(
        (one.state.as_str(), one.progress.queued, one.progress.failed),
        ("completed", 0, 1)
    );
    let two = store.campaign(two.id).await.unwrap();
    assert_eq!(
        (two.state.as_str(), two.progress.queued, two.progress.failed),
        ("queued", 1, 1)
    );
    let claimed = store
        .claim_deliveries(two.id, at(1), TimeDelta::seconds(60), 10)
        .await
        .unwrap();
    assert_eq!(claimed.claims.len(), 1);
}

async fn the_log_names_devices_by_pseudonyms(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    // An entry of before there were pseudonyms names the id.
    place
        .execute("UPDATE devices SET pseudonym = NULL WHERE name = 'd-0001'")
        .unwrap();
    store
        .revoke(&devices[1], note("device.revoke", "d-0001", 1))
        .await
        .unwrap();
    let pseudonym = "0123456789abcdef0123456789abcdef";
    place
        .execute(&format!(
            "UPDATE devices SET pseudonym = '{pseudonym}' WHERE name = 'd-0001'"
        ))
        .unwrap();
    store
        .revoke(&devices[1], note("device.revoke", "d-0001", 2))
        .await
        .unwrap();
    let filter = AuditFilter {
        target: Some("device/d-0001".into()),
        ..AuditFilter::default()
    };
    let log = store.audit(filter.clone(), Page::default()).await.unwrap().items;
    let told: Vec<_> = log
        .iter()
        .map(|entry| (entry.target.as_str(), entry.pseudonym.as_deref()))
        .collect();
    assert_eq!(
        told,
        [("device/d-0001", Some(pseudonym)), ("device/d-0001", None)]
    );
    let kept =
        place.texts("SELECT target AS value FROM audit_log WHERE action = 'device.revoke' ORDER BY seq");
    assert_eq!(
        kept,
        ["device/d-0001".to_owned(), format!("pseudonym/{pseudonym}")]
    );
    assert!(
        store.verify_audit().await.unwrap().is_ok(),
        "the chain covers the pseudonym"
    );

    erase(&store, "d-0001", [5; 32]).await;
    let log = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap()
        .items;
    let told: Vec<_> = log.iter().take(3).map(|entry| entry.target.as_str()).collect();
    let nobody = format!("pseudonym/{pseudonym}");
    assert_eq!(told, [nobody.as_str(), nobody.as_str(), "device/d-0001"]);
    let by_pseudonym = AuditFilter {
        target: Some(nobody),
        ..AuditFilter::default()
    };
    assert_eq!(
        store
            .audit(by_pseudonym, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    assert_eq!(store.audit(filter, Page::default()).await.unwrap().items.len(), 1);
    assert!(store.verify_audit().await.unwrap().is_ok());
}

async fn every_device_has_a_pseudonym_of_its_own(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 20).await;
    let mut drawn = place.texts("SELECT pseudonym AS value FROM devices");
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 20);
    assert!(
        drawn
            .iter()
            .all(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
    store.enroll(enrollment("d-0003")).await.unwrap();
    let mut again = place.texts("SELECT pseudonym AS value FROM devices");
    again.sort();
    assert_eq!(again, drawn, "it stays for as long as the row does");
}

async fn pages_of_the_fleet_are_found_by_index(place: &Place) {
    place.store().await;
    if !place.is_sqlite() {
        return;
    }
    for (query, index) in [
        (
            "SELECT * FROM devices WHERE name > 'a' AND name < 'z' AND retired_at IS NULL ORDER BY name LIMIT 5",
            "INDEX devices_name_unretired",
        ),
        (
            "SELECT * FROM devices WHERE name > 'a' AND name < 'z' AND retired_at IS NOT NULL ORDER BY name LIMIT 5",
            "INDEX devices_name_retired",
        ),
        (
            "SELECT count(*) FROM devices WHERE retired_at IS NOT NULL",
            "COVERING INDEX devices_name_retired",
        ),
        (
            "SELECT count(*) FROM devices WHERE inactive_at IS NOT NULL",
            "COVERING INDEX devices_inactive",
        ),
        (
            "SELECT id, name FROM devices WHERE inactive_at IS NOT NULL AND coalesce(last_seen_at, enrolled_at) >= 5
             ORDER BY coalesce(last_seen_at, enrolled_at) LIMIT 5",
            "INDEX devices_inactive (<expr>>?)",
        ),
        (
            "SELECT id, name FROM devices WHERE retired_at IS NULL AND inactive_at IS NULL AND last_seen_at >= 1
             AND last_seen_at < 9 ORDER BY last_seen_at, id LIMIT 5",
            "INDEX devices_last_seen (last_seen_at>? AND last_seen_at<?)",
        ),
        (
            "SELECT id FROM devices WHERE retired_at IS NOT NULL AND NOT story_removed AND retired_at < 5
             ORDER BY retired_at LIMIT 5",
            "INDEX devices_story_end (retired_at>? AND retired_at<?)",
        ),
        (
            "SELECT build_id, hour_at FROM deployment_stat_hours WHERE hour_at < 5 ORDER BY hour_at LIMIT 5",
            "INDEX deployment_stat_hours_hour (hour_at<?)",
        ),
        (
            "SELECT package_id, standing, count(*) FROM device_packages WHERE counted GROUP BY 1, 2",
            "COVERING INDEX device_packages_standing",
        ),
    ] {
        let plan = place.plan(query);
        assert!(plan.contains(index), "{query}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}
