//! The health gate: whether a release goes on, by what its devices show.
//!
//! Two questions are asked at any moment and as often as one likes. *Do more devices fail than are tolerated?* compares a
//! share with a number ([`e_bad`], [`e_good`]). *Do more of them fall silent, or crash, than of those without the build?*
//! compares two arms ([`Logrank`]), since nobody knows how many phones fall silent on a Sunday. Both are e-values
//! ([`Evidence`]) and no p-values: a test of fixed size that is looked at each second halts every build in the end.
//!
//! Nothing here stores, counts devices or knows the time. Who calls it keeps [`StepCounts`], [`LostTest`] and
//! [`Logrank`], finds by [`StepRange`] and [`Member`] who is watched, and asks [`judge`].
//!
//! ```
//! use tidegate_domain::gate::{Tolerance, e_bad, HALT_AT};
//!
//! let tolerance = Tolerance::FAILED;
//! assert!(e_bad(133, 10, tolerance).reaches(HALT_AT));
//! assert!(!e_bad(134, 10, tolerance).reaches(HALT_AT));
//! ```

mod bad;
mod clock;
mod counts;
mod evidence;
mod good;
mod halt;
mod logrank;
mod members;
mod power;
mod proportion;
mod reading;
mod segment;
mod sentence;
mod settings;
mod silence;
mod small;
mod state;
mod terms;
mod thresholds;
mod tolerance;
mod verdict;
mod watch;
mod weights;

/// The page's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/health-gate.md")]
struct Page;

pub use bad::e_bad;
pub use clock::BlindTimes;
pub use counts::{DeviceOutcome, StepCounts};
pub use evidence::Evidence;
pub use good::e_good;
pub use halt::{GateHalt, NotRolledBack};
pub use logrank::{Logrank, Look, TOLERATED_RATIO};
pub use members::{Arm, CONTROLS_PER_TREATED, MAX_CONTROL, Member, Place, StepRange, Stratum, WATCHED_FOR};
pub use power::{
    MAX_COMPARED_ROW, MAX_FORECAST_DEVICES, MAX_ROW, MISSED_BY_HEALTHY, census_sentence, chance_of_finding,
    chance_of_halt, chance_of_passing, failures_to_halt, row_of_treated, smallest_silence,
    successes_to_advance,
};
pub use reading::{
    AdvanceReading, ComparedReading, GateAction, GateReading, Metric, NotMeasured, Passed, ShareReading,
    StepProgress, Verdict,
};
pub use segment::Segment;
pub use sentence::GATE_PROMISE;
pub use settings::{GateMode, GateSettings};
pub use silence::{DENSE_INTERVAL, DENSE_PHASE, LATE_SILENCE, LostTest, Patience, lost_at};
pub use small::{
    SMALL_FLEET, SMALL_FLEET_BAKE, SMALL_FLEET_STEP_DEVICES, SMALL_FLEET_STEPS, small_fleet_shares,
};
pub use state::{GateCounts, GateState, SEARCH_EVERY};
pub use terms::{GateTerms, GateWait, OnHalt, RolloutGate, WaitsFor};
pub use thresholds::{
    ADVANCE_AT, BLIND_BELOW, BLIND_POLLS, HALT_AT, HALT_EVENTS, SILENCE_FLEET, STUCK_AFTER, WARN_AT,
};
pub use tolerance::Tolerance;
pub use verdict::{Arms, GateFacts, is_blind, judge};
pub use watch::Watch;
pub use weights::{MAX_GATE_STEPS, StepWeights};

pub(crate) use evidence::as_f64;
pub(crate) use members::held_back;
pub(crate) use sentence::thousands;
pub(crate) use watch::{GateIndex, StepAtHand};
