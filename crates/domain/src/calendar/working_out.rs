//! From what a calendar says to moments.
//!
//! The days on which clocks change are defined, every one of them. Both ends of a window are read as java.time and Temporal
//! do ("compatible"): a time that a day skips moves forward by what is skipped, and of one that it has twice the first
//! counts. So an opening that lies wholly in what is skipped is moved and not lost. One that would close before it opens
//! keeps its length on the wall.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc};
use jiff::Timestamp;
use jiff::civil::DateTime as Wall;
use jiff::tz::TimeZone;

use super::opening::{Opening, Openings};
use super::window::{DAY, Window};
use super::{CalendarTerms, Freeze, Zone};

/// The most days that may be looked ahead at once.
pub const MAX_PREVIEW_DAYS: u32 = 400;

/// How many days before the first one windows are looked for: one reaches into the next day, and where a whole day is
/// skipped into the one after.
const DAYS_BEFORE: i32 = 2;

/// When a calendar is open in a zone, in the days from a moment on; at most [`MAX_PREVIEW_DAYS`]. An opening that holds at
/// that moment tells its true beginning, if that is not more than a day ago. None goes on beyond the last moment.
pub fn openings(terms: &CalendarTerms, zone: &Zone, from: DateTime<Utc>, days: u32) -> Openings {
    bare_and_frozen(terms, zone, from, days).1
}

/// The same without the freezes, and with them.
pub(super) fn bare_and_frozen(
    terms: &CalendarTerms,
    zone: &Zone,
    from: DateTime<Utc>,
    days: u32,
) -> (Openings, Openings) {
    let until = from + TimeDelta::days(days.min(MAX_PREVIEW_DAYS).into());
    let bare = match terms.windows.is_empty() {
        true => Openings::new([Opening { from, until }]),
        false => windows(terms, zone, from, until),
    };
    if terms.freezes.is_empty() {
        return (bare.clone(), bare);
    }
    let freezes = terms
        .freezes
        .iter()
        .flat_map(|freeze| occurrences(freeze, &zone.0, from, until));
    let frozen = bare.without(&Openings::new(freezes));
    let ahead = frozen.as_slice().iter().filter(|opening| opening.until > from);
    let frozen = Openings::new(ahead.copied());
    (bare, frozen)
}

/// What the clock on the wall of a zone shows at a moment.
pub(super) fn wall_clock(zone: &Zone, moment: DateTime<Utc>) -> String {
    match wall_at(&zone.0, moment) {
        Some(at) => format!("{:02}:{:02}", at.hour(), at.minute()),
        None => moment.format("%H:%M").to_string(),
    }
}

fn windows(terms: &CalendarTerms, zone: &Zone, from: DateTime<Utc>, until: DateTime<Utc>) -> Openings {
    let (Some(first), Some(last)) = (wall_at(&zone.0, from), wall_at(&zone.0, until)) else {
        return Openings::default();
    };
    let mut found = Vec::new();
    let mut day = first.date();
    for _ in 0..DAYS_BEFORE {
        day = day.yesterday().unwrap_or(day);
    }
    while day <= last.date() {
        let weekday = u8::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
        let today = terms.windows.iter().filter(|window| window.starts_on(weekday));
        found.extend(today.filter_map(|window| opening(&zone.0, day, *window)));
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    let within = found.into_iter().filter(|opening| opening.from < until);
    let cut = within.map(|opening| Opening {
        until: opening.until.min(until),
        ..opening
    });
    let merged = Openings::new(cut);
    let ahead = merged.as_slice().iter().filter(|opening| opening.until > from);
    Openings::new(ahead.copied())
}

/// The opening of a window that starts on this day.
fn opening(zone: &TimeZone, day: jiff::civil::Date, window: Window) -> Option<Opening> {
    let start = at_minute(day, window.start())?;
    let end = match (window.end(), window.end() <= window.start()) {
        (DAY, _) => at_minute(day.tomorrow().ok()?, 0)?,
        (minute, true) => at_minute(day.tomorrow().ok()?, minute)?,
        (minute, false) => at_minute(day, minute)?,
    };
    between(zone, start, end)
}

fn at_minute(day: jiff::civil::Date, minute: u16) -> Option<Wall> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    Some(day.at(hour, minute, 0, 0))
}

/// The time between two readings of the clock on the wall.
fn between(zone: &TimeZone, start: Wall, end: Wall) -> Option<Opening> {
    let opens = moment(zone, start)?;
    let mut closes = moment(zone, end)?;
    if closes <= opens {
        let on_the_wall = zone.to_datetime(opens).checked_add(start.until(end).ok()?).ok()?;
        closes = moment(zone, on_the_wall)?;
    }
    Some(Opening {
        from: utc(opens)?,
        until: utc(closes)?,
    })
}

fn moment(zone: &TimeZone, wall: Wall) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(wall).compatible().ok()
}

fn utc(moment: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(moment.as_second(), 0)
}

fn wall_at(zone: &TimeZone, moment: DateTime<Utc>) -> Option<Wall> {
    let moment = Timestamp::from_second(moment.timestamp()).ok()?;
    Some(zone.to_datetime(moment))
}

/// When a freeze holds, as far as it matters between these moments.
fn occurrences(freeze: &Freeze, zone: &TimeZone, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Opening> {
    match *freeze {
        Freeze::Moments { from, to } => vec![Opening { from, until: to }],
        Freeze::Wall { from, to } => wall_freeze(zone, from, to).into_iter().collect(),
        Freeze::Yearly { from: first, to } => {
            let years = from.year() - 1..=until.year() + 1;
            let each = years.filter_map(|year| {
                let end_year = if to < first { year + 1 } else { year };
                wall_freeze(zone, first.in_year(year)?, to.in_year(end_year)?)
            });
            each.collect()
        }
    }
}

fn wall_freeze(zone: &TimeZone, from: NaiveDateTime, to: NaiveDateTime) -> Option<Opening> {
    // A year without 29 February may leave nothing of a freeze.
    if from >= to {
        return None;
    }
    between(zone, wall(from)?, wall(to)?)
}

fn wall(at: NaiveDateTime) -> Option<Wall> {
    let minute = at.and_utc().timestamp().rem_euclid(86_400) / 60;
    let date = jiff::civil::Date::new(
        i16::try_from(at.year()).ok()?,
        i8::try_from(at.month()).ok()?,
        i8::try_from(at.day()).ok()?,
    );
    at_minute(date.ok()?, u16::try_from(minute).ok()?)
}
