//! Devices as a working list: what a filter finds is what a look at each device would find, in every order.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, Device, DeviceFacts, DeviceId, ReportStatus, Tag};
use tidegate_storage::{
    CountBound, DeviceCount, DeviceFilter, DeviceSort, Error, FailureFate, Page, Seen, Settings, Store,
    Trouble,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, TOKEN, actor, all, at, device, enroll_many, enrollment, issue_token, package, poll, proven, release,
    report, seen, version,
};

on_both_engines!(
    each_filter_finds_what_a_look_at_each_device_finds,
    devices_are_sorted_up_and_down,
    what_a_device_says_anew_is_found_at_once,
    words_are_found_without_an_index_of_them,
    troubles_are_told_apart,
    counting_ends_at_ten_thousand,
    what_is_named_and_does_not_exist_matches_nobody,
);

const DEVICES: usize = 48;
const MODELS: [&str; 3] = ["Tab A9", "Tab \"X\"", "till-7"];
const REGIONS: [&str; 4] = ["north", "south", "eu_west", "eu-west"];

/// A fleet in which nothing lines up with anything, and the tag `lab` on every fifth device.
async fn fleet(store: &Store) -> Vec<Device> {
    issue_token(store, TOKEN, 1_000).await;
    release(store, APP, 9).await;
    let mut ids = vec![];
    for n in 0..DEVICES {
        let mut given = enrollment(&format!("{}-{n:03}", ["Kiosk", "till"][n % 2]));
        given.alias = (n % 3 == 0).then(|| format!("Desk {}%{n}", n % 7));
        given.now = at(i64::try_from(n * 37 % 41).unwrap());
        given.fcm_token = (n % 4 != 0).then(|| format!("token-{n}"));
        given.facts = DeviceFacts {
            model: Some(Cow::Borrowed(MODELS[n % 3])),
            region: Some(Cow::Borrowed(REGIONS[n % 4])),
            sdk: Some(28 + u32::try_from(n % 5).unwrap()),
            ..DeviceFacts::default()
        };
        store.enroll(given.clone()).await.unwrap();
        ids.push(given.device);
    }
    let polls = ids.iter().enumerate().filter(|(n, _)| n % 6 != 0);
    let polls = polls.map(|(n, id)| Seen {
        // Some say another region than they enrolled with, and no model.
        facts: DeviceFacts {
            region: (n % 5 == 0).then_some(Cow::Borrowed("west")),
            manufacturer: Some(Cow::Borrowed(["Example", "Other"][n / 3 % 2])),
            ..DeviceFacts::default()
        },
        ..seen(
            id,
            100 + i64::try_from(n * 17 % 23).unwrap(),
            1 + i64::try_from(n % 4).unwrap(),
        )
    });
    poll(store, polls.collect()).await;
    let lab: Vec<DeviceId> = ids.iter().step_by(5).cloned().collect();
    let note = actor("ann").note("tag.add", "tag/lab");
    store.tag_devices(&tag("lab"), lab, vec![], note).await.unwrap();
    let note = actor("ann").note("device.retire", "device/Kiosk-010");
    store.retire_device(&device("Kiosk-010"), note).await.unwrap();
    all(50, |page| store.devices(DeviceFilter::default(), page)).await
}

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

async fn names(store: &Store, filter: &DeviceFilter, size: u32) -> Vec<String> {
    let found = all(size, |page| store.devices(filter.clone(), page)).await;
    found.iter().map(|device| device.id.to_string()).collect()
}

async fn count(store: &Store, filter: &DeviceFilter) -> DeviceCount {
    store.count_devices(filter.clone()).await.unwrap()
}

