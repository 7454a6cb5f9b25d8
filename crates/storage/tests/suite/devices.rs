//! Looking at devices, waking them, shutting them out.

use tidegate_storage::{DeviceFilter, Error, Page};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, TOKEN, actor, all, at, device, enroll_many, enrollment, issue_token, package, upload, version,
};

on_both_engines!(
    devices_are_found_by_id_alias_and_package,
    pages_stay_put_while_devices_arrive,
    a_revoked_device_needs_a_new_token,
    a_wake_up_token_comes_and_goes,
);

async fn devices_are_found_by_id_alias_and_package(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 10).await;
    upload(&store, APP, 3).await;
    for (name, alias, runs) in [
        ("aa1", Some("Ärger"), 3),
        ("ab2", Some("Kiosk_1"), 0),
        ("b3", Some("kiosk 2"), 3),
        ("Z4", None, 0),
        ("ü5", None, 3),
    ] {
        let mut given = enrollment(name);
        given.alias = alias.map(Into::into);
        given.package = Some((package(APP), version(runs)));
        store.enroll(given).await.unwrap();
    }
    let find = async |search: Option<&str>, runs: Option<&str>| -> Vec<String> {
        let filter = DeviceFilter {
            search: search.map(Into::into),
            package: runs.map(package),
            ..DeviceFilter::default()
        };
        let found = store.devices(filter, Page::default()).await.unwrap();
        found.items.iter().map(|device| device.id.to_string()).collect()
    };
    assert_eq!(
        find(None, None).await,
        ["Z4", "aa1", "ab2", "b3", "ü5"],
        "by bytes on both engines"
    );
    assert_eq!(find(Some("a"), None).await, ["aa1", "ab2"]);
    assert_eq!(find(Some("KIOSK"), None).await, ["ab2", "b3"]);
    assert_eq!(find(Some("osk 2"), None).await, ["b3"], "in the midst of it");
    assert_eq!(find(Some("B3"), None).await, ["b3"], "an id in whatever case");
    assert_eq!(
        find(Some("%sk"), None).await,
        Vec::<String>::new(),
        "no wildcards"
    );
    assert_eq!(
        find(Some("\"OR\"x"), None).await,
        Vec::<String>::new(),
        "no operators"
    );
    assert_eq!(find(Some("kiosk_"), None).await, ["ab2"], "no wildcards");
    assert_eq!(find(Some("är"), None).await, ["aa1"]);
    assert_eq!(find(None, Some(APP)).await, ["aa1", "b3", "ü5"]);
    assert_eq!(find(Some("kiosk"), Some(APP)).await, ["b3"]);
    assert_eq!(
        find(Some("x\0"), Some("com.example.none")).await,
        Vec::<String>::new()
    );
}

async fn pages_stay_put_while_devices_arrive(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 7).await;
    let page = Page::new(Some(3), None).unwrap();
    let first = store.devices(DeviceFilter::default(), page).await.unwrap();
    for earlier in ["a-new", "d-0001x"] {
        store.enroll(enrollment(earlier)).await.unwrap();
    }
    let page = Page::new(Some(3), first.next_page_token).unwrap();
    let second = store.devices(DeviceFilter::default(), page).await.unwrap();
    let ids: Vec<_> = second.items.iter().map(|device| device.id.as_str()).collect();
    assert_eq!(ids, ["d-0003", "d-0004", "d-0005"]);
    let whole = all(4, |page| store.devices(DeviceFilter::default(), page)).await;
    assert_eq!(whole.len(), 9);
    assert!(whole.is_sorted_by_key(|device| device.id.clone()));
}

async fn a_revoked_device_needs_a_new_token(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 3).await;
    let id = device("d-0001");
    store.set_fcm_token(&id, Some("t".into()), at(1)).await.unwrap();
    let note = || actor("ann").note("device.revoke", "device/d-0001");
    assert_eq!(store.revoke(&id, note()).await, Ok(2));
    assert_eq!(store.revoke(&id, note()).await, Ok(3));
    assert_eq!(store.revoked_generations().await, Ok(vec![(id.clone(), 3)]));
    let known = store.device(&id).await.unwrap();
    assert_eq!((known.token_generation, known.has_fcm_token), (3, false));
    assert_eq!(store.epochs().await.unwrap().tokens, 2);

    let nobody = store.revoke(&device("nobody"), note()).await;
    assert!(matches!(nobody, Err(Error::NotFound { what }) if what == "device nobody"));
    assert_eq!(
        store.verify_audit().await,
        Ok(Ok(3)),
        "the token and two revocations"
    );
}

async fn a_wake_up_token_comes_and_goes(place: &Place) {
    let store = place.store().await;
    enroll_many(&store, 1).await;
    let id = device("d-0000");
    for token in [Some("one"), Some("two"), None] {
        store
            .set_fcm_token(&id, token.map(Into::into), at(1))
            .await
            .unwrap();
        assert_eq!(store.device(&id).await.unwrap().has_fcm_token, token.is_some());
    }
    let nobody = store.set_fcm_token(&device("nobody"), None, at(1)).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })));
}
