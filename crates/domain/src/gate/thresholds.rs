//! The numbers that a gate acts by, and why they are these.

use chrono::TimeDelta;

/// From here on a test halts. A build that is fine reaches it in at most 1 rollout of 100, however often one looks
/// (Ville's inequality): four tests, four of a hundred.
pub const HALT_AT: f64 = 100.0;

/// Fewer events than these halt nothing, however surprising they are: one phone in a drawer and one with a full disk are no
/// pattern, and whoever is woken at night should find one. It only makes halts rarer, so the promise holds.
pub const HALT_EVENTS: u64 = 3;

/// From here on a test warns, and the plan doesn't advance until it is below again. A bet that has won tenfold is worth
/// waiting for: a build that is fine comes here in 1 rollout of 10 at most, and leaves again by itself.
pub const WARN_AT: f64 = 10.0;

/// From here on the plan may advance: a build that fails more than is tolerated is passed in about 1 step of 20. Less
/// than for halting, since the next step is watched as well.
pub const ADVANCE_AT: f64 = 20.0;

/// After so long without the evidence that it waits for a rollout counts as stuck: three days, so that a weekend passes.
/// By the gate's clock, from the end of ramp and bake.
pub const STUCK_AFTER: TimeDelta = TimeDelta::hours(72);

/// Below this part of the expected polls of devices that were never offered the build the gate is blind. Nights and
/// weekends don't go so low with a fleet that polls around the clock; an outage of the server does.
pub const BLIND_BELOW: f64 = 0.2;

/// With fewer expected polls than these their lack says nothing: of 20, at most 3 come by chance in 3 of a million cases.
pub const BLIND_POLLS: u64 = 20;

/// Fleets below this show no silence: a handful of phones in a drawer would outweigh what a bad build silences.
pub const SILENCE_FLEET: u64 = 1_000;