/// What a look at the device says. Who has the tag is told by the number in the id.
fn matches(filter: &DeviceFilter, device: &Device) -> bool {
    let shown = device.shown();
    let number: usize = device.id.as_str()[device.id.as_str().len() - 3..]
        .parse()
        .unwrap();
    let is = |asked: &Option<String>, fact: &Option<Cow<'_, str>>| {
        asked
            .as_ref()
            .is_none_or(|asked| fact.as_deref() == Some(asked.as_str()))
    };
    let holds = |search: &String| {
        let search = search.to_lowercase();
        let alias = device.alias.clone().unwrap_or_default();
        device.id.as_str().to_lowercase().contains(&search) || alias.to_lowercase().contains(&search)
    };
    let runs = |range: &std::ops::RangeInclusive<_>| {
        device
            .installed
            .iter()
            .any(|(_, version)| range.contains(version))
    };
    filter.search.as_ref().is_none_or(holds)
        && is(&filter.model, &shown.model)
        && is(&filter.region, &shown.region)
        && is(&filter.manufacturer, &shown.manufacturer)
        && filter
            .sdk
            .as_ref()
            .is_none_or(|levels| shown.sdk.is_some_and(|sdk| levels.contains(&sdk)))
        && filter
            .seen_since
            .is_none_or(|since| device.last_seen_at.is_some_and(|at| at >= since))
        && filter
            .silent_since
            .is_none_or(|since| device.last_seen_at.is_none_or(|at| at < since))
        && filter.can_be_nudged.is_none_or(|can| device.has_fcm_token == can)
        && filter.versions.as_ref().is_none_or(runs)
        && (filter.tag.is_none() || number.is_multiple_of(5))
}

/// One filter for each thing that can be asked.
fn filters() -> Vec<DeviceFilter> {
    let none = DeviceFilter::default;
    let some = |text: &str| Some(text.to_owned());
    vec![
        none(),
        DeviceFilter {
            search: some("IOSK-01"),
            ..none()
        },
        DeviceFilter {
            search: some("sk 3%"),
            ..none()
        },
        DeviceFilter {
            search: some("4"),
            ..none()
        },
        DeviceFilter {
            model: some("Tab \"X\""),
            ..none()
        },
        DeviceFilter {
            region: some("eu_west"),
            ..none()
        },
        DeviceFilter {
            region: some("west"),
            ..none()
        },
        DeviceFilter {
            manufacturer: some("Other"),
            ..none()
        },
        DeviceFilter {
            sdk: Some(29..=30),
            ..none()
        },
        DeviceFilter {
            tag: Some(tag("lab")),
            ..none()
        },
        DeviceFilter {
            seen_since: Some(at(110)),
            ..none()
        },
        DeviceFilter {
            silent_since: Some(at(110)),
            ..none()
        },
        DeviceFilter {
            can_be_nudged: Some(true),
            ..none()
        },
        DeviceFilter {
            can_be_nudged: Some(false),
            ..none()
        },
        DeviceFilter {
            package: Some(package(APP)),
            versions: Some(version(2)..=version(3)),
            ..none()
        },
    ]
}

/// What two filters ask together.
fn both(one: &DeviceFilter, other: &DeviceFilter) -> DeviceFilter {
    let (one, other) = (one.clone(), other.clone());
    DeviceFilter {
        search: one.search.or(other.search),
        model: one.model.or(other.model),
        region: one.region.or(other.region),
        manufacturer: one.manufacturer.or(other.manufacturer),
        sdk: one.sdk.or(other.sdk),
        tag: one.tag.or(other.tag),
        seen_since: one.seen_since.or(other.seen_since),
        silent_since: one.silent_since.or(other.silent_since),
        can_be_nudged: one.can_be_nudged.or(other.can_be_nudged),
        package: one.package.or(other.package),
        versions: one.versions.or(other.versions),
        ..DeviceFilter::default()
    }
}

fn expected(fleet: &[Device], filter: &DeviceFilter) -> Vec<String> {
    let found = fleet.iter().filter(|device| matches(filter, device));
    found.map(|device| device.id.to_string()).collect()
}

