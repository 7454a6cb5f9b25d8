//! A freeze: a time during which nothing happens, once or every year.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};

use super::window::{DAY, clock_text, minute_of};
use crate::Error;

/// The years in which a freeze may lie: those that every clock and every database can tell.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2199;

/// A time during which a calendar is closed whatever its windows say: from its first moment up to the one at which it is
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Freeze {
    /// Once, by the clock on the wall of the calendar's zone.
    Wall {
        /// When it begins.
        from: NaiveDateTime,
        /// When it is over.
        to: NaiveDateTime,
    },
    /// Once, everywhere at the same moment.
    Moments {
        /// When it begins.
        from: DateTime<Utc>,
        /// When it is over.
        to: DateTime<Utc>,
    },
    /// Every year, by the clock on the wall. One that ends before it begins goes on over New Year.
    Yearly {
        /// When it begins.
        from: YearDay,
        /// When it is over.
        to: YearDay,
    },
}

/// A time on a day of every year. On 29 February it exists in leap years; in the others 1 March, 00:00 stands for it, which
/// is the next moment after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct YearDay {
    month: u8,
    day: u8,
    minute: u16,
}

/// A freeze as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    from: String,
    to: String,
    #[serde(default)]
    yearly: bool,
}

impl Freeze {
    /// Takes a freeze as it is written. One that happens once: `2026-12-20` or `2026-12-20T18:00` by the clock on the wall,
    /// or `2026-12-20T18:00:00Z` for the same moment everywhere. One of every year: `12-20` or `12-20T18:00`. A date alone
    /// is 00:00 of that day, and `to` is the first moment after the freeze.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `freezes`.
    pub fn parse(from: &str, to: &str, yearly: bool) -> Result<Self, Error> {
        let freeze = match yearly {
            true => Self::parse_yearly(from, to)?,
            false => Self::parse_once(from, to)?,
        };
        let is_empty = match freeze {
            Self::Wall { from, to } => from >= to,
            Self::Moments { from, to } => from >= to,
            Self::Yearly { from, to } => from == to,
        };
        if !is_empty {
            return Ok(freeze);
        }
        let fault = match yearly {
            true => format!("must not begin and end both at {from}: a calendar that never opens needs none"),
            false => format!("must begin before they end, and one is from {from} to {to}"),
        };
        Err(invalid(fault))
    }

    fn parse_yearly(from: &str, to: &str) -> Result<Self, Error> {
        let read = |text: &str| {
            YearDay::parse(text).ok_or_else(|| {
                invalid(format!(
                    "have a time {text:?}; every year's are such as 12-20 or 12-20T18:00"
                ))
            })
        };
        Ok(Self::Yearly {
            from: read(from)?,
            to: read(to)?,
        })
    }

    fn parse_once(from: &str, to: &str) -> Result<Self, Error> {
        if let (Some(from), Some(to)) = (wall(from), wall(to)) {
            return Ok(Self::Wall { from, to });
        }
        if let (Some(from), Some(to)) = (moment(from), moment(to)) {
            return Ok(Self::Moments { from, to });
        }
        let bad = [from, to]
            .into_iter()
            .find(|text| wall(text).is_none() && moment(text).is_none());
        Err(invalid(match bad {
            Some(bad) => format!(
                "have a time {bad:?}; they are such as 2026-12-20, 2026-12-20T18:00 or 2026-12-20T18:00:00Z, of the years \
                 {} to {}, and every year's such as 12-20 with yearly",
                YEARS.start(),
                YEARS.end()
            ),
            None => format!("must tell both ends alike, and one is from {from} to {to}"),
        }))
    }

    /// Whether it comes every year.
    pub fn is_yearly(&self) -> bool {
        matches!(self, Self::Yearly { .. })
    }

    /// When it begins and when it is over, as it is written.
    pub fn written(&self) -> (String, String) {
        match self {
            Self::Wall { from, to } => (wall_text(*from), wall_text(*to)),
            Self::Moments { from, to } => (moment_text(*from), moment_text(*to)),
            Self::Yearly { from, to } => (from.to_string(), to.to_string()),
        }
    }
}

fn invalid(fault: String) -> Error {
    Error::invalid("freezes", fault)
}

/// A date, or a date and a time, by the clock on the wall.
fn wall(text: &str) -> Option<NaiveDateTime> {
    let (date, minute) = match text.split_once('T') {
        None => (text, 0),
        Some((date, time)) => (
            date,
            minute_of(
                time.strip_suffix(":00")
                    .filter(|rest| rest.len() == 5)
                    .unwrap_or(time),
            )?,
        ),
    };
    let is_plain = date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date: NaiveDate = is_plain.then(|| date.parse().ok()).flatten()?;
    (YEARS.contains(&date.year()) && minute < DAY).then(|| date.and_time(time_of(minute)))
}

