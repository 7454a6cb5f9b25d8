//! What happened to one device, and how devices fail with a build.

use std::borrow::Cow;

use tidegate_domain::{DeviceFacts, DeviceId, MAX_TAGS_PER_DEVICE, ReportStatus, Tag};
use tidegate_storage::{
    AuditNote, BuildFailures, DeviceEvent, DeviceHappening, EnrollCredential, Enrollment, Error, Seen, Store,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, device, enroll_many, enrollment, issue_taking, named, nudge, offered, poll, proven,
    release, report,
};

on_both_engines!(
    a_device_has_one_timeline_of_all_tables,
    a_timeline_is_read_page_by_page,
    who_last_gave_and_took_each_tag_is_in_the_timeline,
    failures_are_counted_by_reason_model_level_and_day,
);

fn words(events: &[DeviceEvent]) -> Vec<String> {
    let words = |event: &DeviceEvent| match &event.what {
        DeviceHappening::Enrolled => "enrolled".to_owned(),
        DeviceHappening::Imported => "imported".to_owned(),
        DeviceHappening::ToldFcmToken => "token".to_owned(),
        DeviceHappening::Offered(build, rollout) => {
            format!("offered {} {rollout:?}", build.version_name)
        }
        DeviceHappening::Reported {
            build,
            status,
            reason,
            ..
        } => format!(
            "{status} {} {}",
            build.version_name,
            reason.clone().unwrap_or_default()
        ),
        DeviceHappening::Nudged(campaign) => format!("nudged {campaign}"),
        DeviceHappening::PolledAfterNudge(campaign) => format!("polled after {campaign}"),
        DeviceHappening::Acknowledged(campaign) => format!("acknowledged {campaign}"),
        DeviceHappening::TagChanged { tag, is_given, actor } => format!("{tag} {is_given} {actor}"),
        DeviceHappening::LastPoll => "polled".to_owned(),
    };
    events.iter().map(words).collect()
}

async fn a_device_has_one_timeline_of_all_tables(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 2).await;
    let token = Some("t".to_owned());
    store.set_fcm_token(&devices[0], token, at(5)).await.unwrap();
    let campaign = nudge(&store, "request-1", named(&devices[..1])).await;
    place
        .execute("UPDATE nudge_deliveries SET sent_at = 1800000007000000, acknowledged_at = 1800000008000000")
        .unwrap();
    poll(&store, vec![offered(&devices[0], 10, rollout, build.id)]).await;
    let mut deferred = report(build.id, ReportStatus::Deferred);
    deferred.reason = Some("battery_low".to_owned());
    let reports = vec![
        proven(&devices[0], rollout, deferred, 20),
        proven(
            &devices[0],
            rollout,
            report(build.id, ReportStatus::InstallSuccess),
            30,
        ),
        // Of another device.
        proven(
            &devices[1],
            rollout,
            report(build.id, ReportStatus::InstallFailed),
            40,
        ),
    ];
    store.record_reports(reports).await.unwrap();
    let events = store.device_timeline(&devices[0], None, 50).await.unwrap();
    assert!(events.is_sorted_by(|one, other| one.at >= other.at));
    let rollout = Some(rollout);
    let mut expected = vec![
        "install_success 2.0 ".to_owned(),
        "deferred 2.0 battery_low".to_owned(),
        "polled".to_owned(),
        format!("offered 2.0 {rollout:?}"),
        format!("acknowledged {}", campaign.id),
        format!("nudged {}", campaign.id),
        "token".to_owned(),
        "enrolled".to_owned(),
    ];
    let mut told = words(&events);
    told.retain(|word| !word.starts_with("polled after"));
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
    let nobody = store.device_timeline(&device("nobody"), None, 50).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })));
}

