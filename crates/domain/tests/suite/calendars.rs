//! Calendars: from what hangs on the wall to the moments at which devices are reached.

use chrono::{DateTime, TimeDelta, Utc, Weekday};
use chrono::{Datelike as _, Timelike as _};
use proptest::prelude::*;
use serde::Deserialize;
use tidegate_domain::{
    Calendar, CalendarName, CalendarTerms, CalendarZone, CompiledCalendars, Freeze, MAX_TOLD_OPENINGS,
    Opening, RolloutCalendars, Window, Zone, ZoneName, openings,
};

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Deserialize)]
struct Vectors {
    openings: Vec<Row>,
}

/// One opening of a window.
#[derive(Deserialize)]
struct Row {
    zone: String,
    day: chrono::NaiveDate,
    start: String,
    end: String,
    opens: DateTime<Utc>,
    closes: DateTime<Utc>,
}

pub(crate) fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn terms(
    zone: &str,
    windows: &[(&[&str], &str, &str)],
    freezes: &[(&str, &str, bool)],
) -> CalendarTerms {
    let window = |(days, start, end): &(&[&str], &str, &str)| Window::parse(days, start, end).unwrap();
    let freeze = |(from, to, yearly): &(&str, &str, bool)| Freeze::parse(from, to, *yearly).unwrap();
    CalendarTerms {
        zone: match zone {
            "device" => CalendarZone::Device {
                fallback: ZoneName::utc(),
            },
            zone => CalendarZone::Named(ZoneName::parse(zone).unwrap()),
        },
        windows: windows.iter().map(window).collect(),
        freezes: freezes.iter().map(freeze).collect(),
    }
}

fn zone(name: &str) -> Zone {
    Zone::known(&ZoneName::parse(name).unwrap()).unwrap()
}

/// When it is open, in the days from a moment on, as text.
fn told(terms: &CalendarTerms, zone_name: &str, from: &str, days: u32) -> Vec<String> {
    let found = openings(terms, &zone(zone_name), moment(from), days);
    let text = |opening: &Opening| {
        format!(
            "{} {}",
            opening.from.format("%dT%H:%M"),
            opening.until.format("%dT%H:%M")
        )
    };
    found.as_slice().iter().map(text).collect()
}

#[test]
fn every_row_of_the_vectors_holds() {
    let vectors: Vectors = serde_json::from_str(include_str!("../vectors/windows.json")).unwrap();
    assert!(vectors.openings.len() >= 60);
    for row in &vectors.openings {
        let weekday = WEEK[row.day.weekday().num_days_from_monday() as usize];
        let terms = terms(&row.zone, &[(&[weekday], &row.start, &row.end)], &[]);
        let expected = Opening {
            from: row.opens,
            until: row.closes,
        };
        for before in [0, 60, 86_400] {
            let from = row.opens - TimeDelta::seconds(before);
            let found = openings(&terms, &zone(&row.zone), from, 3);
            assert_eq!(
                found.current_or_next(from),
                Some(expected),
                "{} {} {}-{}, {before} s before",
                row.zone,
                row.day,
                row.start,
                row.end
            );
        }
    }
}

