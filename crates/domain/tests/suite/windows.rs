//! What calendars do to a poll's answer.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    Again, Calendar, CalendarName, CalendarTerms, Catalog, CompiledCalendars, Decision, Reason, Release,
    RolloutState, decide, decide_until, explain,
};

use crate::calendars::{moment, terms};
use crate::fleet::{
    IN_23_PERCENT, Phone, build, catalog, catalog_with, percent, phone, release, version, with,
};

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn name(text: &str) -> CalendarName {
    CalendarName::parse(text).unwrap()
}

fn nights() -> CalendarTerms {
    terms(
        "device",
        &[(&WEEK, "22:00", "04:00")],
        &[("2026-12-24", "2026-12-27", false)],
    )
}

/// A rollout of build 2 with calendars for downloading and installing.
fn by(download: Option<&str>, install: Option<&str>) -> Release {
    with(release(build(2)), |spec| {
        spec.settings.calendars.download = download.map(name);
        spec.settings.calendars.install = install.map(name);
    })
}

/// A catalog of these, its calendars worked out around a moment.
fn at_work(catalog: Catalog, calendars: &[(&str, CalendarTerms)], now: DateTime<Utc>) -> Catalog {
    let calendar = |(of, terms): &(&str, CalendarTerms)| Calendar {
        name: name(of),
        terms: terms.clone(),
    };
    catalog
        .with_calendars(CompiledCalendars::new(calendars.iter().map(calendar)))
        .with_openings(now, &CompiledCalendars::default())
}

fn in_zone(zone: &'static str) -> Phone {
    let mut phone = phone(IN_23_PERCENT, 10);
    phone.facts.zone = Some(zone.into());
    phone.facts.protocol = 2;
    phone
}

fn told(catalog: &Catalog, phone: &Phone, now: &str) -> Result<i64, Reason> {
    match decide(catalog, &phone.poll(), moment(now)) {
        Decision::Offer(offer) => Ok(offer.build.id.0),
        Decision::NoUpdate(reason) => Err(reason),
    }
}

fn again(catalog: &Catalog, phone: &Phone, now: &str) -> Option<Again> {
    decide_until(catalog, &phone.poll(), moment(now)).again
}

#[test]
fn each_device_is_reached_in_its_own_night() {
    let now = moment("2026-12-01T12:00:00Z");
    let catalog = at_work(
        catalog(vec![by(Some("nights"), None)]),
        &[("nights", nights())],
        now,
    );
    let closed = Err(Reason::OutsideWindow);
    for (zone, evening, night) in [
        ("Europe/Berlin", "2026-12-01T20:59:59Z", "2026-12-01T21:00:00Z"),
        ("America/New_York", "2026-12-02T02:59:59Z", "2026-12-02T03:00:00Z"),
        ("Nowhere/Land", "2026-12-01T21:59:59Z", "2026-12-01T22:00:00Z"),
    ] {
        let phone = in_zone(zone);
        assert_eq!(told(&catalog, &phone, evening), closed, "{zone}");
        assert_eq!(told(&catalog, &phone, night), Ok(2), "{zone}");
        let expected = Again {
            at: moment(night),
            spread: Some(TimeDelta::hours(3)),
        };
        assert_eq!(again(&catalog, &phone, evening), Some(expected), "{zone}");
        assert_eq!(again(&catalog, &phone, night), None, "an offer stands as it is");
    }
    // What is worked out ends long before; the answer is right all the same.
    let phone = in_zone("Europe/Berlin");
    assert_eq!(told(&catalog, &phone, "2027-06-01T20:00:00Z"), Ok(2));
    assert_eq!(told(&catalog, &phone, "2027-06-01T19:59:00Z"), closed);
    assert_eq!(told(&catalog, &phone, "2026-06-01T20:00:00Z"), Ok(2));
}

#[test]
fn a_catalog_works_its_calendars_out_ahead() {
    let now = moment("2026-12-01T12:00:00Z");
    let named = catalog(vec![by(Some("nights"), None)]);
    let calendar = Calendar {
        name: name("nights"),
        terms: nights(),
    };
    let named = named.with_calendars(CompiledCalendars::new([calendar]));
    assert!(named.calendars().is_stale(now));
    let worked_out = named.with_openings(now, &CompiledCalendars::default());
    assert!(!worked_out.calendars().is_stale(now));
}

