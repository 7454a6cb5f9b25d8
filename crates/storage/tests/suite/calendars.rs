//! Calendars, and the rollouts that go by them.

use tidegate_domain::{
    BuildId, By, Calendar, CalendarName, CalendarTerms, CalendarZone, Freeze, MAX_CALENDARS, NudgeAudience,
    NudgeOrder, Percent, Promotion, RolloutCalendars, RolloutEdit, RolloutId, RolloutSettings, RolloutState,
    Window, ZoneName,
};
use tidegate_storage::{AuditFilter, Error, Page, Store, StoredCalendar, TrackChange};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, all, at, nudge, package, poll, promote, promotion, rollout_of, seen, upload, wakeable,
};

on_both_engines!(
    a_calendar_is_made_changed_and_removed,
    there_are_so_many_calendars_and_no_more,
    a_rollout_keeps_its_calendars_and_they_stand_in_the_catalog,
    a_calendar_that_serves_is_not_deleted_and_one_that_ended_forgets_it,
    a_rollout_by_a_calendar_that_is_not_there_is_refused,
    deleting_and_releasing_at_once_leaves_no_rollout_without_its_calendar,
    whoever_waits_for_a_window_is_not_behind,
    an_earlier_version_pauses_what_waits_for_windows,
);

fn name(text: &str) -> CalendarName {
    CalendarName::parse(text).unwrap()
}

fn terms(windows: &[(&str, &str)], freezes: &[(&str, &str)]) -> CalendarTerms {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    CalendarTerms {
        zone: CalendarZone::Device {
            fallback: ZoneName::utc(),
        },
        windows: windows
            .iter()
            .map(|(start, end)| Window::parse(&days, start, end).unwrap())
            .collect(),
        freezes: freezes
            .iter()
            .map(|(from, to)| Freeze::parse(from, to, false).unwrap())
            .collect(),
    }
}

fn nights() -> CalendarTerms {
    terms(&[("22:00", "04:00")], &[("2026-12-20", "2027-01-06T12:00")])
}

fn frozen() -> CalendarTerms {
    terms(&[], &[("1970-01-01", "2199-12-31")])
}

async fn create(store: &Store, of: &str, terms: CalendarTerms) -> StoredCalendar {
    let calendar = Calendar {
        name: name(of),
        terms,
    };
    let made = store.create_calendar(calendar, actor("olga")).await.unwrap();
    assert!(made.changed);
    made.stored
}

fn by(download: Option<&str>, install: Option<&str>) -> Promotion {
    Promotion {
        settings: RolloutSettings {
            calendars: RolloutCalendars {
                download: download.map(name),
                install: install.map(name),
            },
            ..RolloutSettings::to(Percent::EVERYBODY)
        },
        ..promotion(100)
    }
}

async fn edit(store: &Store, id: RolloutId, seen: u32, edit: RolloutEdit) -> Result<TrackChange, Error> {
    let rule =
        move |track: &tidegate_domain::Track, _: &_| track.edit(id, edit.clone(), seen, crate::samples::by());
    store.change_track(package(APP), actor("olga"), rule).await
}

async fn actions(store: &Store) -> Vec<String> {
    let log = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    let actions = log.items.into_iter().map(|entry| entry.action);
    actions.filter(|action| action.starts_with("calendar.")).collect()
}

