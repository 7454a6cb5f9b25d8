//! Tags that operators give to devices, and how servers hear of them.

use tidegate_domain::{DeviceId, MAX_TAGS_PER_DEVICE, Overlay, Tag};
use tidegate_storage::{
    AuditEntry, AuditFilter, AuditNote, EnrollCredential, Error, Page, Store, TagCursor, Tagged,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, all, at, device, enroll_many, enrollment, issue_token};

on_both_engines!(
    a_tag_is_given_and_taken_and_a_call_may_be_repeated,
    unknown_devices_are_told_and_the_others_are_done,
    a_hundred_thousand_devices_are_tagged_in_one_call,
    too_many_tags_change_nothing,
    a_renamed_tag_stays_on_its_devices,
    a_deleted_tag_is_on_no_device,
    who_walks_along_the_changes_misses_none,
    an_erased_device_loses_its_tags_and_comes_back_without,
);

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

fn note(action: &'static str) -> AuditNote {
    actor("olga").note(action, "tag/x")
}

fn overlay(tags: &[&str]) -> Overlay {
    Overlay::new(tags.iter().map(|name| tag(name)))
}

async fn give(store: &Store, name: &str, devices: &[DeviceId]) -> Tagged {
    let name = tag(name);
    let given = store.tag_devices(&name, devices.to_vec(), vec![], note("tag.add"));
    given.await.unwrap()
}

async fn take(store: &Store, name: &str, devices: &[DeviceId]) -> Tagged {
    let name = tag(name);
    let taken = store.tag_devices(&name, vec![], devices.to_vec(), note("tag.remove"));
    taken.await.unwrap()
}

async fn counts(store: &Store) -> Vec<(String, u64)> {
    let tags = all(2, |page| store.tags(page)).await;
    tags.into_iter()
        .map(|count| (count.tag.to_string(), count.devices))
        .collect()
}

fn counted(tags: &[(&str, u64)]) -> Vec<(String, u64)> {
    tags.iter()
        .map(|(name, devices)| ((*name).to_owned(), *devices))
        .collect()
}

async fn with(store: &Store, name: &str) -> Vec<DeviceId> {
    let name = tag(name);
    all(2, |page| store.devices_with_tag(&name, page)).await
}

async fn entries(store: &Store) -> Vec<AuditEntry> {
    let filter = AuditFilter {
        target: Some("tag/x".to_owned()),
        ..AuditFilter::default()
    };
    store.audit(filter, Page::default()).await.unwrap().items
}

async fn a_tag_is_given_and_taken_and_a_call_may_be_repeated(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 5).await;
    assert_eq!(give(&store, "canary", &devices[..3]).await.added, 3);
    assert_eq!(give(&store, "lab", &devices[2..]).await.added, 3);
    let again = give(&store, "canary", &devices[..3]).await;
    assert_eq!((again.added, again.removed), (0, 0));
    assert_eq!(counts(&store).await, counted(&[("canary", 3), ("lab", 3)]));
    assert_eq!(with(&store, "canary").await, devices[..3]);
    assert_eq!(store.overlay(&devices[2]).await, Ok(overlay(&["canary", "lab"])));

    let moved = store
        .tag_devices(
            &tag("canary"),
            devices[3..].to_vec(),
            devices[..2].to_vec(),
            note("tag.change"),
        )
        .await
        .unwrap();
    assert_eq!((moved.added, moved.removed), (2, 2));
    assert_eq!(take(&store, "canary", &devices[..2]).await.removed, 0);
    assert_eq!(with(&store, "canary").await, devices[2..]);
    assert_eq!(store.overlay(&devices[0]).await, Ok(overlay(&[])));
    let told = entries(&store).await;
    let actions: Vec<&str> = told.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["tag.change", "tag.add", "tag.add"],
        "what changes nothing is not told"
    );
    let after = told[0].after.as_ref().unwrap();
    assert_eq!((&after["added"], &after["removed"]), (&2.into(), &2.into()));
}

async fn unknown_devices_are_told_and_the_others_are_done(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    let mixed = [
        device("nobody"),
        devices[0].clone(),
        device("absent"),
        devices[0].clone(),
    ];
    let tagged = give(&store, "canary", &mixed).await;
    assert_eq!(
        (tagged.added, tagged.unknown),
        (1, vec![device("absent"), device("nobody")])
    );
    let nobody = give(&store, "ghosts", &[device("nobody")]).await;
    assert_eq!((nobody.added, nobody.unknown.len()), (0, 1));
    assert_eq!(take(&store, "ghosts", &devices).await.removed, 0);
    assert_eq!(
        counts(&store).await,
        counted(&[("canary", 1)]),
        "no tag is made for nobody"
    );
    let missing = store.devices_with_tag(&tag("ghosts"), Page::default()).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

async fn a_hundred_thousand_devices_are_tagged_in_one_call(place: &Place) {
    let store = place.store().await;
    let known = enroll_many(&store, 1_500).await;
    let mut devices: Vec<DeviceId> = (0..98_500)
        .map(|number| device(&format!("no-{number}")))
        .collect();
    devices.extend(known.clone());
    let tagged = give(&store, "all", &devices).await;
    assert_eq!((tagged.added, tagged.unknown.len()), (1_500, 98_500));
    assert_eq!(counts(&store).await, counted(&[("all", 1_500)]));
    assert_eq!(take(&store, "all", &devices).await.removed, 1_500);
    assert_eq!(counts(&store).await, counted(&[("all", 0)]));
}

async fn too_many_tags_change_nothing(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    for number in 0..MAX_TAGS_PER_DEVICE {
        give(&store, &format!("t{number}"), &devices[..1]).await;
    }
    let refused = store
        .tag_devices(&tag("straw"), devices.clone(), vec![], note("tag.add"))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("d-0000"), "{refused}");
    assert!(matches!(refused, Error::Rule(_)), "{refused}");
    assert_eq!(counts(&store).await.len(), MAX_TAGS_PER_DEVICE);
    assert!(store.overlay(&devices[1]).await.unwrap().is_empty());
}