/// A moment by RFC 3339.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (YEARS.contains(&moment.year()) && moment.second() == 0 && moment.nanosecond() == 0).then_some(moment)
}

fn time_of(minute: u16) -> NaiveTime {
    NaiveTime::MIN + chrono::TimeDelta::minutes(minute.into())
}

fn wall_text(at: NaiveDateTime) -> String {
    match at.time() == NaiveTime::MIN {
        true => at.format("%F").to_string(),
        false => at.format("%FT%H:%M").to_string(),
    }
}

fn moment_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl YearDay {
    fn parse(text: &str) -> Option<Self> {
        let (date, minute) = match text.split_once('T') {
            None => (text, 0),
            Some((date, time)) => (date, minute_of(time)?),
        };
        // A leap year has every day that there is.
        let date = wall(&format!("2000-{date}"))?;
        (minute < DAY).then(|| Self {
            month: u8::try_from(date.month()).unwrap_or(1),
            day: u8::try_from(date.day()).unwrap_or(1),
            minute,
        })
    }

    /// When it is in this year, by the clock on the wall; `None` beyond the years that there are.
    pub fn in_year(self, year: i32) -> Option<NaiveDateTime> {
        match NaiveDate::from_ymd_opt(year, self.month.into(), self.day.into()) {
            Some(date) => Some(date.and_time(time_of(self.minute))),
            None => NaiveDate::from_ymd_opt(year, 3, 1).map(|date| date.and_time(NaiveTime::MIN)),
        }
    }
}

impl fmt::Display for YearDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)?;
        match self.minute {
            0 => Ok(()),
            minute => write!(f, "T{}", clock_text(minute)),
        }
    }
}

impl TryFrom<Written> for Freeze {
    type Error = Error;
    fn try_from(written: Written) -> Result<Self, Error> {
        Self::parse(&written.from, &written.to, written.yearly)
    }
}

impl From<Freeze> for Written {
    fn from(freeze: Freeze) -> Self {
        let (from, to) = freeze.written();
        Self {
            from,
            to,
            yearly: freeze.is_yearly(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_reads_as_it_is_written() {
        for (from, to, yearly) in [
            ("2026-12-20", "2027-01-06", false),
            ("2026-12-20T18:00", "2027-01-06T06:30", false),
            ("2026-12-20T18:00:00Z", "2027-01-06T06:30:00Z", false),
            ("12-20", "01-06", true),
            ("02-29T12:00", "03-01", true),
        ] {
            let written = Freeze::parse(from, to, yearly).unwrap().written();
            assert_eq!(written, (from.to_owned(), to.to_owned()));
        }
        let told = Freeze::parse("2026-12-20T18:00:00+01:00", "2026-12-21T00:00:00+01:00", false).unwrap();
        assert_eq!(told.written().0, "2026-12-20T17:00:00Z");
        assert_eq!(
            Freeze::parse("2026-12-20T18:00:00", "2026-12-21", false)
                .unwrap()
                .written()
                .0,
            "2026-12-20T18:00"
        );
    }

    #[test]
    fn what_is_no_freeze_is_refused_by_name() {
        let table = [
            ("2026-12-20", "2026-12-20", false, "begin before they end"),
            ("2027-01-06", "2026-12-20", false, "begin before they end"),
            ("2026-12-20", "2026-12-20T18:00:00Z", false, "alike"),
            ("12-20", "01-06", false, "with yearly"),
            ("2026-12-20", "2027-01-06", true, "every year's"),
            ("12-20", "12-20", true, "both at 12-20"),
            ("02-30", "03-01", true, "02-30"),
            ("2-3", "03-01", true, "2-3"),
            ("2026-02-29", "2026-03-01", false, "2026-02-29"),
            ("2026-12-20T24:00", "2026-12-22", false, "2026-12-20T24:00"),
            ("2026-12-20T18:00:30", "2026-12-22", false, "18:00:30"),
            ("9999-12-20", "9999-12-22", false, "9999"),
            ("", "2026-12-22", false, "\"\""),
        ];
        for (from, to, yearly, words) in table {
            let refused = Freeze::parse(from, to, yearly).unwrap_err();
            assert_eq!(refused.field(), Some("freezes"));
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }

    #[test]
    fn the_29th_of_february_is_the_1st_of_march_where_there_is_none() {
        let day = |text: &str, year| YearDay::parse(text).unwrap().in_year(year).unwrap().to_string();
        assert_eq!(day("02-29T10:00", 2028), "2028-02-29 10:00:00");
        assert_eq!(day("02-29T10:00", 2027), "2027-03-01 00:00:00");
        assert_eq!(day("02-28T10:00", 2027), "2027-02-28 10:00:00");
    }
}
