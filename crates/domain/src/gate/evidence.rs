//! What an e-value is, and the mean of several.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gate::thousands;

/// An e-value, kept as its natural logarithm: by how much a bet against "the build is fine" has multiplied its stake.
/// Where the build is fine, the chance that it *ever* reaches a value *v* is at most 1 in *v*, however often one looks
/// (Ville's inequality). It is no probability, and 1/E is none either.
///
/// In JSON it is its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence {
    ln: f64,
}

impl Evidence {
    /// What a bet is worth before anything was seen.
    pub const NONE: Self = Self { ln: 0.0 };

    pub(crate) fn of_ln(ln: f64) -> Self {
        Self { ln }
    }

    /// Its natural logarithm.
    pub fn ln(self) -> f64 {
        self.ln
    }

    /// The e-value itself. Above about 10³⁰⁸ it is infinite, which its logarithm never is.
    pub fn value(self) -> f64 {
        self.ln.exp()
    }

    /// Whether it is at least this value.
    pub fn reaches(self, value: f64) -> bool {
        self.ln >= value.ln()
    }

    /// The mean of e-values for the same claim, which is one itself, whatever they have to do with one another. The
    /// weights must add up to 1, and be chosen before anything was seen that they are used on.
    pub fn weighted_mean(parts: impl IntoIterator<Item = (f64, Self)>) -> Self {
        let terms: Vec<_> = parts
            .into_iter()
            .filter(|(weight, _)| *weight > 0.0)
            .map(|(weight, evidence)| weight.ln() + evidence.ln)
            .collect();
        Self::of_ln(ln_sum(&terms))
    }
}

/// As people read it: `340-fold`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        match value {
            // Beyond this nobody reads the digits.
            _ if value >= 1e6 => write!(f, "more than 1,000,000-fold"),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is from 10 to 10^6"
            )]
            _ if value >= 10.0 => write!(f, "{}-fold", thousands(value as u64)),
            _ => write!(f, "{value:.2}-fold"),
        }
    }
}

/// The logarithm of the mean of what these are logarithms of.
pub(crate) fn ln_mean<const N: usize>(terms: [f64; N]) -> f64 {
    ln_sum(&terms) - as_f64(N as u64).ln()
}

/// The logarithm of the sum of what these are logarithms of; the largest is taken out first, so that nothing overflows.
fn ln_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

/// A count as a number to reckon with; exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "fleets are below 2^53")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
