//! How long an agent waits: after faults, and when the server asks it to.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::install_terms::seconds;
use crate::server_clock::date;

/// The wait after the first fault, before it is spread.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest wait after faults, before it is spread.
pub const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// The longest wait that a server can ask for.
pub const MAX_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The poll interval when the server names none.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// The wait after this many faults in a row. It doubles each time up to [`MAX_PAUSE`], and is then spread over 50 % to
/// 150 % by the device's id, so that devices that failed at the same time do not retry at the same time.
pub(crate) fn pause(device: &str, faults: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << faults.saturating_sub(1).min(16));
    doubled.min(MAX_PAUSE).mul_f64(0.5 + fraction(device, faults))
}

/// The wait for a `Retry-After` of this length: never shorter, and up to a tenth longer, so that devices do not return
/// all at once. The draw depends on the moment, so that no device is always the last.
pub(crate) fn requested_wait(device: &str, now: DateTime<Utc>, requested: Duration) -> Duration {
    requested
        .min(MAX_WAIT)
        .mul_f64(1.0 + fraction(device, seconds(now)) / 10.0)
}

/// A number from 0 to 1, always the same for the same device and number.
pub(crate) fn fraction(device: &str, number: u32) -> f64 {
    let digest = Sha256::new()
        .chain_update(number.to_be_bytes())
        .chain_update(device)
        .finalize();
    f64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) / f64::from(u32::MAX)
}

/// `Retry-After`: seconds, or a date. A date is compared with the answer's own `Date`, since this device's clock may be wrong.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
pub(crate) fn retry_after(headers: &http::HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = date(headers).unwrap_or(now);
    (DateTime::<Utc>::from(until) - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_double_the_pause_up_to_a_bound_and_never_overflow() {
        for device in ["phone-1", "phone-2", "phone-3"] {
            for faults in 1..60 {
                let plain = FIRST_PAUSE.as_secs_f64() * 2f64.powi(i32::try_from(faults).unwrap() - 1);
                let plain = plain.min(MAX_PAUSE.as_secs_f64());
                let pause = pause(device, faults).as_secs_f64();
                assert!((0.5 * plain..=1.5 * plain).contains(&pause), "{faults}: {pause}");
            }
        }
        assert_ne!(pause("phone-1", 1), pause("phone-2", 1));
        assert_eq!(pause("phone-1", 3), pause("phone-1", 3));
    }

    #[test]
    fn a_wait_that_the_server_requests_is_not_shortened_below_the_bound() {
        let requested = Duration::from_secs(120);
        let begin: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut waits = std::collections::BTreeSet::new();
        for second in 0..20 {
            let now = begin + chrono::TimeDelta::seconds(second);
            let waited = requested_wait("phone-1", now, requested);
            assert!((requested..=requested.mul_f64(1.1)).contains(&waited));
            waits.insert(waited);
        }
        assert!(waits.len() > 15, "the draw is another one each time");
        assert!(requested_wait("phone-1", begin, Duration::from_secs(u64::MAX)) <= MAX_WAIT.mul_f64(1.1));
    }

    #[test]
    fn retry_after_is_read_in_both_its_forms() {
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let read = |text: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static(text));
            retry_after(&headers, now)
        };
        assert_eq!(read("90"), Some(Duration::from_secs(90)));
        assert_eq!(
            read("Mon, 23 Nov 2026 12:01:30 GMT"),
            Some(Duration::from_secs(90))
        );
        assert_eq!(read("Mon, 23 Nov 2026 11:00:00 GMT"), None);
        assert_eq!(
            read("Monday, 23-Nov-26 12:01:30 GMT"),
            Some(Duration::from_secs(90)),
            "a form that the RFC asks recipients to accept"
        );
        let mut of_a_wrong_clock = http::HeaderMap::new();
        for (name, value) in [
            (http::header::RETRY_AFTER, "Wed, 25 Nov 2026 12:01:30 GMT"),
            (http::header::DATE, "Wed, 25 Nov 2026 12:00:00 GMT"),
        ] {
            of_a_wrong_clock.insert(name, http::HeaderValue::from_static(value));
        }
        assert_eq!(
            retry_after(&of_a_wrong_clock, now),
            Some(Duration::from_secs(90)),
            "this device's clock is two days behind"
        );
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }
}