async fn a_calendar_is_made_changed_and_removed(place: &Place) {
    let store = place.store().await;
    let made = create(&store, "nights", nights()).await;
    assert_eq!((made.revision, made.created_by.as_str()), (1, "olga"));
    assert_eq!(made.calendar.terms, nights());
    let again = store
        .create_calendar(made.calendar.clone(), actor("otto"))
        .await
        .unwrap();
    assert_eq!((again.stored, again.changed), (made.clone(), false));
    let other = Calendar {
        name: name("nights"),
        terms: frozen(),
    };
    let refused = store.create_calendar(other, actor("otto")).await.unwrap_err();
    assert!(matches!(refused, Error::Duplicate { .. }), "{refused}");

    let epoch = store.epochs().await.unwrap().catalog;
    let change = |seen, terms| store.change_calendar(name("nights"), terms, seen, actor("otto"));
    let changed = change(Some(1), frozen()).await.unwrap();
    assert_eq!((changed.stored.revision, changed.changed), (2, true));
    assert_eq!(changed.stored.created_by, "olga");
    assert!(store.epochs().await.unwrap().catalog > epoch);
    assert!(
        !change(Some(1), frozen()).await.unwrap().changed,
        "it is so already"
    );
    let late = change(Some(1), nights()).await.unwrap_err();
    let expected = Error::CalendarChanged {
        calendar: name("nights"),
        seen: 1,
        revision: 2,
    };
    assert_eq!(late, expected);
    assert_eq!(change(None, nights()).await.unwrap().stored.revision, 3);
    assert_eq!(
        store.calendar(name("nights")).await.unwrap().calendar.terms,
        nights()
    );

    create(&store, "Days", frozen()).await;
    let listed = all(1, |page| store.calendars(page)).await;
    let names: Vec<&str> = listed
        .iter()
        .map(|stored| stored.calendar.name.as_str())
        .collect();
    assert_eq!(names, ["Days", "nights"], "by their bytes, on both engines");

    let deleted = store
        .delete_calendar(name("nights"), actor("otto"))
        .await
        .unwrap();
    assert_eq!(deleted.revision, 3);
    for gone in [
        store.calendar(name("nights")).await.map(|_| ()),
        store
            .delete_calendar(name("nights"), actor("otto"))
            .await
            .map(|_| ()),
        change(None, nights()).await.map(|_| ()),
    ] {
        assert!(matches!(gone.unwrap_err(), Error::NotFound { .. }));
    }
    let expected = [
        "calendar.delete",
        "calendar.create",
        "calendar.change",
        "calendar.change",
        "calendar.create",
    ];
    assert_eq!(actions(&store).await, expected);
    assert!(store.verify_audit().await.unwrap().is_ok());
}

async fn there_are_so_many_calendars_and_no_more(place: &Place) {
    let store = place.store().await;
    for number in 0..MAX_CALENDARS {
        create(&store, &format!("c-{number}"), frozen()).await;
    }
    let calendar = Calendar {
        name: name("one-more"),
        terms: frozen(),
    };
    let refused = store.create_calendar(calendar, actor("olga")).await.unwrap_err();
    assert!(matches!(refused, Error::TooMany { limit: 200, .. }), "{refused}");
}

async fn a_rollout_keeps_its_calendars_and_they_stand_in_the_catalog(place: &Place) {
    let store = place.store().await;
    for of in ["nights", "days", "unused"] {
        create(&store, of, nights()).await;
    }
    let build = upload(&store, APP, 1).await;
    let mut careful = by(Some("nights"), Some("days"));
    careful.settings.ignore_freeze = true;
    let made = promote(&store, &build, careful.clone()).await;
    let id = rollout_of(&made);
    assert_eq!(store.rollout(id).await.unwrap().spec.settings, careful.settings);
    let (catalog, _) = store.load_catalog().await.unwrap();
    assert_eq!(catalog.calendars().terms(&name("days")), Some(&nights()));
    assert_eq!(
        catalog.calendars().terms(&name("unused")),
        None,
        "polls have no use for it"
    );

    let only = RolloutEdit {
        install_calendar: Some(None),
        ignore_freeze: Some(false),
        ..RolloutEdit::default()
    };
    let changed = edit(&store, id, 1, only).await.unwrap();
    let before = changed.change.before.unwrap().settings;
    assert_eq!(before, careful.settings);
    let entry = &store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap()
        .items[0];
    let told = |side: &Option<serde_json::Value>| {
        let side = side.as_ref().unwrap();
        (
            side["calendars"]["install"].clone(),
            side["ignore_freeze"].clone(),
        )
    };
    assert_eq!(told(&entry.before), ("days".into(), true.into()));
    assert_eq!(told(&entry.after), (serde_json::Value::Null, false.into()));
    let settings = store.rollout(id).await.unwrap().spec.settings;
    assert_eq!(settings.calendars.names().collect::<Vec<_>>(), [&name("nights")]);
    assert!(!settings.ignore_freeze);
}

async fn a_calendar_that_serves_is_not_deleted_and_one_that_ended_forgets_it(place: &Place) {
    let store = place.store().await;
    create(&store, "nights", nights()).await;
    let (old, new) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    let first = rollout_of(&promote(&store, &old, by(None, Some("nights"))).await);
    let refused = store
        .delete_calendar(name("nights"), actor("olga"))
        .await
        .unwrap_err();
    let expected = Error::CalendarInUse {
        calendar: name("nights"),
        by: vec![format!("rollout {first}")],
    };
    assert_eq!(refused, expected);
    promote(&store, &new, promotion(100)).await;
    change_track(&store, |track| track.roll_back(false, by_olga())).await;
    // Nothing returns to the rollout of the build that was taken back, nor to the one before it that serves again.
    let again = store.track(&package(APP)).await.unwrap();
    let again = again.serving[0].rollout.id;
    change_track(&store, move |track| track.cancel(again, by_olga())).await;
    store
        .delete_calendar(name("nights"), actor("olga"))
        .await
        .unwrap();
    for ended in [first, again] {
        let ended = store.rollout(ended).await.unwrap();
        assert!(!ended.spec.state.serves());
        assert_eq!(ended.spec.settings.calendars, RolloutCalendars::default());
    }
}

