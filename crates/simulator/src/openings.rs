//! When a calendar is open: the simulator's own few lines, against which the server's are held.

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::release_plan::{PlannedCalendar, PlannedWindow, hours};

/// The minutes of a day.
const DAY: i16 = 24 * 60;

/// How many days before a moment's own a window is looked for that may still be open.
const DAYS_BEFORE: i64 = 2;

/// A window on the clock on the wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wall {
    days: Vec<Weekday>,
    /// Minutes since midnight.
    start: i16,
    end: i16,
}

/// A calendar whose freezes are moments.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    /// None: each device's own.
    zone: Option<TimeZone>,
    fallback: TimeZone,
    windows: Vec<Wall>,
    /// In milliseconds since 1970.
    freezes: Vec<(i64, i64)>,
}

/// The zone of this name.
pub(crate) fn zone_of(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

impl Wall {
    pub(crate) fn read(window: &PlannedWindow) -> Option<Self> {
        let days: Option<Vec<Weekday>> = window.days.iter().map(|day| weekday(day)).collect();
        let (start, end) = (minutes(&window.start)?, minutes(&window.end)?);
        let days = days.filter(|days| !days.is_empty() && start != end && start < DAY)?;
        Some(Self { days, start, end })
    }

    /// Whether the window that begins on this day holds at this moment.
    fn holds(&self, day: Date, zone: &TimeZone, at: Timestamp) -> Option<bool> {
        if !self.days.contains(&day.weekday()) {
            return Some(false);
        }
        let ends_on = match self.end <= self.start {
            true => day.tomorrow().ok()?,
            false => day,
        };
        let (start, end) = (moment(day, self.start, zone)?, moment(ends_on, self.end, zone)?);
        Some(start <= at && at < end)
    }
}

impl Calendar {
    /// A calendar of a release plan, in a fleet that begins at this moment; `None` for one that does not read.
    pub(crate) fn read(planned: &PlannedCalendar, begin: i64) -> Option<Self> {
        let windows: Option<Vec<Wall>> = planned.windows.iter().map(Wall::read).collect();
        let after = |hour: f64| begin + i64::try_from(hours(hour).as_millis()).unwrap_or(i64::MAX / 2);
        let freezes = planned.freezes.iter();
        Some(Self {
            zone: match planned.zone.as_str() {
                "device" => None,
                name => Some(zone_of(name)?),
            },
            fallback: zone_of(planned.fallback_zone.as_deref().unwrap_or("UTC"))?,
            windows: windows?,
            freezes: freezes
                .map(|freeze| (after(freeze.from_h), after(freeze.to_h)))
                .collect(),
        })
    }

    /// Whether it is open at this moment for a device that tells this zone.
    pub(crate) fn is_open(&self, told: Option<&str>, at: i64) -> bool {
        self.is_in_window(told, at) && !self.is_frozen(at)
    }

    /// Whether a freeze closes it.
    pub(crate) fn is_frozen(&self, at: i64) -> bool {
        self.freezes.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// The same without its freezes.
    pub(crate) fn is_in_window(&self, told: Option<&str>, at: i64) -> bool {
        if self.windows.is_empty() {
            return true;
        }
        let zone = self.zone.clone().or_else(|| told.and_then(zone_of));
        let zone = zone.unwrap_or_else(|| self.fallback.clone());
        let Ok(at) = Timestamp::from_millisecond(at) else {
            return false;
        };
        let today = zone.to_datetime(at).date();
        let days = (0..=DAYS_BEFORE).filter_map(|back| today.checked_sub(jiff::Span::new().days(back)).ok());
        let holds = |day: Date| {
            let mut windows = self.windows.iter();
            windows.any(|window| window.holds(day, &zone, at).unwrap_or(false))
        };
        days.into_iter().any(holds)
    }
}

/// A time of the clock on the wall as java.time reads it.
fn moment(day: Date, minute: i16, zone: &TimeZone) -> Option<Timestamp> {
    let (day, minute) = match minute {
        DAY => (day.tomorrow().ok()?, 0),
        minute => (day, minute),
    };
    let wall = day.at(
        i8::try_from(minute / 60).ok()?,
        i8::try_from(minute % 60).ok()?,
        0,
        0,
    );
    zone.to_ambiguous_timestamp(wall).compatible().ok()
}

fn minutes(text: &str) -> Option<i16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.parse().ok()?);
    let minutes = hour * 60 + minute;
    ((0..=24).contains(&hour) && (0..60).contains(&minute) && minutes <= DAY).then_some(minutes)
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release_plan::PlannedFreeze;

    /// Friday's night, as it is told in the device's own time.
    fn nights() -> PlannedCalendar {
        PlannedCalendar {
            name: "nights".to_owned(),
            zone: "device".to_owned(),
            fallback_zone: Some("Asia/Tokyo".to_owned()),
            windows: vec![PlannedWindow {
                days: vec!["fri".to_owned()],
                start: "22:00".to_owned(),
                end: "04:00".to_owned(),
            }],
            freezes: vec![],
        }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_night_comes_to_each_zone_at_its_own_time_and_reaches_into_the_next_day() {
        let calendar = Calendar::read(&nights(), 0).unwrap();
        for (zone, from, until) in [
            (
                Some("Europe/Helsinki"),
                "2026-12-04T20:00:00Z",
                "2026-12-05T02:00:00Z",
            ),
            (
                Some("America/New_York"),
                "2026-12-05T03:00:00Z",
                "2026-12-05T09:00:00Z",
            ),
            (None, "2026-12-04T13:00:00Z", "2026-12-04T19:00:00Z"),
            (
                Some("Nowhere/At_all"),
                "2026-12-04T13:00:00Z",
                "2026-12-04T19:00:00Z",
            ),
        ] {
            let open = |at| calendar.is_open(zone, at);
            assert_eq!([open(at(from) - 1), open(at(from))], [false, true], "{zone:?}");
            assert_eq!([open(at(until) - 1), open(at(until))], [true, false], "{zone:?}");
        }
    }

    #[test]
    fn a_freeze_closes_what_a_window_opens() {
        let mut frozen = nights();
        frozen.freezes.push(PlannedFreeze {
            from_h: 1.0,
            to_h: 2.0,
        });
        let begin = at("2026-12-04T20:00:00Z");
        let calendar = Calendar::read(&frozen, begin).unwrap();
        let open = |minutes: i64| calendar.is_open(Some("Europe/Helsinki"), begin + minutes * 60_000);
        assert_eq!([59, 60, 119, 120].map(open), [true, false, false, true]);
    }

    #[test]
    fn what_is_no_time_and_no_day_does_not_read() {
        let window = |day: &str, start: &str, end: &str| {
            Wall::read(&PlannedWindow {
                days: vec![day.to_owned()],
                start: start.to_owned(),
                end: end.to_owned(),
            })
        };
        assert!(window("sun", "00:00", "24:00").is_some());
        for (day, start, end) in [
            ("sun", "24:00", "01:00"),
            ("day", "01:00", "02:00"),
            ("sun", "1", "02:00"),
            ("sun", "02:00", "02:00"),
            ("sun", "02:60", "04:00"),
        ] {
            assert!(window(day, start, end).is_none(), "{day} {start} {end}");
        }
    }
}