#[test]
fn clocks_change_in_three_zones() {
    let nights = |zone| terms(zone, &[(&WEEK, "22:00", "04:00")], &[]);
    let hour = |zone| terms(zone, &[(&WEEK, "01:30", "02:30")], &[]);
    // Berlin: 2027-03-28, 02:00 becomes 03:00, and 2026-10-25, 03:00 becomes 02:00.
    assert_eq!(
        told(
            &nights("Europe/Berlin"),
            "Europe/Berlin",
            "2027-03-27T12:00:00Z",
            2
        ),
        ["27T21:00 28T02:00", "28T20:00 29T02:00"]
    );
    assert_eq!(
        told(
            &nights("Europe/Berlin"),
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            2
        ),
        ["24T20:00 25T03:00", "25T21:00 26T03:00"]
    );
    // New York: 2027-03-14, 02:00 becomes 03:00, so 02:30 is 03:30; 2026-11-01, 02:00 becomes 01:00, and the first 01:30
    // counts.
    assert_eq!(
        told(
            &hour("America/New_York"),
            "America/New_York",
            "2027-03-13T12:00:00Z",
            2
        ),
        ["14T06:30 14T07:30", "15T05:30 15T06:30"]
    );
    assert_eq!(
        told(
            &hour("America/New_York"),
            "America/New_York",
            "2026-10-31T12:00:00Z",
            2
        ),
        ["01T05:30 01T07:30", "02T06:30 02T07:30"]
    );
    // Lord Howe, by half an hour: 2026-10-04, 02:00 becomes 02:30, and 2027-04-04, 02:00 becomes 01:30.
    let howe = "Australia/Lord_Howe";
    assert_eq!(
        told(&hour(howe), howe, "2026-10-03T00:00:00Z", 2),
        ["03T15:00 03T15:30", "04T14:30 04T15:30"]
    );
    assert_eq!(
        told(&hour(howe), howe, "2027-04-03T00:00:00Z", 2),
        ["03T14:30 03T16:00", "04T15:00 04T16:00"]
    );
    let gap = terms(howe, &[(&WEEK, "02:00", "02:30")], &[]);
    assert_eq!(
        told(&gap, howe, "2026-10-03T12:00:00Z", 1),
        ["03T15:30 03T16:00"],
        "an opening wholly in the gap is moved and not skipped"
    );
}

#[test]
fn a_day_that_a_zone_skipped_moves_its_opening() {
    // Samoa had no 30 December 2011.
    let friday = terms("Pacific/Apia", &[(&["fri"], "08:00", "12:00")], &[]);
    assert_eq!(
        told(&friday, "Pacific/Apia", "2011-12-29T00:00:00Z", 4),
        ["30T18:00 30T22:00"]
    );
}

#[test]
fn openings_that_touch_or_overlap_are_one() {
    let terms = terms(
        "UTC",
        &[
            (&["mon"], "22:00", "24:00"),
            (&["tue"], "00:00", "02:00"),
            (&["tue"], "01:00", "03:00"),
            (&["wed"], "10:00", "11:00"),
        ],
        &[],
    );
    // 2026-11-30 is a Monday.
    assert_eq!(
        told(&terms, "UTC", "2026-11-30T00:00:00Z", 7),
        ["30T22:00 01T03:00", "02T10:00 02T11:00"]
    );
}

#[test]
fn a_window_belongs_to_the_day_on_which_it_starts() {
    let friday = terms("UTC", &[(&["fri"], "22:00", "04:00")], &[]);
    // 2026-12-04 is a Friday.
    assert_eq!(
        told(&friday, "UTC", "2026-12-05T03:00:00Z", 7),
        ["04T22:00 05T04:00", "11T22:00 12T03:00"]
    );
}

#[test]
fn a_freeze_cuts_splits_and_outlasts_openings() {
    let freezes = [
        ("2026-12-02T23:00", "2026-12-03T01:00", false),
        ("2026-12-04T03:00", "2026-12-05T22:30", false),
        ("2026-12-06T23:30:00Z", "2026-12-07T12:00:00Z", false),
    ];
    let nights = terms("UTC", &[(&WEEK, "22:00", "04:00")], &freezes);
    assert_eq!(
        told(&nights, "UTC", "2026-12-02T12:00:00Z", 6),
        [
            "02T22:00 02T23:00",
            "03T01:00 03T04:00",
            "03T22:00 04T03:00",
            "05T22:30 06T04:00",
            "06T22:00 06T23:30",
            "07T22:00 08T04:00",
        ]
    );
}

#[test]
fn a_freeze_follows_the_wall_of_each_zone() {
    let always = terms("device", &[], &[("2026-12-24", "2026-12-27", false)]);
    assert_eq!(
        told(&always, "Europe/Berlin", "2026-12-20T00:00:00Z", 10),
        ["20T00:00 23T23:00", "26T23:00 30T00:00"]
    );
    assert_eq!(
        told(&always, "America/New_York", "2026-12-20T00:00:00Z", 10),
        ["20T00:00 24T05:00", "27T05:00 30T00:00"]
    );
}

