//! What the tests of a share of failures have in common: one bet that the share is another one.

use crate::gate::evidence::as_f64;

/// The logarithm of the likelihood ratio of `failures` among `devices` where the share is `theta`, to where it is
/// `tolerance`. Minus infinity where `theta` is 0 and something failed.
pub(crate) fn ln_ratio(devices: u64, failures: u64, theta: f64, tolerance: f64) -> f64 {
    let good = as_f64(devices.saturating_sub(failures));
    let ln_good = good * ((-theta).ln_1p() - (-tolerance).ln_1p());
    // 0 times minus infinity would be no number.
    match failures {
        0 => ln_good,
        _ => as_f64(failures) * (theta / tolerance).ln() + ln_good,
    }
}
