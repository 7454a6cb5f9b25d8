//! The times that charts are shown over, and where a moment stands in them.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_service::Error;

use super::XTick;
use crate::show;

/// How long a time a chart shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    Hour,
    Day,
    Week,
    Month,
}

impl Range {
    pub(crate) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// What a page's address says.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// What the page says.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Hour => "1 h",
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::Month => "30 d",
        }
    }

    pub(crate) fn span(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::hours(24),
            Self::Week => TimeDelta::days(7),
            Self::Month => TimeDelta::days(30),
        }
    }

    /// The one that was asked for, if one was.
    pub(crate) fn asked(text: Option<&str>) -> Result<Option<Self>, Error> {
        let Some(text) = text else { return Ok(None) };
        let found = Self::ALL.into_iter().find(|range| range.as_str() == text);
        match found {
            Some(range) => Ok(Some(range)),
            None => Err(Error::invalid("range", "must be 1h, 24h, 7d or 30d")),
        }
    }

    /// The shortest one that reaches back to then: a young release is no line at the right end of a week.
    pub(crate) fn holding(first: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let holds = |range: &Self| now - range.span() <= first;
        Self::ALL.into_iter().find(holds).unwrap_or(Self::Month)
    }

    /// The same where nobody has chosen: a week is enough.
    pub(crate) fn first_shown(first: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        match first.map(|first| Self::holding(first, now)) {
            Some(Self::Month) => Self::Week,
            Some(range) => range,
            None => Self::Day,
        }
    }
}

/// Where a time stands, in percent from the left.
pub(super) fn x(at: DateTime<Utc>, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let x = show::percent_of((at - from).num_seconds(), (to - from).num_seconds().max(1));
    // A hundredth of a percent is nothing to see, and half the text.
    (x * 100.0).round() / 100.0
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The distances at which times may be written.
const STEPS: [i64; 10] = [
    MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    12 * HOUR,
    DAY,
    5 * DAY,
    30 * DAY,
];

/// The most times that are written.
const MAX_TICKS: i64 = 7;

/// Beyond these a label hangs at its end, so that it is not cut off; in percent.
const EDGES: (f64, f64) = (4.0, 96.0);

/// Round times within this time.
pub(super) fn ticks(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<XTick> {
    let span = (to - from).num_seconds().max(1);
    let step = STEPS.into_iter().find(|step| span / step <= MAX_TICKS);
    let step = step.unwrap_or(span);
    let first = from.timestamp().div_euclid(step) + 1;
    let times = (first..).map(|number| number * step);
    let times = times.take_while(|at| *at <= to.timestamp());
    times
        .filter_map(|at| DateTime::from_timestamp(at, 0))
        .map(|at| {
            let x = x(at, from, to);
            XTick {
                x,
                label: label(at, step),
                anchor: match x {
                    _ if x < EDGES.0 => "start",
                    _ if x > EDGES.1 => "end",
                    _ => "middle",
                },
            }
        })
        .collect()
}

/// A day begins with its date.
fn label(at: DateTime<Utc>, step: i64) -> String {
    let is_day = at.timestamp().rem_euclid(DAY) == 0;
    let format = if is_day || step >= DAY { "%-d %b" } else { "%H:%M" };
    at.format(format).to_string()
}
