//! Patches from one build to another: planned from what the fleet runs, made behind the requests, offered by polls.

mod fetching;
mod making;
mod offered;
mod planning;
mod views;

pub use making::PatchMaker;
pub use offered::{OfferedPatch, PatchSet};
pub use planning::PatchSettings;
pub use views::{BuildPatches, PatchCoverage, Patches};

pub(crate) use fetching::fetch;
