//! How long an agent waits: after faults, and because it was told to.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

/// The wait after a first fault, before jitter.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest wait after faults, before jitter.
pub const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// The longest rest that a server may order. A time further away than this, as it stands in a state file, was
/// written under a clock that was wrong, and is now.
pub const MAX_REST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The poll interval of a server that names none.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// The wait after so many faults in a row: doubled each time up to [`MAX_PAUSE`], and spread by half of it either
/// way, drawn from the device's id, so that a fleet that failed together does not come back together.
pub(crate) fn pause(device: &str, faults: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << faults.saturating_sub(1).min(16));
    doubled.min(MAX_PAUSE).mul_f64(0.5 + draw(device, faults))
}

/// A wait that the server asked for: never shorter, and up to a tenth longer, so that not all come back at once.
pub(crate) fn obeyed(device: &str, faults: u32, asked: Duration) -> Duration {
    asked.min(MAX_REST).mul_f64(1.0 + draw(device, faults) / 10.0)
}

/// From 0 to 1, always the same for the same device and number.
fn draw(device: &str, number: u32) -> f64 {
    let digest = Sha256::new()
        .chain_update(number.to_be_bytes())
        .chain_update(device)
        .finalize();
    f64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) / f64::from(u32::MAX)
}

/// A moment so long from now.
pub(crate) fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = TimeDelta::from_std(wait.min(MAX_REST * 2)).unwrap_or(TimeDelta::zero());
    now.checked_add_signed(wait).unwrap_or(now)
}

/// Whether a moment has come, or can't be meant.
pub(crate) fn is_due(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at <= now || at > after(now, MAX_REST * 2)
}

/// `Retry-After`: seconds, or a date.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
pub(crate) fn retry_after(headers: &http::HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    (date.to_utc() - now).to_std().ok()
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
    fn what_the_server_asks_for_is_never_cut_short_below_the_bound() {
        let asked = Duration::from_secs(120);
        for faults in 0..20 {
            let waited = obeyed("phone-1", faults, asked);
            assert!((asked..=asked.mul_f64(1.1)).contains(&waited));
        }
        assert!(obeyed("phone-1", 1, Duration::from_secs(u64::MAX)) <= MAX_REST.mul_f64(1.1));
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
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }

    #[test]
    fn a_time_from_a_clock_that_was_wrong_is_now() {
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        assert!(is_due(now, now));
        assert!(!is_due(after(now, POLL_INTERVAL), now));
        assert!(!is_due(after(now, MAX_REST), now));
        assert!(is_due("2098-01-01T00:00:00Z".parse().unwrap(), now));
    }
}
