//! Letting devices in, many at once.

use chrono::Duration;
use tidegate_domain::{Device, DeviceFacts};
use tidegate_storage::{
    AuditFilter, EnrollCredential, Enrolled, EnrolledAs, Enrollment, Error, Grouped, Page, Store, TokenFault,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, TOKEN, actor, at, device, enrollment, issue_token, package, upload, version};

on_both_engines!(
    a_group_leaves_what_each_by_itself_would_have_left,
    whoever_is_out_of_the_ordinary_is_left_for_itself,
    a_token_with_too_few_uses_lets_nobody_in,
    two_servers_let_the_same_devices_in_once,
);

const NEW: Grouped = Grouped::New(Enrolled {
    token_generation: 1,
    command_generation: 1,
    how: EnrolledAs::New,
});

const OTHER: [u8; 32] = [8; 32];

/// Devices of a place that say all that one can say, or little.
fn site(place: &str, token: [u8; 32]) -> Vec<Enrollment> {
    let scanner = |n: i64| {
        let facts = DeviceFacts {
            model: Some("TC52".into()),
            manufacturer: Some("Zebra \"quoted\" ä".into()),
            sdk: Some(30),
            android: Some("11".into()),
            region: Some("eu".into()),
            tags: Some("dock,night".into()),
            ..DeviceFacts::default()
        };
        let much = n % 2 == 0;
        Enrollment {
            credential: EnrollCredential::Token(token),
            alias: much.then(|| format!("Dock {n}")),
            facts: if much { facts } else { DeviceFacts::default() },
            fcm_token: (n % 3 == 0).then(|| format!("fcm-{place}-{n}")),
            key_hash: (n % 5 == 0).then_some([7; 32]),
            package: (n % 2 == 0).then(|| (package(APP), version(1))),
            now: at(0) + Duration::microseconds(n),
            ..enrollment(&format!("{place}-{n:04}"))
        }
    };
    (0..1200).rev().map(scanner).collect()
}

async fn started(place: &Place, uses: u32) -> Store {
    let store = place.store().await;
    issue_token(&store, TOKEN, uses).await;
    upload(&store, APP, 1).await;
    store
}

async fn used(store: &Store) -> Vec<u32> {
    let tokens = store.enroll_tokens(Page::default()).await.unwrap();
    tokens.items.iter().map(|token| token.used).collect()
}

/// What is known of some of the devices, but for their ids.
async fn known(store: &Store, site: &[Enrollment]) -> Vec<Device> {
    let mut devices = vec![];
    for one in site.iter().step_by(7) {
        let known = store.device(&one.device).await.unwrap();
        devices.push(Device {
            id: device("any"),
            ..known
        });
    }
    devices
}

/// The sums of the hour, newest first.
async fn hours(store: &Store) -> Vec<Option<serde_json::Value>> {
    let summed = store.sum_up_enrolments(at(7200)).await.unwrap();
    let page = Page::new(Some(u32::try_from(summed).unwrap()), None).unwrap();
    let entries = store.audit(AuditFilter::default(), page).await.unwrap();
    entries.items.into_iter().map(|entry| entry.after).collect()
}

async fn a_group_leaves_what_each_by_itself_would_have_left(place: &Place) {
    let store = started(place, 2000).await;
    issue_token(&store, OTHER, 2000).await;
    let (alone, together) = (site("alone", TOKEN), site("together", OTHER));
    for device in &alone {
        let enrolled = store.enroll(device.clone()).await.unwrap();
        assert_eq!(NEW, Grouped::New(enrolled));
    }
    let outcome = store.enroll_new(together.clone().into()).await.unwrap();
    assert!(outcome.iter().all(|outcome| *outcome == NEW), "{outcome:?}");
    assert_eq!(known(&store, &together).await, known(&store, &alone).await);
    assert_eq!(used(&store).await, [1200, 1200]);
    let hours = hours(&store).await;
    assert_eq!(hours.len(), 2);
    assert_eq!(hours[0], hours[1]);

    // With its key, each is told the same again.
    let with_key = together.iter().find(|one| one.key_hash.is_some()).unwrap();
    let again = store.enroll(with_key.clone()).await.unwrap();
    assert_eq!((again.how, again.token_generation), (EnrolledAs::Repeated, 1));
    let other_key = Enrollment {
        key_hash: Some([8; 32]),
        ..with_key.clone()
    };
    assert!(matches!(
        store.enroll(other_key).await,
        Err(Error::DeviceKnown { .. })
    ));
}

async fn whoever_is_out_of_the_ordinary_is_left_for_itself(place: &Place) {
    let store = started(place, 100).await;
    let with_fcm = |name: &str, token: &str| Enrollment {
        fcm_token: Some(token.to_owned()),
        ..enrollment(name)
    };
    store.enroll(enrollment("known")).await.unwrap();
    store.enroll(with_fcm("holder", "held")).await.unwrap();
    store.enroll(enrollment("erased")).await.unwrap();
    let tag = [9; 32];
    let erasure = actor("ann").note("device.erase", "device/erased");
    let erased = device("erased");
    store.erase_device(&erased, vec![tag], erasure).await.unwrap();
    let with = |credential, name: &str| Enrollment {
        credential,
        ..enrollment(name)
    };
    let group = vec![
        enrollment("plain"),
        enrollment("known"),
        enrollment("twice"),
        enrollment("twice"),
        with_fcm("taker", "held"),
        with_fcm("either", "shared"),
        with_fcm("or", "shared"),
        Enrollment {
            erased_tags: vec![[1; 32], tag],
            ..enrollment("erased")
        },
        with(EnrollCredential::Token([0; 32]), "stranger"),
        with(EnrollCredential::KeyAlone, "keyed"),
    ];
    let outcome = store.enroll_new(group.into()).await.unwrap();
    let stranger = Grouped::Refused(TokenFault::Unknown);
    let apart = Grouped::Apart;
    assert_eq!(
        outcome,
        [
            NEW, apart, NEW, apart, apart, apart, apart, apart, stranger, apart
        ]
    );
    // Three before, and two of the group.
    assert_eq!(used(&store).await, [5]);
    for absent in ["taker", "either", "or", "erased", "stranger", "keyed"] {
        assert!(store.device(&device(absent)).await.is_err(), "{absent}");
    }
}

async fn a_token_with_too_few_uses_lets_nobody_in(place: &Place) {
    let store = started(place, 3).await;
    let group = ["a", "b", "c", "d"].map(enrollment);
    let refused = store.enroll_new(group.clone().into()).await;
    assert_eq!(refused, Err(Error::Token(TokenFault::UsedUp)));
    assert_eq!(used(&store).await, [0]);
    assert!(store.device(&device("a")).await.is_err());
    let outcome = store.enroll_new(group[1..].into()).await.unwrap();
    assert_eq!(outcome, [NEW; 3]);
}

async fn two_servers_let_the_same_devices_in_once(place: &Place) {
    let store = started(place, 100).await;
    let group: Vec<Enrollment> = (0..50).map(|n| enrollment(&format!("d{n}"))).collect();
    let mut turned = group.clone();
    turned.reverse();
    let (one, other) = tokio::join!(store.enroll_new(group.into()), store.enroll_new(turned.into()));
    let let_in = [one.unwrap(), other.unwrap()].concat();
    let new = let_in.iter().filter(|outcome| **outcome == NEW).count();
    assert_eq!((new, used(&store).await), (50, vec![50]));
}