#[test]
fn a_calendar_is_asked_last_and_ends_the_search() {
    let now = moment("2026-12-01T12:00:00Z");
    let first = with(by(Some("nights"), None), |spec| spec.priority = 10);
    let base = with(release(build(3)), |spec| spec.settings.percent = percent(100));
    let both = at_work(catalog(vec![first.clone(), base]), &[("nights", nights())], now);
    let phone = in_zone("UTC");
    assert_eq!(
        told(&both, &phone, "2026-12-01T12:00:00Z"),
        Err(Reason::OutsideWindow),
        "the device is the first rollout's, which comes later"
    );
    let paused = with(first, |spec| spec.state = RolloutState::Paused);
    let paused = at_work(catalog(vec![paused]), &[("nights", nights())], now);
    assert_eq!(told(&paused, &phone, "2026-12-01T12:00:00Z"), Err(Reason::Paused));
    assert_eq!(again(&paused, &phone, "2026-12-01T12:00:00Z"), None);
    let steps = explain(&both, &phone.poll(), now).steps;
    assert_eq!(steps.last().unwrap().rule, "calendar");
}

#[test]
fn an_agent_that_knows_no_openings_must_find_both_open() {
    let now = moment("2026-12-01T12:00:00Z");
    let days = terms("UTC", &[(&WEEK, "02:00", "12:00")], &[]);
    let catalog = at_work(
        catalog(vec![by(Some("nights"), Some("days"))]),
        &[("nights", nights()), ("days", days)],
        now,
    );
    let new = in_zone("UTC");
    let mut old = in_zone("UTC");
    old.facts.protocol = 1;
    for (at, to_new, to_old) in [
        ("2026-12-01T23:00:00Z", Ok(2), Err(Reason::OutsideWindow)),
        ("2026-12-02T02:00:00Z", Ok(2), Ok(2)),
        (
            "2026-12-02T04:00:00Z",
            Err(Reason::OutsideWindow),
            Err(Reason::OutsideWindow),
        ),
    ] {
        assert_eq!(told(&catalog, &new, at), to_new, "{at}");
        assert_eq!(told(&catalog, &old, at), to_old, "{at}");
    }
    let expected = Again {
        at: moment("2026-12-02T02:00:00Z"),
        spread: Some(TimeDelta::hours(1)),
    };
    assert_eq!(again(&catalog, &old, "2026-12-01T23:00:00Z"), Some(expected));
    assert_eq!(Reason::OutsideWindow.told_to(1), Reason::Paused);
    assert_eq!(Reason::OutsideWindow.told_to(2), Reason::OutsideWindow);
}

#[test]
fn a_calendar_for_installing_alone_keeps_no_new_agent_from_downloading() {
    let now = moment("2026-12-01T12:00:00Z");
    let catalog = at_work(
        catalog(vec![by(None, Some("nights"))]),
        &[("nights", nights())],
        now,
    );
    let phone = in_zone("UTC");
    assert_eq!(told(&catalog, &phone, "2026-12-01T12:00:00Z"), Ok(2));
    let mut old = phone;
    old.facts.protocol = 0;
    assert_eq!(
        told(&catalog, &old, "2026-12-01T12:00:00Z"),
        Err(Reason::OutsideWindow)
    );
}

#[test]
fn a_freeze_holds_unless_it_is_to_be_passed_over_and_windows_hold_even_then() {
    let now = moment("2026-12-24T12:00:00Z");
    let phone = in_zone("UTC");
    let urgent = |ignore_freeze| {
        let release = with(by(Some("nights"), None), |spec| {
            spec.settings.ignore_freeze = ignore_freeze;
            spec.settings.must_install = true;
        });
        at_work(catalog(vec![release]), &[("nights", nights())], now)
    };
    let night = "2026-12-24T23:00:00Z";
    assert_eq!(told(&urgent(false), &phone, night), Err(Reason::OutsideWindow));
    assert_eq!(told(&urgent(true), &phone, night), Ok(2));
    let noon = "2026-12-24T12:00:00Z";
    assert_eq!(told(&urgent(true), &phone, noon), Err(Reason::OutsideWindow));
    assert_eq!(
        again(&urgent(false), &phone, noon).unwrap().at,
        moment("2026-12-27T00:00:00Z")
    );
    assert_eq!(
        again(&urgent(true), &phone, noon).unwrap().at,
        moment("2026-12-24T22:00:00Z")
    );
}

