//! The server's clock, as far as its answers tell it: windows and deadlines are judged by it and not by the device's own.

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AGE, DATE};
use serde::{Deserialize, Serialize};

/// How long a reading is good enough for a decision that depends on the time of day. After this the server is asked once
/// more, since the device's clock may have been set meanwhile.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// Both clocks, read at the same answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerClock {
    /// The answer's `Date`.
    server: DateTime<Utc>,
    /// The device's clock when the answer came.
    own: DateTime<Utc>,
}

impl ServerClock {
    /// Reads an answer that came at `own` by the device's clock. `None` where it has no `Date`, or comes from a cache, which
    /// repeats the time at which the server answered somebody else.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1>; the forms of a date are those of section 5.6.7.
    pub(crate) fn read(headers: &http::HeaderMap, own: DateTime<Utc>) -> Option<Self> {
        if headers.contains_key(AGE) {
            return None;
        }
        let server = date(headers)?;
        Some(Self { server, own })
    }

    /// The server's time when the device's clock shows `own`. It is never before the reading, however far the device's clock
    /// was set back.
    pub(crate) fn now(self, own: DateTime<Utc>) -> DateTime<Utc> {
        let passed = own.signed_duration_since(self.own).max(TimeDelta::zero());
        self.server.checked_add_signed(passed).unwrap_or(self.server)
    }

    /// Whether the reading is recent by the device's clock, whichever way that was set.
    pub(crate) fn is_fresh(self, own: DateTime<Utc>) -> bool {
        own.signed_duration_since(self.own).abs() <= FRESH
    }
}

/// An answer's `Date`.
pub(crate) fn date(headers: &http::HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text.trim()).ok().map(DateTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn headers(date: &'static str) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        headers.insert(DATE, http::HeaderValue::from_static(date));
        headers
    }

    #[test]
    fn a_date_is_read_in_each_form_that_recipients_have_to_accept() {
        let own = at("2020-01-01T00:00:00Z");
        for form in [
            "Mon, 23 Nov 2026 12:01:30 GMT",
            "Monday, 23-Nov-26 12:01:30 GMT",
            "Mon Nov 23 12:01:30 2026",
        ] {
            let clock = ServerClock::read(&headers(form), own).unwrap();
            assert_eq!(clock.now(own), at("2026-11-23T12:01:30Z"), "{form}");
        }
        for none in ["", "now", "1795435290", "Mon, 31 Feb 2026 12:01:30 GMT"] {
            assert_eq!(ServerClock::read(&headers(none), own), None, "{none}");
        }
    }

    #[test]
    fn what_a_cache_repeats_tells_no_time() {
        let mut cached = headers("Mon, 23 Nov 2026 12:01:30 GMT");
        cached.insert(AGE, http::HeaderValue::from_static("3600"));
        assert_eq!(ServerClock::read(&cached, at("2026-11-23T13:01:30Z")), None);
    }

    #[test]
    fn the_servers_time_goes_on_with_the_devices_clock_and_never_back() {
        let own = at("2020-01-01T00:00:00Z");
        let clock = ServerClock::read(&headers("Mon, 23 Nov 2026 12:00:00 GMT"), own).unwrap();
        let server = at("2026-11-23T12:00:00Z");
        for (passed, now, fresh) in [
            (TimeDelta::zero(), server, true),
            (TimeDelta::minutes(10), server + TimeDelta::minutes(10), true),
            (TimeDelta::hours(1), server + TimeDelta::hours(1), false),
            (TimeDelta::minutes(-10), server, true),
            (TimeDelta::hours(-1), server, false),
            (TimeDelta::days(-400), server, false),
        ] {
            assert_eq!(clock.now(own + passed), now, "{passed}");
            assert_eq!(clock.is_fresh(own + passed), fresh, "{passed}");
        }
        assert_eq!(clock.now(DateTime::<Utc>::MIN_UTC), server);
        assert!(clock.now(DateTime::<Utc>::MAX_UTC) >= server);
    }
}
