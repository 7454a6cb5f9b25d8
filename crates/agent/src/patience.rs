//! How long an agent waits: after faults, and because it was told to.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The wait after a first fault, before jitter.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest wait after faults, before jitter.
pub const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// The longest rest that a server may order.
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

/// Whether a moment has come.
pub(crate) fn is_due(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at <= now
}

/// A moment to act at, and how far away it was when it was set.
///
/// No wait grows by waiting. Where more is left than there was at the beginning, and a tenth, the clock was set back
/// meanwhile: the moment was meant by a clock that was ahead, by minutes or by years.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Alarm {
    pub(crate) at: DateTime<Utc>,
    wait_ms: u64,
}

/// As it stands in a state file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    /// By an earlier agent, which noted the moment alone.
    Moment(DateTime<Utc>),
    Alarm {
        at: DateTime<Utc>,
        wait_ms: u64,
    },
}

impl From<Written> for Alarm {
    fn from(written: Written) -> Self {
        match written {
            Written::Moment(at) => Self {
                at,
                wait_ms: millis(MAX_REST),
            },
            Written::Alarm { at, wait_ms } => Self { at, wait_ms },
        }
    }
}

impl Alarm {
    /// Due at this moment.
    pub(crate) fn now(now: DateTime<Utc>) -> Self {
        Self { at: now, wait_ms: 0 }
    }

    /// Due so long after this moment.
    pub(crate) fn after(now: DateTime<Utc>, wait: Duration) -> Self {
        Self {
            at: after(now, wait),
            wait_ms: millis(wait),
        }
    }

    pub(crate) fn min(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// Due now, if the clock was set back since it was set.
    pub(crate) fn set_right(&mut self, now: DateTime<Utc>) {
        if self.is_amiss(now) {
            *self = Self::now(now);
        }
    }

    /// The whole wait once more, if the clock was set back since it was set: for one that must not be cut short.
    pub(crate) fn begin_anew(&mut self, now: DateTime<Utc>) {
        if self.is_amiss(now) {
            *self = Self::after(now, Duration::from_millis(self.wait_ms));
        }
    }

    fn is_amiss(self, now: DateTime<Utc>) -> bool {
        self.at > after(now, Duration::from_millis(self.wait_ms).mul_f64(1.1))
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// `Retry-After`: seconds, or a date.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
pub(crate) fn retry_after(headers: &http::HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    (DateTime::<Utc>::from(date) - now).to_std().ok()
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
        assert_eq!(
            read("Monday, 23-Nov-26 12:01:30 GMT"),
            Some(Duration::from_secs(90)),
            "a form that the RFC asks recipients to accept"
        );
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }

    #[test]
    fn an_alarm_of_a_clock_that_was_set_back_is_now() {
        let set: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        for wait in [Duration::from_secs(1), POLL_INTERVAL, MAX_REST] {
            let alarm = Alarm::after(set, wait);
            let seen_at = |now| {
                let mut seen = alarm;
                seen.set_right(now);
                seen.at
            };
            let back = |share: f64| set - TimeDelta::from_std(wait.mul_f64(share)).unwrap();
            for now in [set, back(0.09), alarm.at, after(set, wait * 3)] {
                assert_eq!(seen_at(now), alarm.at, "{wait:?}");
            }
            for now in [back(0.11), back(1.0), set - TimeDelta::days(10_000)] {
                assert_eq!(seen_at(now), now, "{wait:?}");
            }
            let mut promised = alarm;
            promised.begin_anew(back(1.0));
            assert_eq!(promised, Alarm::after(back(1.0), wait));
        }
    }

    #[test]
    fn an_alarm_is_read_as_an_earlier_agent_wrote_it() {
        let at: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let read: Alarm = serde_json::from_str("\"2026-11-23T12:00:00Z\"").unwrap();
        assert_eq!(
            read,
            Alarm {
                at,
                wait_ms: millis(MAX_REST)
            }
        );
        let alarm = Alarm::after(at, POLL_INTERVAL);
        let text = serde_json::to_string(&alarm).unwrap();
        assert_eq!(serde_json::from_str::<Alarm>(&text).unwrap(), alarm);
    }
}
