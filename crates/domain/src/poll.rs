//! When a device is to poll next.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::Again;
use crate::gate::DENSE_INTERVAL;
#[cfg(doc)]
use crate::gate::DENSE_PHASE;

/// How far a device's draw moves its poll beyond a moment that it has to itself, at most: this part of the interval.
const DRAW: f64 = 0.2;

/// The time until the device's next poll: the fleet's interval ± 20 %, drawn from the device's id, so that devices
/// that were switched on together drift apart and a device always keeps its own rhythm.
///
/// The draw uses other bytes of the hash than the cohort does, so that a rollout's canaries are spread over the
/// whole interval.
pub fn poll_after(device_id: &str, interval: Duration) -> Duration {
    let [rhythm, _] = draws(device_id);
    interval.mul_f64(0.8 + 0.4 * rhythm)
}

/// The same, where the answer changes by itself: then, if that is sooner. Those that wait for the same moment come in over
/// its spread, each at a place of its own; to a moment that is the device's alone at most a fifth of the interval is added.
pub fn poll_after_change(
    device_id: &str,
    interval: Duration,
    again: Option<Again>,
    now: DateTime<Utc>,
) -> Duration {
    let usual = poll_after(device_id, interval);
    let soon = again.and_then(|again| Some(((again.at - now).to_std().ok()?, again.spread)));
    let Some((wait, spread)) = soon.filter(|(wait, _)| *wait < usual) else {
        return usual;
    };
    let [_, place] = draws(device_id);
    let over = spread.map_or(interval.mul_f64(DRAW), |spread| {
        spread.to_std().unwrap_or_default()
    });
    // Whole seconds are told, and those that begin too early are answered as before.
    let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    wait + over.mul_f64(place)
}

/// The time until the next poll of a device that a health gate has watched for less than
/// [`DENSE_PHASE`]: half an hour at most, in its own rhythm.
pub fn poll_often(device_id: &str) -> Duration {
    let most = DENSE_INTERVAL.to_std().unwrap_or_default();
    poll_after(device_id, most.mul_f64(1.0 / (1.0 + DRAW)))
}

/// What a device draws, once for good: two numbers from 0 to 1.
fn draws(device_id: &str) -> [f64; 2] {
    let digest = Sha256::digest(device_id);
    [4, 8].map(|at| {
        let draw = u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
        f64::from(draw) / f64::from(u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_spreads_over_the_whole_window_and_no_device_leaves_it() {
        let interval = Duration::from_secs(6 * 3600);
        let waits: Vec<u64> = (0..10_000)
            .map(|n| poll_after(&format!("device-{n}"), interval).as_secs())
            .collect();
        assert!(waits.iter().all(|wait| (17_280..=25_920).contains(wait)));
        let tenths = |wait: &u64| (wait - 17_280) * 10 / 8_641;
        for tenth in 0..10 {
            let share = waits.iter().filter(|wait| tenths(wait) == tenth).count();
            assert!(
                (900..1_100).contains(&share),
                "tenth {tenth} holds {share} of 10,000"
            );
        }
        assert_eq!(poll_after("device-1", interval), poll_after("device-1", interval));
    }

    #[test]
    fn who_is_watched_polls_every_half_hour_at_the_latest() {
        let waits = (0..10_000).map(|n| poll_often(&format!("device-{n}")));
        let (least, most) = (Duration::from_secs(16 * 60), Duration::from_secs(30 * 60));
        assert!(waits.into_iter().all(|wait| (least..=most).contains(&wait)));
    }

    #[test]
    fn those_who_wait_for_one_moment_come_in_over_its_spread() {
        let (now, interval) = (DateTime::UNIX_EPOCH, Duration::from_secs(6 * 3600));
        let opens_in = |wait: i64, spread: Option<i64>| {
            let again = Again {
                at: now + chrono::TimeDelta::seconds(wait),
                spread: spread.map(chrono::TimeDelta::seconds),
            };
            move |n: u32| poll_after_change(&format!("device-{n}"), interval, Some(again), now).as_secs()
        };
        let waits: Vec<u64> = (0..10_000).map(opens_in(3600, Some(7200))).collect();
        for quarter in 0..4 {
            let from = 3600 + 1800 * quarter;
            let share = waits
                .iter()
                .filter(|wait| (from..from + 1800).contains(*wait))
                .count();
            assert!(
                (2_300..2_700).contains(&share),
                "quarter {quarter} holds {share} of 10,000"
            );
        }
        assert!(
            (0..1_000)
                .map(opens_in(3600, None))
                .all(|wait| (3600..=3600 + 4320).contains(&wait))
        );
        let far = |n: u32| poll_after(&format!("device-{n}"), interval).as_secs();
        assert!((0..1_000).all(|n| opens_in(8 * 3600, Some(7200))(n) == far(n)));
        assert!(
            (0..1_000).all(|n| opens_in(-1, Some(7200))(n) == far(n)),
            "it is over"
        );
    }
}
