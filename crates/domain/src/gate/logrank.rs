//! The evidence that what happens to devices with the build happens more often than to those without it.

use serde::{Deserialize, Serialize};

use crate::gate::evidence::{Evidence, as_f64, ln_mean};

/// How many times what happens to control may happen to the treated before it counts against the build. No two arms are
/// called perfectly alike, and what is not tolerated must be above that.
pub const TOLERATED_RATIO: f64 = 1.25;

/// How many times more than that a bad build may have happen, each a bet of its own. The last ones are for builds that
/// brick nearly everything, which few events must show.
const RATIOS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// What one look found in one stratum: the events since the look before, and who was at risk of one when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Treated devices at risk before the look's events.
    pub treated: u64,
    /// Control devices at risk before the look's events.
    pub control: u64,
    /// Events among the treated.
    pub treated_events: u64,
    /// Events among control.
    pub control_events: u64,
}

/// An anytime-valid logrank test of two arms: at each event it bets on which arm it comes from, at the odds of who is at
/// risk (Ter Schure, Pérez-Ortiz, Ly, Grünwald: *The anytime-valid logrank test*, 2022).
///
/// The bets of all strata and looks are added up, and the evidence is read after all of a look's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logrank {
    ln_bets: [f64; RATIOS.len()],
    treated_events: u64,
    control_events: u64,
    expected_events: f64,
}

impl Logrank {
    /// Adds a look at one stratum. Where an arm has nobody at risk nothing is compared, so that it changes nothing. Of
    /// each arm at most as many events count as were at risk.
    pub fn add(&mut self, look: Look) {
        if look.treated == 0 || look.control == 0 {
            return;
        }
        let treated_events = look.treated_events.min(look.treated);
        let control_events = look.control_events.min(look.control);
        let (of_treated, of_control) = (as_f64(treated_events), as_f64(control_events));
        let (treated, control) = (as_f64(look.treated), as_f64(look.control));
        let tolerated = TOLERATED_RATIO * treated + control;
        for (ln_bet, ratio) in self.ln_bets.iter_mut().zip(RATIOS) {
            let shrunk = (tolerated / (TOLERATED_RATIO * ratio * treated + control)).ln();
            // Never the logarithm of one minus a share: near 1 it would lose all its digits.
            *ln_bet += of_treated * (ratio.ln() + shrunk) + of_control * shrunk;
        }
        self.treated_events += treated_events;
        self.control_events += control_events;
        self.expected_events += (of_treated + of_control) * treated / (treated + control);
    }

    /// The evidence after the looks so far.
    pub fn evidence(&self) -> Evidence {
        Evidence::of_ln(ln_mean(self.ln_bets))
    }

    /// The events among the treated that were compared with control.
    pub fn treated_events(&self) -> u64 {
        self.treated_events
    }

    /// The events among control that were compared with the treated.
    pub fn control_events(&self) -> u64 {
        self.control_events
    }

    /// How many events the treated would have had, had they shared all of them in proportion to who was at risk.
    pub fn expected_events(&self) -> f64 {
        self.expected_events
    }
}
