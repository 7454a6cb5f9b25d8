//! When a device is to poll next.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// The time until the device's next poll: the fleet's interval ± 20 %, drawn from the device's id, so that devices
/// that were switched on together drift apart and a device always keeps its own rhythm.
///
/// The draw uses other bytes of the hash than the cohort does, so that a rollout's canaries are spread over the
/// whole interval.
pub fn poll_after(device_id: &str, interval: Duration) -> Duration {
    let digest = Sha256::digest(device_id);
    let draw = u32::from_be_bytes([digest[4], digest[5], digest[6], digest[7]]);
    let fraction = f64::from(draw) / f64::from(u32::MAX);
    interval.mul_f64(0.8 + 0.4 * fraction)
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
}
