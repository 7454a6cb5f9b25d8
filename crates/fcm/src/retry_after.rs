//! The header `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A longer wait is cut to this; FCM can then ask for another.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// The wait that the header asks for, at this time; `None` for what is neither form.
pub(crate) fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(MAX_WAIT));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let wait = DateTime::<Utc>::from(date) - now;
    Some(wait.to_std().unwrap_or_default().min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_nothing_else() {
        let now = DateTime::from_timestamp(784_111_777, 0).expect("a time");
        let cases = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:47 +0100", None),
            ("Sat, 06 Nov 1999 08:00:00 GMT", Some(3600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in cases {
            assert_eq!(parse(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