async fn each_filter_finds_what_a_look_at_each_device_finds(place: &Place) {
    let store = place.store().await;
    let fleet = fleet(&store).await;
    assert_eq!(fleet.len(), DEVICES - 1, "all but the retired one");
    let filters = filters();
    let mut pairs = 0;
    for (n, one) in filters.iter().enumerate() {
        assert!(!expected(&fleet, one).is_empty(), "{one:?}");
        for other in &filters[n..] {
            let filter = both(one, other);
            let expected = expected(&fleet, &filter);
            pairs += usize::from(!expected.is_empty());
            let mut found = names(&store, &filter, 7).await;
            found.sort();
            assert_eq!(found, expected, "{filter:?}");
            let exact = DeviceCount {
                devices: expected.len() as u64,
                bound: CountBound::Exact,
            };
            assert_eq!(count(&store, &filter).await, exact, "{filter:?}");
        }
    }
    assert!(pairs > 80, "only {pairs} pairs find anything");
}

async fn devices_are_sorted_up_and_down(place: &Place) {
    let store = place.store().await;
    let fleet = fleet(&store).await;
    let key = |sort, device: &Device| -> (Option<DateTime<Utc>>, String) {
        match sort {
            DeviceSort::Id => (None, device.id.to_string()),
            DeviceSort::LastSeen => (device.last_seen_at, String::new()),
            DeviceSort::Enrolled => (Some(device.enrolled_at), String::new()),
        }
    };
    for base in filters() {
        for (sort, descending) in DeviceSort::ALL
            .into_iter()
            .flat_map(|sort| [(sort, false), (sort, true)])
        {
            let filter = DeviceFilter {
                sort: Some(sort),
                descending,
                ..base.clone()
            };
            let found = all(5, |page| store.devices(filter.clone(), page)).await;
            let keys = found.iter().map(|device| key(sort, device));
            let in_order = match descending {
                true => keys.rev().is_sorted(),
                false => keys.is_sorted(),
            };
            assert!(in_order, "{filter:?}");
            let mut ids: Vec<String> = found.iter().map(|device| device.id.to_string()).collect();
            ids.sort();
            assert_eq!(ids, expected(&fleet, &base), "{filter:?}");
        }
    }
    let retired = DeviceFilter {
        retired: true,
        sort: Some(DeviceSort::LastSeen),
        ..DeviceFilter::default()
    };
    assert_eq!(names(&store, &retired, 5).await, ["Kiosk-010"]);
}

async fn what_a_device_says_anew_is_found_at_once(place: &Place) {
    let store = place.store().await;
    let ids = enroll_many(&store, 2).await;
    let of_model = |model: &str| DeviceFilter {
        model: Some(model.to_owned()),
        ..DeviceFilter::default()
    };
    let says = |model: &'static str, second| Seen {
        facts: DeviceFacts {
            model: Some(Cow::Borrowed(model)),
            ..DeviceFacts::default()
        },
        ..seen(&ids[0], second, 1)
    };
    assert_eq!(count(&store, &of_model("T1")).await.devices, 0);
    poll(&store, vec![says("T1", 10)]).await;
    assert_eq!(names(&store, &of_model("T1"), 5).await, ["d-0000"]);
    poll(&store, vec![says("T2", 20)]).await;
    assert_eq!(count(&store, &of_model("T1")).await.devices, 0);
    assert_eq!(names(&store, &of_model("T2"), 5).await, ["d-0000"]);
    // A text that PostgreSQL cannot hold stops neither the poll nor the search.
    poll(&store, vec![says("T\0", 30)]).await;
    assert_eq!(store.device(&ids[0]).await.unwrap().last_seen_at, Some(at(30)));
    assert_eq!(count(&store, &of_model("T2")).await.devices, 0);

    let named = |search: &str| DeviceFilter {
        search: Some(search.to_owned()),
        ..DeviceFilter::default()
    };
    assert_eq!(names(&store, &named("-0001"), 5).await, ["d-0001"]);
    let note = actor("ann").note("device.erase", "device/d-0001");
    store.erase_device(&ids[1], vec![], note).await.unwrap();
    assert_eq!(names(&store, &named("-0001"), 5).await, [""; 0]);
    let kept = place.number("SELECT count(*) AS value FROM device_search");
    assert_eq!(kept, 1, "nothing is left of who was erased");
    if place.is_sqlite() {
        let check = "INSERT INTO device_words (device_words, rank) VALUES ('integrity-check', 1)";
        place.execute(check).unwrap();
    }
}

