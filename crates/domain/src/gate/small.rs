//! What a small fleet's plan is unless somebody writes another.

use std::time::Duration;

use crate::Percent;

/// Fleets below this are small: [`e_good`](super::e_good) would need most of them, so a step passes by census.
pub const SMALL_FLEET: u64 = 500;

/// The most steps of a small fleet's plan: each one must hold enough devices to tell something.
pub const SMALL_FLEET_STEPS: u64 = 3;

/// The fewest devices of a small fleet's step: with fewer, a build that breaks a third is rather passed than halted.
pub const SMALL_FLEET_STEP_DEVICES: u64 = 10;

/// How long a small fleet's step bakes: each of its phones has lived through a day and a night.
pub const SMALL_FLEET_BAKE: Duration = Duration::from_secs(24 * 3_600);

/// The shares that the steps of a small fleet's plan end with: ten devices or a tenth, a third, everybody. Empty for a
/// fleet that is not small, and for none. Positions are hashed, so a step holds about as many devices.
pub fn small_fleet_shares(devices: u64) -> Vec<Percent> {
    if !(1..SMALL_FLEET).contains(&devices) {
        return Vec::new();
    }
    let step = SMALL_FLEET_STEP_DEVICES;
    let first = step.max(devices.div_ceil(10));
    let second = (first + step).max(devices.div_ceil(3));
    // The last step must hold ten as well.
    let ends = [first, second].into_iter().filter(|end| end + step <= devices);
    ends.map(|end| share_of(end, devices))
        .chain([Percent::EVERYBODY])
        .collect()
}

/// So many of the devices, rounded up to a hundredth of a percent.
fn share_of(some: u64, devices: u64) -> Percent {
    let hundredths = i64::try_from((some * 10_000).div_ceil(devices)).ok();
    hundredths
        .and_then(|hundredths| Percent::of_hundredths(hundredths).ok())
        .unwrap_or(Percent::EVERYBODY)
}
