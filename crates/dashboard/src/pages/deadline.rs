//! The deadline for installing, as the dialog asks for it: a time in UTC, which a script shows in the zone of whoever types.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use tidegate_service::Error;

use crate::form::Fields;

/// How a browser writes a date and a time; with seconds only where there are any.
const SHAPES: [&str; 2] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];

/// The years that times are kept of.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// The deadline that the form asks for, if it asks for one.
pub(crate) fn deadline(fields: &Fields) -> Result<Option<DateTime<Utc>>, Error> {
    let Some(text) = fields.given("install_deadline") else {
        return Ok(None);
    };
    let read = |shape| NaiveDateTime::parse_from_str(&text, shape).ok();
    let time = SHAPES.into_iter().find_map(read);
    match time.filter(|time| YEARS.contains(&time.year())) {
        Some(time) => Ok(Some(time.and_utc())),
        None => {
            let fault = "must be a date and a time in UTC, such as 2027-01-04T06:00";
            Err(Error::invalid("install_deadline", fault))
        }
    }
}