/// As on a PostgreSQL that refuses the extension.
async fn words_are_found_without_an_index_of_them(place: &Place) {
    if place.is_sqlite() {
        return;
    }
    let store = place.store().await;
    assert_eq!(place.execute("DROP INDEX device_search_words"), Ok(0));
    let fleet = fleet(&store).await;
    for search in ["IOSK-01", "sk 3%", "4"] {
        let filter = DeviceFilter {
            search: Some(search.to_owned()),
            ..DeviceFilter::default()
        };
        assert_eq!(
            names(&store, &filter, 3).await,
            expected(&fleet, &filter),
            "{search}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_refuses_the_extension_is_migrated_all_the_same() {
    let place = Place::postgres("no_extension");
    let Place::Postgres(database) = &place else {
        unreachable!("it is PostgreSQL");
    };
    let role = format!("lesser_{}", std::process::id());
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'lesser'"),
        format!("GRANT ALL ON SCHEMA public TO {role}"),
    ] {
        place.execute(&sql).unwrap();
    }
    let url = database.url();
    let after_user = url.split_once('@').unwrap().1;
    let settings = Settings::new(format!("postgres://{role}:lesser@{after_user}"));
    let store = Store::open(&settings).await.unwrap();
    let made = place.number("SELECT count(*) AS value FROM pg_extension WHERE extname = 'pg_trgm'");
    assert_eq!(made, 0, "the right was really missing");
    let fleet = fleet(&store).await;
    let filter = DeviceFilter {
        search: Some("IOSK-01".to_owned()),
        ..DeviceFilter::default()
    };
    assert_eq!(names(&store, &filter, 3).await, expected(&fleet, &filter));
    drop(store);
}

async fn troubles_are_told_apart(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 4).await;
    let told = |n: usize, status, reason: &str, second| {
        let mut report = report(build.id, status);
        report.reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        report.request_id = Some(format!("{second}"));
        proven(&devices[n], rollout, report, second)
    };
    // 0 fails once, 1 fails and then succeeds, 2 gives up, 3 puts it off.
    let reports = vec![
        told(0, ReportStatus::InstallFailed, "storage_low", 10),
        told(1, ReportStatus::InstallFailed, "storage_low", 10),
        told(1, ReportStatus::InstallSuccess, "", 20),
        told(3, ReportStatus::Deferred, "battery_low", 10),
    ];
    store.record_reports(reports).await.unwrap();
    let tries = (0..9).map(|n| told(2, ReportStatus::InstallFailed, "incompatible", 30 + n));
    store.record_reports(tries.collect()).await.unwrap();

    let of = |build: BuildId, reason: Option<&str>, fate| DeviceFilter {
        trouble: Some(Trouble {
            build,
            reason: reason.map(str::to_owned),
            fate,
        }),
        ..DeviceFilter::default()
    };
    for (filter, expected) in [
        (of(build.id, None, Some(FailureFate::Failing)), vec!["d-0000"]),
        (of(build.id, None, Some(FailureFate::Recovered)), vec!["d-0001"]),
        (of(build.id, None, Some(FailureFate::GivenUp)), vec!["d-0002"]),
        (of(build.id, Some("storage_low"), None), vec!["d-0000"]),
        (of(build.id, Some("battery_low"), None), vec!["d-0003"]),
        (of(build.id, None, None), vec!["d-0000", "d-0002", "d-0003"]),
    ] {
        assert_eq!(names(&store, &filter, 2).await, expected, "{filter:?}");
        assert_eq!(count(&store, &filter).await.devices, expected.len() as u64);
        // The same when another index leads.
        let searched = DeviceFilter {
            search: Some("d-00".to_owned()),
            ..filter
        };
        assert_eq!(names(&store, &searched, 2).await, expected, "{searched:?}");
    }
    let failing = DeviceFilter {
        failing: Some(BuildId(99)),
        ..DeviceFilter::default()
    };
    for unknown in [of(BuildId(99), None, None), failing] {
        let asked = store.count_devices(unknown.clone()).await;
        assert!(matches!(asked, Err(Error::NotFound { .. })), "{asked:?}");
    }
}