fn by_olga() -> By<'static> {
    By {
        on_behalf_of: None,
        actor: "olga",
        now: at(60),
    }
}

async fn change_track<F>(store: &Store, rule: F)
where
    F: Fn(&tidegate_domain::Track) -> Result<tidegate_domain::Change, tidegate_domain::Error>
        + Send
        + 'static,
{
    let changed = store.change_track(package(APP), actor("olga"), move |track, _| rule(track));
    changed.await.unwrap();
}

async fn a_rollout_by_a_calendar_that_is_not_there_is_refused(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let id = rollout_of(&promote(&store, &build, promotion(100)).await);
    let epochs = store.epochs().await.unwrap();
    let gone = RolloutEdit {
        download_calendar: Some(Some(name("gone"))),
        ..RolloutEdit::default()
    };
    let refused = edit(&store, id, 1, gone).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no calendar gone");
    assert_eq!(store.epochs().await.unwrap(), epochs, "nothing was written");
    assert_eq!(store.rollout(id).await.unwrap().spec.revision, 1);
}

async fn deleting_and_releasing_at_once_leaves_no_rollout_without_its_calendar(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    for round in 0..8 {
        let of = format!("c-{round}");
        create(&store, &of, nights()).await;
        let (build, promotion) = (build.clone(), by(Some(&of), None));
        let rule = move |track: &tidegate_domain::Track, attempts: &tidegate_storage::Attempts| {
            let by = By {
                on_behalf_of: None,
                actor: "ann",
                now: at(0),
            };
            track.promote(&build, &promotion, attempts.of(BuildId(1)), by)
        };
        let (released, deleted) = tokio::join!(
            store.change_track(package(APP), actor("ann"), rule),
            store.delete_calendar(name(&of), actor("olga")),
        );
        let there = store.calendar(name(&of)).await;
        match (released, deleted) {
            (Ok(_), Err(Error::CalendarInUse { .. })) => assert!(there.is_ok()),
            (Err(Error::NotFound { .. }), Ok(_)) => assert!(there.is_err()),
            other => panic!("{other:?}"),
        }
    }
}

async fn whoever_waits_for_a_window_is_not_behind(place: &Place) {
    let store = place.store().await;
    create(&store, "c", frozen()).await;
    let build = upload(&store, APP, 2).await;
    promote(&store, &build, by(Some("c"), None)).await;
    let devices = wakeable(&store, 3).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 1)).collect()).await;
    let behind = NudgeOrder {
        package: Some(package(APP)),
        audience: NudgeAudience::Behind,
        ..NudgeOrder::everybody()
    };
    assert_eq!(nudge(&store, "1", behind.clone()).await.progress.total, 0);
    let open = store.change_calendar(name("c"), terms(&[], &[]), None, actor("olga"));
    open.await.unwrap();
    assert_eq!(nudge(&store, "2", behind).await.progress.total, 3);
}

async fn an_earlier_version_pauses_what_waits_for_windows(place: &Place) {
    let store = place.store().await;
    create(&store, "nights", nights()).await;
    let (old, new) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    let by_night = rollout_of(&promote(&store, &old, by(Some("nights"), None)).await);
    let keep = Promotion {
        keep_previous: true,
        ..promotion(100)
    };
    promote(&store, &new, keep).await;
    let reverted = store.revert_to("0014").await.unwrap();
    assert!(reverted.contains(&"0016".to_owned()), "{reverted:?}");
    let paused = place.number("SELECT count(*) AS value FROM rollouts WHERE state = 'paused'");
    assert_eq!(paused, 1);
    store.migrate().await.unwrap();
    let track = store.track(&package(APP)).await.unwrap();
    let states = track
        .serving
        .iter()
        .map(|of| (of.rollout.id, of.rollout.spec.state));
    let waiting = states.filter(|(_, state)| *state == RolloutState::Paused);
    assert_eq!(waiting.map(|(id, _)| id).collect::<Vec<_>>(), [by_night]);
}