#[test]
fn a_yearly_freeze_goes_on_over_new_year() {
    let always = terms("UTC", &[], &[("12-20", "01-06T12:00", true)]);
    for year in [2026, 2027, 2031] {
        let open = |at: &str| {
            let at = moment(at);
            openings(&always, &Zone::utc(), at, 1)
                .current_or_next(at)
                .is_some_and(|o| o.holds(at))
        };
        assert!(open(&format!("{year}-12-19T23:59:00Z")));
        assert!(!open(&format!("{year}-12-20T00:00:00Z")));
        assert!(!open(&format!("{}-01-06T11:59:00Z", year + 1)));
        assert!(open(&format!("{}-01-06T12:00:00Z", year + 1)));
    }
}

#[test]
fn a_freeze_until_the_29th_of_february_lasts_through_the_28th() {
    let always = terms("UTC", &[], &[("02-20", "02-29", true), ("02-29", "03-01", true)]);
    assert_eq!(
        told(&always, "UTC", "2027-02-19T00:00:00Z", 12),
        ["19T00:00 20T00:00", "01T00:00 03T00:00"]
    );
    assert_eq!(
        told(&always, "UTC", "2028-02-19T00:00:00Z", 12),
        ["19T00:00 20T00:00", "01T00:00 02T00:00"]
    );
}

#[test]
fn bounds_and_zones_are_checked() {
    let window = (&["mon"][..], "22:00", "04:00");
    assert!(terms("UTC", &[window; 32], &[]).check().is_ok());
    assert_eq!(
        terms("UTC", &[window; 33], &[]).check().unwrap_err().field(),
        Some("windows")
    );
    let freeze = ("12-20", "01-06", true);
    assert!(terms("UTC", &[], &[freeze; 64]).check().is_ok());
    assert_eq!(
        terms("UTC", &[], &[freeze; 65]).check().unwrap_err().field(),
        Some("freezes")
    );
    for bad in [
        "Europe/Atlantis",
        "localtime",
        "Factory",
        "Etc/Unknown",
        "posixrules",
    ] {
        let refused = terms(bad, &[], &[]).check().unwrap_err();
        assert_eq!(refused.field(), Some("zone"), "{bad}: {refused}");
    }
    let zone = Zone::canonical(&ZoneName::parse("europe/berlin").unwrap()).unwrap();
    assert_eq!(zone.as_str(), "Europe/Berlin");
    // Names that systems leave out by now are in the bundled copy.
    assert!(Zone::find("US/Pacific").is_some());
}

#[test]
fn terms_read_as_they_are_written() {
    let text = r#"{"name":"nights","zone":{"device":{"fallback":"UTC"}},"windows":[{"days":["mon","fri"],"start":"22:00","end":"04:00"}],"freezes":[{"from":"12-20","to":"01-06","yearly":true}]}"#;
    let calendar: Calendar = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&calendar).unwrap(), text);
    let broken = text.replace("22:00", "22:61");
    assert!(serde_json::from_str::<Calendar>(&broken).is_err());
}

/// A compiled calendar, and the same one not worked out.
fn compiled(terms: &CalendarTerms, now: DateTime<Utc>) -> [CompiledCalendars; 2] {
    let calendar = Calendar {
        name: CalendarName::parse("c").unwrap(),
        terms: terms.clone(),
    };
    let plain = CompiledCalendars::new([calendar]);
    [plain.worked_out(now, &CompiledCalendars::default()), plain]
}

/// What a device in this zone may install in, and whether it may now.
fn ask(
    calendars: &CompiledCalendars,
    ignore_freeze: bool,
    zone: Option<&str>,
    now: DateTime<Utc>,
) -> Vec<Opening> {
    let wanted = RolloutCalendars {
        download: None,
        install: Some(CalendarName::parse("c").unwrap()),
    };
    calendars.to_install(&wanted, ignore_freeze, zone, now).unwrap()
}

