//! Reads and verifies Android application packages.

mod error;
mod source;

pub use error::{Error, Refusal, Rule};
pub use source::Source;
