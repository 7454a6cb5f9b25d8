//! How many devices a share is, and which versions they leave.

/// What a dialog says of that, and what its script computes further shares from.
#[derive(Default)]
pub(crate) struct Covers {
    /// For the share that the form holds.
    pub words: String,
    /// Devices by whole-percent cohort, joined by commas; empty when it is not known.
    pub by_cohort: String,
    /// The versions that they run, as JSON: `[{"name": …, "by_cohort": […]}]`.
    pub leaves: String,
}