async fn a_timeline_is_read_page_by_page(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    let reports = (0..9).map(|n| {
        let mut put_off = report(build.id, ReportStatus::Deferred);
        put_off.request_id = Some(format!("r{n}"));
        // Three at each moment.
        proven(&devices[0], rollout, put_off, 10 + n / 3)
    });
    store.record_reports(reports.collect()).await.unwrap();
    let whole = store.device_timeline(&devices[0], None, 200).await.unwrap();
    for limit in [1, 2, 4] {
        let (mut read, mut before) = (vec![], None);
        loop {
            let page = store.device_timeline(&devices[0], before, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(
                page.len() <= 4 + 2,
                "no more than asked for, and the rest of its last moment"
            );
            before = Some(last.at);
            read.extend(page);
        }
        assert_eq!(read, whole, "{limit}");
    }
}

async fn who_last_gave_and_took_each_tag_is_in_the_timeline(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    let tag = |name: &str| Tag::parse(name).unwrap();
    let by = |who: &str, action, second| AuditNote {
        at: at(second),
        ..actor(who).note(action, "tag/x")
    };
    let (one, both) = (devices[..1].to_vec(), devices.clone());
    for (name, add, remove, who, second) in [
        ("canary", both.clone(), vec![], "olga", 10),
        // What it has already is not given again.
        ("canary", both.clone(), vec![], "ivan", 11),
        ("lab", one.clone(), vec![], "o'brien \"$1\"", 12),
        ("north", vec![], both.clone(), "ivan", 13),
        ("lab", vec![devices[1].clone()], one, "ivan", 14),
    ] {
        let note = by(who, "tag.change", second);
        store.tag_devices(&tag(name), add, remove, note).await.unwrap();
    }
    assert_eq!(
        tags_of(&store, &devices[0]).await,
        ["lab false ivan", "canary true olga"]
    );
    assert_eq!(
        tags_of(&store, &devices[1]).await,
        ["lab true ivan", "canary true olga"]
    );

    // A refused change leaves nothing; a tag that is deleted was taken from those that had it, under its name.
    let crowd: Vec<String> = (0..MAX_TAGS_PER_DEVICE - 1).map(|n| format!("t{n}")).collect();
    for name in &crowd {
        let (name, one) = (tag(name), vec![devices[1].clone()]);
        let given = store.tag_devices(&name, one, vec![], by("olga", "tag.add", 1));
        if given.await.is_err() {
            assert_eq!(Some(name.as_str()), crowd.last().map(String::as_str));
        }
    }
    let last = format!("{} ", crowd.last().unwrap());
    let told = tags_of(&store, &devices[1]).await;
    assert_eq!(told.len(), MAX_TAGS_PER_DEVICE);
    assert!(!told.iter().any(|line| line.starts_with(&last)), "{told:?}");
    store
        .rename_tag(&tag("lab"), &tag("shop"), by("olga", "tag.rename", 15))
        .await
        .unwrap();
    store
        .delete_tag(&tag("shop"), by("ada", "tag.delete", 16))
        .await
        .unwrap();
    assert_eq!(
        tags_of(&store, &devices[1]).await[..3],
        ["shop false ada", "lab true ivan", "canary true olga"]
    );
    assert_eq!(
        tags_of(&store, &devices[0]).await,
        ["lab false ivan", "canary true olga"]
    );

    // After their time they go, the oldest first, and the tags stay.
    assert_eq!(store.remove_tag_changes(at(14), 1_000).await, Ok(64));
    assert_eq!(tags_of(&store, &devices[0]).await, ["lab false ivan"]);
    assert_eq!(store.remove_tag_changes(at(15), 1).await, Ok(1));
    assert_eq!(store.remove_tag_changes(at(15), 1).await, Ok(1));
    assert_eq!(store.remove_tag_changes(at(15), 1).await, Ok(0));
    assert_eq!(tags_of(&store, &devices[1]).await, ["shop false ada"]);
    assert!(!store.overlay(&devices[0]).await.unwrap().is_empty());
}

/// What a device's timeline has of tags.
async fn tags_of(store: &Store, id: &DeviceId) -> Vec<String> {
    let events = store.device_timeline(id, None, 200).await.unwrap();
    let of_tags = |event: &DeviceEvent| matches!(event.what, DeviceHappening::TagChanged { .. });
    words(&events.into_iter().filter(of_tags).collect::<Vec<_>>())
}

async fn failures_are_counted_by_reason_model_level_and_day(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 6).await;
    let day = 86_400;
    let facts = |model: &'static str, sdk| DeviceFacts {
        model: Some(Cow::Borrowed(model)),
        sdk: Some(sdk),
        ..DeviceFacts::default()
    };
    let polls = devices.iter().enumerate().map(|(n, id)| Seen {
        facts: facts(["A9", "S6"][n % 2], 30 + u32::from(n > 2)),
        ..offered(id, 1, rollout, build.id)
    });
    poll(&store, polls.collect()).await;
    let failed = |n: usize, reason: &str, second| {
        let mut report = report(build.id, ReportStatus::InstallFailed);
        report.reason = Some(reason.to_owned());
        report.request_id = Some(format!("{n} {second}"));
        proven(&devices[n], rollout, report, second)
    };
    let now = 3 * day;
    store
        .record_reports(vec![
            // Long ago, yesterday, and today; one device twice.
            failed(0, "storage_low", 10),
            failed(1, "storage_low", now - day - 10),
            failed(2, "storage_low", now - 20),
            failed(2, "storage_low", now - 10),
            failed(3, "storage_low", now - day),
            failed(4, "blocked", now - 2 * day - 1),
            failed(5, "blocked", now - 5),
            proven(
                &devices[5],
                rollout,
                report(build.id, ReportStatus::InstallSuccess),
                now - 1,
            ),
        ])
        .await
        .unwrap();
    let found = failures(&store, now, build.id).await;
    assert_eq!((found.failing, found.given_up, found.recovered), (5, 0, 1));
    assert!(!found.is_cut);
    let told: Vec<_> = found
        .reasons
        .iter()
        .map(|of| (of.reason.as_str(), of.devices, of.last_day, of.day_before))
        .collect();
    assert_eq!(told, [("storage_low", 4, 2, 1), ("blocked", 1, 1, 0)]);
    let storage = &found.reasons[0];
    assert_eq!(storage.status, "install_failed");
    let a9 = Some("A9".to_owned());
    assert_eq!(storage.models, [(a9, 2), (Some("S6".to_owned()), 2)]);
    assert_eq!(storage.levels, [(Some(30), 3), (Some(31), 1)]);
    // Devices that enrol anew begin anew: their failures are no fate of theirs any more, and no reason either.
    issue_taking(&store, [8; 32], 2).await;
    for device in &devices[1..3] {
        let again = Enrollment {
            credential: EnrollCredential::Token([8; 32]),
            now: at(80_000),
            ..enrollment(device.as_str())
        };
        store.enroll(again).await.unwrap();
    }
    let found = failures(&store, now, build.id).await;
    assert_eq!((found.failing, found.given_up, found.recovered), (3, 0, 1));
    let told = found.reasons.iter().map(|of| (of.reason.as_str(), of.devices));
    assert_eq!(told.collect::<Vec<_>>(), [("storage_low", 2), ("blocked", 1)]);
    // Of another build nothing.
    let none = failures(&store, now, tidegate_domain::BuildId(99)).await;
    assert_eq!(none, BuildFailures::default());
}

async fn failures(store: &Store, now: i64, build: tidegate_domain::BuildId) -> BuildFailures {
    store.build_failures(build, at(now)).await.unwrap()
}