#[test]
fn what_is_worked_out_ahead_is_what_would_be_asked() {
    let nights = terms(
        "device",
        &[(&WEEK, "22:00", "04:00"), (&["sat"], "10:15", "11:45")],
        &[("2027-03-29", "2027-03-31T12:00", false)],
    );
    let begun = moment("2027-03-20T12:00:00Z");
    let [ahead, plain] = compiled(&nights, begun);
    let (day, second) = (TimeDelta::hours(24), TimeDelta::seconds(1));
    assert!(!ahead.is_stale(begun + day - second) && ahead.is_stale(begun + day));
    assert!(!ahead.is_stale(begun - day) && ahead.is_stale(begun - day - second) && plain.is_stale(begun));
    assert!(
        !CompiledCalendars::default().is_stale(begun),
        "there is nothing to work out"
    );
    for zone in [
        Some("Europe/Berlin"),
        Some("America/New_York"),
        Some("Australia/Lord_Howe"),
        Some("Pacific/Apia"),
        Some("europe/berlin"),
        Some("Nowhere/Land"),
        None,
    ] {
        // Within, before, and long after what was worked out.
        for hours in [-50, -3, 0, 1, 30, 24 * 8, 24 * 20, 24 * 300] {
            for ignore_freeze in [false, true] {
                let now = begun + TimeDelta::hours(hours);
                assert_eq!(
                    ask(&ahead, ignore_freeze, zone, now),
                    ask(&plain, ignore_freeze, zone, now),
                    "{zone:?} after {hours} h"
                );
            }
        }
    }
    let unknown = ask(&ahead, false, Some("Nowhere/Land"), begun);
    assert_eq!(unknown, ask(&ahead, false, Some("UTC"), begun));
    assert_eq!(unknown.len(), MAX_TOLD_OPENINGS);
}

#[test]
fn what_is_fresh_is_taken_over_and_what_changed_is_not() {
    let now = moment("2026-12-01T00:00:00Z");
    let [first, plain] = compiled(&terms("device", &[(&WEEK, "22:00", "04:00")], &[]), now);
    let later = now + TimeDelta::hours(5);
    let again = plain.worked_out(later, &first);
    assert_eq!(
        ask(&again, false, Some("Asia/Tokyo"), later),
        ask(&first, false, Some("Asia/Tokyo"), later)
    );
    let [_, edited] = compiled(&terms("device", &[(&WEEK, "10:00", "11:00")], &[]), now);
    let edited = edited.worked_out(later, &first);
    assert_eq!(
        ask(&edited, false, Some("Asia/Tokyo"), later)[0].from,
        moment("2026-12-02T01:00:00Z")
    );
    let next_day = plain.worked_out(now + TimeDelta::hours(30), &first);
    assert!(!next_day.is_stale(now + TimeDelta::hours(30)));
}

/// Whether the wall says that it is open, where no clock changes.
fn by_the_wall(terms: &CalendarTerms, offset: i32, now: DateTime<Utc>) -> bool {
    let wall = (now + TimeDelta::minutes(offset.into())).naive_utc();
    let minute = u16::try_from(wall.hour() * 60 + wall.minute()).unwrap();
    let (today, yesterday) = (wall.weekday(), wall.weekday().pred());
    let on = |window: &Window, day: Weekday| {
        window
            .days()
            .any(|name| name == WEEK[day.num_days_from_monday() as usize])
    };
    let in_window = terms.windows.is_empty()
        || terms.windows.iter().any(|window| {
            let (start, end) = (window.start(), window.end());
            match end > start {
                true => on(window, today) && (start..end).contains(&minute),
                false => (on(window, today) && minute >= start) || (on(window, yesterday) && minute < end),
            }
        });
    let frozen = terms.freezes.iter().any(|freeze| match freeze {
        Freeze::Wall { from, to } => *from <= wall && wall < *to,
        Freeze::Moments { from, to } => *from <= now && now < *to,
        Freeze::Yearly { from, to } => {
            let at = |day: &tidegate_domain::YearDay| day.in_year(wall.year()).unwrap();
            match from < to {
                true => at(from) <= wall && wall < at(to),
                false => at(from) <= wall || wall < at(to),
            }
        }
    });
    in_window && !frozen
}

