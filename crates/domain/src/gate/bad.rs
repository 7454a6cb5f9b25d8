//! The evidence that more devices fail than are tolerated.

use crate::gate::Tolerance;
use crate::gate::evidence::{Evidence, ln_mean};
use crate::gate::proportion::ln_ratio;

/// How many times the tolerance a bad build may fail, each a bet of its own. From slightly worse than tolerated, which
/// takes many devices to see, to hopeless, which takes three.
const MULTIPLIERS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0];

/// The highest share that is bet on: a bet on "all of them" would be lost for good at the first success.
const HIGHEST: f64 = 0.95;

/// The evidence that a build fails on more than the tolerated share, after `failures` among `devices`.
///
/// `devices` are counted in an order that does not depend on how they fare: that of the server's last byte. A device
/// that has not told its outcome counts as not failed. A failure whose device is not among them counts it.
///
/// With what is counted so, the value is never above that of a bet on each device in turn, so it may be looked at as often
/// as one likes.
pub fn e_bad(devices: u64, failures: u64, tolerance: Tolerance) -> Evidence {
    Evidence::of_ln(ln_e_bad(devices, failures, tolerance.fraction()))
}

/// The same for a tolerance as a fraction above 0 and up to a half.
pub(crate) fn ln_e_bad(devices: u64, failures: u64, tolerance: f64) -> f64 {
    let devices = devices.max(failures);
    ln_mean(MULTIPLIERS.map(|times| {
        let theta = (times * tolerance).min(HIGHEST);
        ln_ratio(devices, failures, theta, tolerance)
    }))
}
