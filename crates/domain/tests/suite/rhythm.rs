//! When a device polls: its own rhythm, which it keeps for good, and the moments that it waits for.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{Again, poll_after, poll_after_change, poll_often};

use crate::fleet::at;

const INTERVAL: Duration = Duration::from_secs(6 * 3_600);

/// A device, the seconds of its rhythm at that interval, and its place within a spread of an hour, in seconds. Both were
/// computed outside of this crate, from the device's hash; were they to change, whole fleets would come in anew.
const KNOWN: [(&str, f64, f64); 2] = [
    ("device-1", 18_834.871_268_9, 1_160.223_572_0),
    ("till-7", 25_709.364_099_6, 3_150.458_088_5),
];

fn is_near(told: Duration, seconds: f64) -> bool {
    (told.as_secs_f64() - seconds).abs() < 1e-6
}

/// The wait of a device that is told so at the beginning of 1970.
fn waits(device: &str, opens: DateTime<Utc>, spread: Option<TimeDelta>) -> Duration {
    let again = Again { at: opens, spread };
    poll_after_change(device, INTERVAL, Some(again), at(0))
}

#[test]
fn a_device_keeps_the_rhythm_and_the_place_that_its_id_has() {
    for (device, rhythm, place) in KNOWN {
        let usual = poll_after(device, INTERVAL);
        assert!(is_near(usual, rhythm), "{device}: {usual:?}");
        assert_eq!(poll_after_change(device, INTERVAL, None, at(0)), usual);
        let told = waits(device, at(60), Some(TimeDelta::hours(1)));
        assert!(is_near(told, 60.0 + place), "{device}: {told:?}");
        // A moment of its own: a fifth of the interval.
        let told = waits(device, at(60), None);
        assert!(is_near(told, 60.0 + place * 1.2), "{device}: {told:?}");
        // Half an hour is what the slowest come to.
        let often = poll_often(device);
        assert!(is_near(often, rhythm * 1_500.0 / 21_600.0), "{device}: {often:?}");
    }
}

#[test]
fn a_wait_is_of_whole_seconds_and_never_too_short() {
    let at_once = Some(TimeDelta::zero());
    for (millis, seconds) in [
        (10_000, 10),
        (10_001, 11),
        (10_500, 11),
        (10_999, 11),
        (11_000, 11),
    ] {
        let opens = at(0) + TimeDelta::milliseconds(millis);
        assert_eq!(
            waits("device-1", opens, at_once),
            Duration::from_secs(seconds),
            "{millis}"
        );
    }
}

#[test]
fn what_opens_when_the_device_comes_anyway_puts_it_off_no_longer() {
    let usual = poll_after("device-1", INTERVAL);
    let comes = at(0) + TimeDelta::from_std(usual).unwrap();
    let spread = Some(TimeDelta::hours(1));
    assert_eq!(waits("device-1", comes, spread), usual);
    let a_moment_before = waits("device-1", comes - TimeDelta::nanoseconds(1), spread);
    assert!(a_moment_before > usual, "it then has its place in the spread");
}
