//! Reads and verifies Android application packages.

mod ber;
pub mod cert;
pub mod crypto;
mod error;
mod sdk;
mod source;

pub use error::{Error, Refusal, Rule};
pub use sdk::SdkRange;
pub use source::Source;
