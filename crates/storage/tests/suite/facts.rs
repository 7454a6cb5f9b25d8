//! What devices say of themselves, and what their last poll was told.

use tidegate_domain::{DeviceFacts, DeviceId, Reason, ReportStatus};
use tidegate_storage::{EnrollCredential, Seen, Standing, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::recipients::{behind, chosen};
use crate::samples::{
    APP, TOKEN, at, device, enroll_many, enrollment, issue_taking, issue_token, nudge, offered, package,
    poll, promote, promotion, proven, release, report, seen, upload, wakeable,
};

on_both_engines!(
    the_last_polls_facts_replace_all_earlier_ones,
    a_standing_and_crashes_are_stored_when_they_change,
    behind_is_judged_by_what_polls_say,
);

fn saying(id: &DeviceId, second: i64, facts: DeviceFacts<'static>) -> Seen {
    Seen {
        facts,
        ..seen(id, second, 1)
    }
}

fn of_region(region: &'static str) -> DeviceFacts<'static> {
    DeviceFacts {
        region: Some(region.into()),
        ..DeviceFacts::default()
    }
}

async fn the_last_polls_facts_replace_all_earlier_ones(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    let mut given = enrollment("a");
    given.facts = DeviceFacts {
        model: Some("TC52".into()),
        ..of_region("eu")
    };
    store.enroll(given.clone()).await.unwrap();
    let id = device("a");
    let polled = async || store.device(&id).await.unwrap().polled;
    assert_eq!(polled().await, None);
    assert_eq!(store.device(&id).await.unwrap().facts(), &given.facts);

    let whole = DeviceFacts {
        sdk: Some(30),
        abis: Some("arm64-v8a,armeabi-v7a".into()),
        android: Some("11".into()),
        manufacturer: Some("Zebra".into()),
        tags: Some("dock,night".into()),
        zone: Some("Europe/Berlin".into()),
        protocol: 2,
        dense: true,
        ..of_region("us")
    };
    poll(&store, vec![saying(&id, 10, whole.clone())]).await;
    assert_eq!(polled().await, Some(whole));
    let known = store.device(&id).await.unwrap();
    assert_eq!(known.facts().model, None, "left out is unknown");
    assert_eq!(known.enrolled, given.facts);

    poll(&store, vec![saying(&id, 20, DeviceFacts::default())]).await;
    assert_eq!(polled().await, Some(DeviceFacts::default()), "left out is gone");
    poll(&store, vec![saying(&id, 15, of_region("late"))]).await;
    assert_eq!(
        polled().await,
        Some(DeviceFacts::default()),
        "an older poll came later"
    );
    let batch = vec![
        saying(&id, 40, of_region("last")),
        saying(&id, 30, of_region("before")),
    ];
    poll(&store, batch).await;
    assert_eq!(polled().await, Some(of_region("last")));
}

async fn a_standing_and_crashes_are_stored_when_they_change(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let id = enroll_many(&store, 1).await.remove(0);
    let standing = async |store: &Store| -> Vec<String> {
        let standings = store.standings(&device("d-0000")).await.unwrap();
        let own = standings.into_iter().filter(|(name, _)| *name == package(APP));
        own.map(|(_, told)| told).collect()
    };
    let crashes = || place.number("SELECT coalesce(crashes, -1) AS value FROM device_packages");
    let written = || place.number("SELECT seen_at AS value FROM device_packages");
    assert_eq!(standing(&store).await, Vec::<String>::new(), "it never polled");
    let told = |second, reason, crashes| Seen {
        told: Standing::Refused(reason),
        crashes,
        ..seen(&id, second, 1)
    };
    poll(&store, vec![told(10, Reason::NotInCohort, None)]).await;
    assert_eq!(standing(&store).await, [Reason::NotInCohort.as_str()]);
    assert_eq!(crashes(), -1);

    let first = written();
    poll(&store, vec![told(20, Reason::NotInCohort, None)]).await;
    assert_eq!(written(), first, "no news, nothing is written");
    poll(&store, vec![told(30, Reason::NotInCohort, Some(3))]).await;
    assert_eq!(crashes(), 3);
    poll(&store, vec![told(33, Reason::Halted, Some(3))]).await;
    assert_eq!(
        standing(&store).await,
        [Reason::Halted.as_str()],
        "that alone changed"
    );
    poll(&store, vec![offered(&id, 40, rollout, build.id)]).await;
    assert_eq!(standing(&store).await, [Standing::OFFERED]);
    assert_eq!(crashes(), -1, "the last poll said none");
    poll(&store, vec![told(35, Reason::Paused, Some(9))]).await;
    assert_eq!(
        standing(&store).await,
        [Standing::OFFERED],
        "an older poll came later"
    );
    let word = proven(&id, rollout, report(build.id, ReportStatus::InstallSuccess), 50);
    store.record_reports(vec![word]).await.unwrap();
    assert_eq!(standing(&store).await, [Standing::OFFERED], "a report is no poll");
    assert!(store.standings(&device("nobody")).await.is_err());
}

async fn behind_is_judged_by_what_polls_say(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 2).await;
    let devices = wakeable(&store, 5).await;
    issue_taking(&store, [8; 32], 1).await;
    let mut given = enrollment(devices[3].as_str());
    given.credential = EnrollCredential::Token([8; 32]);
    given.facts = of_region("eu");
    given.fcm_token = Some("f-3".into());
    store.enroll(given).await.unwrap();
    let with_abi = |abis: &'static str| DeviceFacts {
        abis: Some(abis.into()),
        ..of_region("eu")
    };
    let facts = [
        with_abi("arm64-v8a"),
        with_abi("x86_64"),
        of_region("us"),
        // It enrolled in the region, and says so no longer.
        DeviceFacts::default(),
        with_abi("x86_64,arm64-v8a"),
    ];
    let polls = devices.iter().zip(facts);
    poll(&store, polls.map(|(id, facts)| saying(id, 10, facts)).collect()).await;
    let mut to_region = promotion(100);
    to_region.settings.audience = crate::samples::of_region("eu");
    promote(&store, &build, to_region).await;
    let campaign = nudge(&store, "r-1", behind()).await;
    assert_eq!(chosen(place, campaign.id), ["d-0000", "d-0004"]);
    assert_eq!(store.device(&devices[3]).await.unwrap().enrolled, of_region("eu"));
    assert_eq!(
        store.device(&devices[3]).await.unwrap().last_seen_at,
        Some(at(10))
    );
}
