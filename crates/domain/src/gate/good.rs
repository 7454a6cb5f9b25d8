//! The evidence that fewer devices fail than are tolerated.

use crate::gate::Tolerance;
use crate::gate::evidence::{Evidence, ln_mean};
use crate::gate::proportion::ln_ratio;

/// By how much the tolerance is divided, each a bet of its own. The last one bets that nothing fails at all.
const DIVISORS: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, f64::INFINITY];

/// The evidence that a build fails on less than the tolerated share, after `failures` among `decided` devices: those
/// with a failure that no success followed, and those with a success that a later poll confirmed. Whoever has not told
/// an outcome is not among them.
///
/// A device's failure is told sooner than its success is confirmed, so this order does depend on the outcome, against
/// the build. It is read after the ramp and the bake, when there is nearly nobody left to hear of.
pub fn e_good(decided: u64, failures: u64, tolerance: Tolerance) -> Evidence {
    Evidence::of_ln(ln_e_good(decided, failures, tolerance.fraction()))
}

/// The same for a tolerance as a fraction above 0 and up to a half.
pub(crate) fn ln_e_good(decided: u64, failures: u64, tolerance: f64) -> f64 {
    let decided = decided.max(failures);
    ln_mean(DIVISORS.map(|divisor| ln_ratio(decided, failures, tolerance / divisor, tolerance)))
}
