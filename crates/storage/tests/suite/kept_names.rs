//! Tags and calendars stay while a rollout may go by them again: after a roll-back, or once a change is approved.

use tidegate_domain::{
    Approval, Audience, Build, BuildId, Calendar, CalendarName, CalendarTerms, CalendarZone, DeviceId,
    Percent, Promotion, RolloutCalendars, RolloutEdit, RolloutId, RolloutSettings, RolloutState, Tag, Track,
    ZoneName,
};
use tidegate_storage::{Error, PackageEdit, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, by, enroll_many, package, promote, promotion, rollout_of, upload};

on_both_engines!(
    what_a_roll_back_returns_to_keeps_its_tags_and_calendars,
    what_waits_for_an_approval_keeps_its_tags_and_calendars,
    a_change_that_waits_names_no_calendar_that_is_not_there,
);

fn tills() -> Tag {
    Tag::parse("tills").unwrap()
}

fn nights() -> CalendarName {
    CalendarName::parse("nights").unwrap()
}

fn never_the_tills() -> Audience {
    Audience::parse(r#"!("tills" in tags)"#).unwrap()
}

fn at_night() -> RolloutCalendars {
    RolloutCalendars {
        download: None,
        install: Some(nights()),
    }
}

/// The tag on a device, and the calendar.
async fn name_both(store: &Store) -> Vec<DeviceId> {
    let devices = enroll_many(store, 1).await;
    let note = actor("olga").note("tag.add", "tag/tills");
    store
        .tag_devices(&tills(), devices.clone(), vec![], note)
        .await
        .unwrap();
    let calendar = Calendar {
        name: nights(),
        terms: CalendarTerms {
            zone: CalendarZone::Named(ZoneName::utc()),
            windows: vec![],
            freezes: vec![],
        },
    };
    store.create_calendar(calendar, actor("olga")).await.unwrap();
    devices
}

/// Tries to take both names away in every way, and expects that this rollout is told each time.
async fn assert_kept(store: &Store, by: RolloutId) {
    let note = || actor("olga").note("tag.change", "tag/tills");
    let named = |told: &[String]| {
        let mut names = told.iter().map(|told| told.split(" (").next().unwrap());
        names.any(|name| name == format!("rollout {by}"))
    };
    let pos = Tag::parse("pos").unwrap();
    for refused in [
        store.rename_tag(&tills(), &pos, note()).await,
        store.delete_tag(&tills(), note()).await,
    ] {
        match refused {
            Err(Error::TagInUse { by, .. }) => assert!(named(&by), "{by:?}"),
            other => panic!("{other:?}"),
        }
    }
    match store.delete_calendar(nights(), actor("olga")).await {
        Err(Error::CalendarInUse { by, .. }) => assert!(named(&by), "{by:?}"),
        other => panic!("{other:?}"),
    }
}

async fn assert_free(store: &Store) {
    let note = actor("olga").note("tag.delete", "tag/tills");
    assert_eq!(store.delete_tag(&tills(), note).await, Ok(1));
    store.delete_calendar(nights(), actor("olga")).await.unwrap();
}

async fn delete_build(store: &Store, build: BuildId) {
    let note = actor("ada").note("ota.delete", format!("package/{APP}"));
    store.delete_build(build, note).await.unwrap();
}

async fn change<F>(store: &Store, rule: F) -> Vec<tidegate_domain::Rollout>
where
    F: Fn(&Track) -> Result<tidegate_domain::Change, tidegate_domain::Error> + Send + 'static,
{
    let changed = store
        .change_track(package(APP), actor("ann"), move |track, _| rule(track))
        .await;
    changed.unwrap().inserted
}

async fn what_a_roll_back_returns_to_keeps_its_tags_and_calendars(place: &Place) {
    let store = place.store().await;
    name_both(&store).await;
    let mut builds: Vec<Build> = vec![];
    for version in 10..14 {
        builds.push(upload(&store, APP, version).await);
    }
    let careful = Promotion {
        settings: RolloutSettings {
            audience: never_the_tills(),
            calendars: at_night(),
            ..RolloutSettings::to(Percent::EVERYBODY)
        },
        ..promotion(100)
    };
    let first = rollout_of(&promote(&store, &builds[0], careful).await);
    promote(&store, &builds[1], promotion(100)).await;
    let ended = store.rollout(first).await.unwrap().spec;
    assert_eq!(ended.state, RolloutState::Superseded);
    assert_kept(&store, first).await;

    promote(&store, &builds[2], promotion(100)).await;
    assert_kept(&store, first).await;
    // Two roll-backs in a row lead to it.
    change(&store, |track| track.roll_back(false, by())).await;
    let back = change(&store, |track| track.roll_back(false, by())).await;
    assert_eq!(back[0].spec.settings.audience, never_the_tills());
    assert_eq!(back[0].spec.settings.calendars, at_night());
    assert_kept(&store, back[0].id).await;

    // Nothing returns to a build that was deleted, nor beyond it.
    promote(&store, &builds[2], promotion(100)).await;
    promote(&store, &builds[3], promotion(100)).await;
    assert_kept(&store, back[0].id).await;
    delete_build(&store, builds[0].id).await;
    assert_free(&store).await;
}

/// A rollout to everybody whose change to [`never_the_tills`], at night, waits.
async fn waiting(store: &Store) -> RolloutId {
    let build = upload(store, APP, 1).await;
    let id = rollout_of(&promote(store, &build, promotion(100)).await);
    let always = PackageEdit {
        approval: Some(Approval::Always),
        ..PackageEdit::default()
    };
    store
        .edit_package(
            &package(APP),
            always,
            actor("ada").note("package.edit", "package/x"),
        )
        .await
        .unwrap();
    let edit = RolloutEdit {
        audience: Some(never_the_tills()),
        install_calendar: Some(Some(nights())),
        ..RolloutEdit::default()
    };
    change(store, move |track| track.edit(id, edit.clone(), 1, by())).await;
    let spec = store.rollout(id).await.unwrap().spec;
    assert!(spec.consent.request.is_some());
    assert_eq!(
        spec.settings.audience,
        Audience::default(),
        "it serves on as it was"
    );
    id
}

async fn what_waits_for_an_approval_keeps_its_tags_and_calendars(place: &Place) {
    let store = place.store().await;
    name_both(&store).await;
    let id = waiting(&store).await;
    assert_kept(&store, id).await;
    change(&store, move |track| track.deny(id, by())).await;
    assert_free(&store).await;
}

async fn a_change_that_waits_names_no_calendar_that_is_not_there(place: &Place) {
    let store = place.store().await;
    name_both(&store).await;
    let id = waiting(&store).await;
    let before = store.rollout(id).await.unwrap();
    let edit = RolloutEdit {
        audience: Some(Audience::parse(r#"region == "north""#).unwrap()),
        download_calendar: Some(Some(CalendarName::parse("gone").unwrap())),
        ..RolloutEdit::default()
    };
    let seen = before.spec.revision;
    let refused = store
        .change_track(package(APP), actor("ann"), move |track, _| {
            track.edit(id, edit.clone(), seen, by())
        })
        .await;
    assert_eq!(refused.unwrap_err().to_string(), "there is no calendar gone");
    assert_eq!(store.rollout(id).await.unwrap(), before, "nothing was changed");
}