fn a_window() -> impl Strategy<Value = Window> {
    let days = proptest::sample::subsequence(WEEK.to_vec(), 1..=7);
    (days, 0_u16..1440, 1_u16..=1440)
        .prop_filter("it starts and ends at once", |(_, start, end)| start != end)
        .prop_map(|(days, start, end)| {
            let text = tidegate_domain::clock_text;
            Window::parse(&days, &text(start), &text(end)).unwrap()
        })
}

fn a_freeze() -> impl Strategy<Value = Freeze> {
    // Around New Year and the end of February, where the tests look.
    (0_i64..100_000, 1_i64..20_000, 0..3).prop_map(|(after, long, kind)| {
        let from = moment("2027-12-20T00:00:00Z") + TimeDelta::minutes(after);
        let to = from + TimeDelta::minutes(long);
        let text = |format: &str| (from.format(format).to_string(), to.format(format).to_string());
        let ((from, to), yearly) = match kind {
            0 => (text("%FT%H:%M"), false),
            1 => (text("%FT%H:%M:00Z"), false),
            _ => (text("%m-%dT%H:%M"), true),
        };
        Freeze::parse(&from, &to, yearly).unwrap()
    })
}

fn a_calendar() -> impl Strategy<Value = CalendarTerms> {
    let windows = proptest::collection::vec(a_window(), 0..6);
    let freezes = proptest::collection::vec(a_freeze(), 0..4);
    (windows, freezes).prop_map(|(windows, freezes)| CalendarTerms {
        zone: CalendarZone::Device {
            fallback: ZoneName::utc(),
        },
        windows,
        freezes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn openings_are_apart_in_order_and_in_no_freeze(
        terms in a_calendar(),
        zone_name in proptest::sample::select(vec![
            "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo", "Africa/Casablanca", "America/St_Johns",
        ]),
        after in 0_i64..400,
        days in 1_u32..40,
    ) {
        let from = moment("2026-09-01T07:30:00Z") + TimeDelta::days(after);
        let until = from + TimeDelta::days(days.into());
        let found = openings(&terms, &zone(zone_name), from, days);
        let found = found.as_slice();
        for pair in found.windows(2) {
            prop_assert!(pair[0].until < pair[1].from);
        }
        let mut total = TimeDelta::zero();
        for opening in found {
            prop_assert!(opening.from < opening.until && opening.until > from && opening.until <= until);
            total += opening.until - opening.from.max(from);
            for freeze in &terms.freezes {
                if let Freeze::Moments { from, to } = freeze {
                    prop_assert!(opening.until <= *from || *to <= opening.from);
                }
            }
        }
        prop_assert!(total <= TimeDelta::days(days.into()));
        // A freeze only takes away.
        let bare = openings(&terms.without_freezes(), &zone(zone_name), from, days);
        for opening in found {
            prop_assert!(bare.as_slice().iter().any(|of| of.from <= opening.from && opening.until <= of.until));
        }
    }

    #[test]
    fn where_no_clock_changes_the_wall_says_the_same_at_each_minute(
        terms in a_calendar(),
        (zone_name, offset) in proptest::sample::select(vec![("UTC", 0), ("Asia/Tokyo", 540), ("Asia/Kathmandu", 345)]),
        after in 0_i64..80,
    ) {
        let from = moment("2027-12-18T00:00:00Z") + TimeDelta::days(after);
        let [ahead, _] = compiled(&terms, from);
        for minutes in (0..3 * 1440).step_by(7) {
            let now = from + TimeDelta::minutes(minutes);
            let open = ask(&ahead, false, Some(zone_name), now).first().is_some_and(|opening| opening.holds(now));
            prop_assert_eq!(open, by_the_wall(&terms, offset, now), "{}", now);
        }
    }
}