#[test]
fn a_forced_roll_back_waits_for_its_window_too() {
    let now = moment("2026-12-01T12:00:00Z");
    let back = with(by(Some("nights"), None), |spec| {
        spec.takes_back = Some(version(30));
    });
    let catalog = at_work(
        catalog_with(vec![back], &[build(3)]),
        &[("nights", nights())],
        now,
    );
    let mut phone = in_zone("UTC");
    phone.installed = version(30);
    assert_eq!(
        told(&catalog, &phone, "2026-12-01T12:00:00Z"),
        Err(Reason::OutsideWindow)
    );
    assert_eq!(told(&catalog, &phone, "2026-12-01T22:00:00Z"), Ok(2));
}

#[test]
fn a_calendar_that_is_not_there_never_opens() {
    let now = moment("2026-12-01T23:00:00Z");
    let catalog = at_work(
        catalog(vec![by(Some("gone"), None)]),
        &[("nights", nights())],
        now,
    );
    let phone = in_zone("UTC");
    assert_eq!(
        told(&catalog, &phone, "2026-12-01T23:00:00Z"),
        Err(Reason::OutsideWindow)
    );
    let steps = explain(&catalog, &phone.poll(), now).steps;
    assert!(
        steps.last().unwrap().answer.contains("gone is not there"),
        "{steps:?}"
    );
}

#[test]
fn an_explanation_says_when_it_opens_and_by_whose_clock() {
    let now = moment("2026-12-01T12:00:00Z");
    let catalog = at_work(
        catalog(vec![by(Some("nights"), None)]),
        &[("nights", nights())],
        now,
    );
    let step = |phone: &Phone, at: &str| explain(&catalog, &phone.poll(), moment(at)).steps.pop().unwrap();
    let input = |step: &tidegate_domain::Step, of: &str| {
        let found = step.inputs.iter().find(|(name, _)| name == of);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let berlin = step(&in_zone("Europe/Berlin"), "2026-12-01T12:00:00Z");
    assert_eq!(
        berlin.answer,
        "the window opens at 22:00 in Europe/Berlin (2026-12-01T21:00:00Z)"
    );
    assert_eq!(
        (input(&berlin, "calendar"), input(&berlin, "zone")),
        ("nights".into(), "Europe/Berlin".into())
    );
    let open = step(&in_zone("Europe/Berlin"), "2026-12-01T22:00:00Z");
    assert_eq!(
        open.answer,
        "the window is open until 04:00 in Europe/Berlin (2026-12-02T03:00:00Z)"
    );
    let lost = step(&in_zone("Nowhere/Land"), "2026-12-01T12:00:00Z");
    assert_eq!(
        lost.answer,
        "the window opens at 22:00 in UTC (2026-12-01T22:00:00Z)"
    );
    assert_eq!(
        input(&lost, "zone"),
        "Nowhere/Land, which nobody knows: UTC, the calendar's own, stands in"
    );
    let silent = step(&phone(IN_23_PERCENT, 10), "2026-12-01T12:00:00Z");
    assert_eq!(
        input(&silent, "zone"),
        "not stated: UTC, the calendar's own, stands in"
    );
    let frozen = step(&in_zone("UTC"), "2026-12-25T23:00:00Z");
    assert_eq!(
        frozen.answer,
        "a freeze holds; the window opens at 00:00 in UTC (2026-12-27T00:00:00Z)"
    );
    // Far beyond what polls look at.
    let long = terms("UTC", &[], &[("2026-12-01", "2027-03-01", false)]);
    let frozen = at_work(
        crate::fleet::catalog(vec![by(Some("long"), None)]),
        &[("long", long)],
        now,
    );
    let far = explain(&frozen, &in_zone("UTC").poll(), now);
    assert_eq!(far.again, None);
    assert!(
        far.steps
            .last()
            .unwrap()
            .answer
            .contains("(2027-03-01T00:00:00Z)")
    );
}