async fn counting_ends_at_ten_thousand(place: &Place) {
    let store = place.store().await;
    let numbers = if place.is_sqlite() {
        "(WITH RECURSIVE c (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 10050) SELECT value FROM c)"
    } else {
        "(SELECT generate_series(1, 10050) AS value)"
    };
    let sql = format!(
        "INSERT INTO devices (id, name, model, tags_json, enrolled_at)
         SELECT value, 'device-' || value, CASE WHEN value < 10 THEN 'rare' ELSE 'common' END, '[]', value
         FROM {numbers} AS n"
    );
    place.execute(&sql).unwrap();
    let more = DeviceCount {
        devices: 10_000,
        bound: CountBound::More,
    };
    assert_eq!(count(&store, &DeviceFilter::default()).await, more);
    let named = |search: &str| DeviceFilter {
        search: Some(search.to_owned()),
        ..DeviceFilter::default()
    };
    assert_eq!(count(&store, &named("device")).await, more);
    let common = |sort| DeviceFilter {
        model: Some("common".to_owned()),
        sort,
        ..DeviceFilter::default()
    };
    assert_eq!(count(&store, &common(None)).await, more);
    // Too many to be sorted afterwards: the walk is the one that gives the order.
    let newest = DeviceFilter {
        descending: true,
        ..common(Some(DeviceSort::Enrolled))
    };
    let page = Page::new(Some(2), None).unwrap();
    let first = store.devices(newest.clone(), page).await.unwrap();
    let ids: Vec<&str> = first.items.iter().map(|device| device.id.as_str()).collect();
    assert_eq!(ids, ["device-10050", "device-10049"]);
    let page = Page::new(Some(1), first.next_page_token).unwrap();
    let second = store.devices(newest, page).await.unwrap();
    assert_eq!(second.items[0].id.as_str(), "device-10048");
    // Of two filters the narrower one leads, whichever it is.
    let rare = DeviceFilter {
        model: Some("rare".to_owned()),
        ..named("device")
    };
    assert_eq!(count(&store, &rare).await.devices, 9);
    assert_eq!(names(&store, &rare, 50).await.len(), 9);
}

async fn what_is_named_and_does_not_exist_matches_nobody(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 2).await;
    let none = DeviceFilter::default;
    for filter in [
        DeviceFilter {
            tag: Some(tag("nowhere")),
            ..none()
        },
        DeviceFilter {
            package: Some(package("com.example.none")),
            ..none()
        },
        DeviceFilter {
            tag: Some(tag("nowhere")),
            sort: Some(DeviceSort::Enrolled),
            ..none()
        },
    ] {
        assert_eq!(names(&store, &filter, 5).await, [""; 0], "{filter:?}");
        assert_eq!(count(&store, &filter).await.devices, 0);
    }
    // A token of another filter's page leads nowhere.
    let first = store
        .devices(none(), Page::new(Some(1), None).unwrap())
        .await
        .unwrap();
    assert!(first.next_page_token.is_some());
    let token = "30".to_owned() + &"2030".repeat(6);
    let forged = Page::new(None, Some("39".to_owned() + &token)).unwrap();
    let refused = store.devices(none(), forged).await;
    assert!(matches!(refused, Err(Error::Rule(_))), "{refused:?}");
}