async fn a_renamed_tag_stays_on_its_devices(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 3).await;
    give(&store, "canary", &devices[..2]).await;
    give(&store, "lab", &devices).await;
    let (canary, lab, first) = (tag("canary"), tag("lab"), tag("first"));
    let before = store.epochs().await.unwrap();
    let taken = store.rename_tag(&canary, &lab, note("tag.rename")).await;
    assert!(matches!(taken, Err(Error::Duplicate { .. })), "{taken:?}");
    assert_eq!(store.epochs().await.unwrap(), before);
    assert_eq!(store.rename_tag(&canary, &first, note("tag.rename")).await, Ok(2));
    assert_eq!(counts(&store).await, counted(&[("first", 2), ("lab", 3)]));
    assert_eq!(store.overlay(&devices[0]).await, Ok(overlay(&["first", "lab"])));
    assert!(store.epochs().await.unwrap().tags > before.tags);
    let gone = store.rename_tag(&canary, &tag("other"), note("tag.rename")).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

async fn a_deleted_tag_is_on_no_device(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 3).await;
    give(&store, "canary", &devices).await;
    assert_eq!(store.delete_tag(&tag("canary"), note("tag.delete")).await, Ok(3));
    assert_eq!(counts(&store).await, []);
    assert!(store.overlay(&devices[0]).await.unwrap().is_empty());
    let again = store.delete_tag(&tag("canary"), note("tag.delete")).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
    assert_eq!(
        give(&store, "canary", &devices[..1]).await.added,
        1,
        "as a new one"
    );
}

/// All changes after a place, some at a time, and the place of the last.
async fn changes(store: &Store, mut at: TagCursor) -> (Vec<(String, Overlay)>, TagCursor) {
    let mut found = vec![];
    loop {
        let (devices, next) = store.tags_after(at, 2).await.unwrap();
        if devices.is_empty() {
            assert_eq!(next, at);
            return (found, at);
        }
        found.extend(
            devices
                .into_iter()
                .map(|(device, overlay)| (device.to_string(), overlay)),
        );
        at = next;
    }
}

async fn who_walks_along_the_changes_misses_none(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 5).await;
    let (none, start) = changes(&store, TagCursor::default()).await;
    assert_eq!(none, []);
    give(&store, "lab", &devices).await;
    let (first, at) = changes(&store, start).await;
    let all: Vec<_> = devices
        .iter()
        .map(|id| (id.to_string(), overlay(&["lab"])))
        .collect();
    assert_eq!(first, all);
    assert_eq!(at.epoch(), store.epochs().await.unwrap().tags);
    assert_eq!(changes(&store, at).await, (vec![], at));

    take(&store, "lab", &devices[1..2]).await;
    give(&store, "canary", &devices[..1]).await;
    let (since, later) = changes(&store, at).await;
    let expected = vec![
        (devices[1].to_string(), overlay(&[])),
        (devices[0].to_string(), overlay(&["canary", "lab"])),
    ];
    assert_eq!(since, expected, "a tag that was taken away is a change as well");
    store.delete_tag(&tag("lab"), note("tag.delete")).await.unwrap();
    let (gone, _) = changes(&store, later).await;
    assert_eq!(gone.len(), 4, "those that had it");
    assert!(gone.contains(&(devices[0].to_string(), overlay(&["canary"]))));
}

async fn an_erased_device_loses_its_tags_and_comes_back_without(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    give(&store, "canary", &devices).await;
    let (_, at_end) = changes(&store, TagCursor::default()).await;
    let erased = AuditNote {
        at: at(5),
        ..actor("ada").note("device.erase", "device/d-0000")
    };
    store
        .erase_device(&devices[0], vec![[9; 32]], erased)
        .await
        .unwrap();
    assert_eq!(counts(&store).await, counted(&[("canary", 1)]));
    assert_eq!(with(&store, "canary").await, devices[1..]);
    assert_eq!(changes(&store, at_end).await.0, [], "its name is known to nobody");

    issue_token(&store, [8; 32], 1).await;
    let mut again = enrollment("d-0000");
    again.credential = EnrollCredential::Token([8; 32]);
    again.erased_tags = vec![[9; 32]];
    store.enroll(again).await.unwrap();
    let (back, _) = changes(&store, at_end).await;
    assert_eq!(
        back,
        [("d-0000".to_owned(), overlay(&[]))],
        "servers forget what it had"
    );
}
