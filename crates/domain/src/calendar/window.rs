//! A window: on which days of the week, from when to when.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The days by their names, from Monday.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes of a day.
pub(super) const DAY: u16 = 24 * 60;

/// A time of the day on some days of the week, in minutes on the wall. One whose end is before its start ends on the next
/// day, and belongs to the day on which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Window {
    /// A bit for each day from Monday.
    days: u8,
    /// Minutes from midnight, below [`DAY`].
    start: u16,
    /// Minutes from midnight, 1 to [`DAY`], or before the start.
    end: u16,
}

/// A window as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    days: Vec<String>,
    start: String,
    end: String,
}

impl Window {
    /// Takes a window as it is written: days such as `mon`, times such as `22:00`. `24:00` is an end only: midnight at the
    /// end of the day.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `windows`.
    pub fn parse<D: AsRef<str>>(days: &[D], start: &str, end: &str) -> Result<Self, Error> {
        let invalid = |fault: String| Error::invalid("windows", fault);
        let mut set = 0_u8;
        for day in days {
            let day = day.as_ref();
            let at = DAYS
                .iter()
                .position(|name| *name == day)
                .ok_or_else(|| invalid(format!("have a day {day:?}; days are {}", DAYS.join(", "))))?;
            set |= 1 << at;
        }
        if set == 0 {
            return Err(invalid("must each have at least one day".to_owned()));
        }
        let time = |text: &str| {
            minute_of(text).ok_or_else(|| {
                invalid(format!(
                    "have a time {text:?}; times are from 00:00 to 23:59, and 24:00 as an end"
                ))
            })
        };
        let (start, end) = (time(start)?, time(end)?);
        if start == DAY {
            return Err(invalid(
                "must not start at 24:00: say 00:00 of the next day".to_owned(),
            ));
        }
        if start == end {
            let fault = format!(
                "must not start and end both at {}; the whole day is from 00:00 to 24:00",
                clock_text(start)
            );
            return Err(invalid(fault));
        }
        Ok(Self {
            days: set,
            start,
            end,
        })
    }

    /// The days on which it starts, from Monday.
    pub fn days(&self) -> impl Iterator<Item = &'static str> {
        let days = self.days;
        (0..7).filter(move |at| days & (1 << at) != 0).map(|at| DAYS[at])
    }

    /// When it starts, in minutes from midnight.
    pub fn start(&self) -> u16 {
        self.start
    }

    /// When it ends, in minutes from midnight, up to 1,440; before the start where it ends on the next day.
    pub fn end(&self) -> u16 {
        self.end
    }

    /// Whether it starts on this day of the week, counted from Monday as 0.
    #[cfg(feature = "calendars")]
    pub(super) fn starts_on(&self, day: u8) -> bool {
        self.days & (1 << day) != 0
    }

    /// How long it is by the clock on the wall, in minutes.
    pub fn wall_minutes(&self) -> u16 {
        match self.end > self.start {
            true => self.end - self.start,
            false => DAY - self.start + self.end,
        }
    }
}

/// Reads a time such as `22:00`, up to `24:00`.
pub(super) fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let is_time = (hour < 24 && minute < 60) || (hour, minute) == (24, 0);
    is_time.then_some(hour * 60 + minute)
}

/// Minutes from midnight as a clock shows them, such as `22:00`; 1,440 is `24:00`.
pub fn clock_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl TryFrom<Written> for Window {
    type Error = Error;
    fn try_from(written: Written) -> Result<Self, Error> {
        Self::parse(&written.days, &written.start, &written.end)
    }
}

impl From<Window> for Written {
    fn from(window: Window) -> Self {
        Self {
            days: window.days().map(str::to_owned).collect(),
            start: clock_text(window.start),
            end: clock_text(window.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_reads_as_it_is_written() {
        let night = Window::parse(&["fri", "mon", "mon"], "22:00", "04:00").unwrap();
        assert_eq!(night.days().collect::<Vec<_>>(), ["mon", "fri"]);
        assert_eq!(
            (night.start(), night.end(), night.wall_minutes()),
            (1320, 240, 360)
        );
        let whole = Window::parse(&["sun"], "00:00", "24:00").unwrap();
        assert_eq!(whole.wall_minutes(), 1440);
        let midnight = Window::parse(&["sun"], "22:00", "00:00").unwrap();
        assert_eq!(midnight.wall_minutes(), 120);
    }

    #[test]
    fn what_is_no_window_is_refused_by_name() {
        let table = [
            (&["mon"][..], "22:00", "22:00", "both at 22:00"),
            (&["mon"], "00:00", "00:00", "from 00:00 to 24:00"),
            (&["mon"], "24:00", "04:00", "start at 24:00"),
            (&[], "22:00", "04:00", "at least one day"),
            (&["Mon"], "22:00", "04:00", "\"Mon\""),
            (&["monday"], "22:00", "04:00", "days are mon"),
            (&["mon"], "22:60", "04:00", "22:60"),
            (&["mon"], "22:00", "24:01", "24:01"),
            (&["mon"], "2:00", "04:00", "\"2:00\""),
            (&["mon"], "+2:00", "04:00", "+2:00"),
            (&["mon"], "22", "04:00", "\"22\""),
            (&["mon"], "22:00:00", "04:00", "22:00:00"),
        ];
        for (days, start, end, words) in table {
            let refused = Window::parse(days, start, end).unwrap_err();
            assert_eq!(refused.field(), Some("windows"));
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }
}
