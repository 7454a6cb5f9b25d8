//! Reads and verifies Android application packages.

mod ber;
mod block;
#[cfg(feature = "build")]
pub mod build;
mod bytes;
pub mod cert;
pub mod crypto;
mod error;
mod inspect;
pub mod jar;
mod manifest;
mod scheme;
mod sdk;
mod source;
mod verify;
mod warning;
mod zip;

pub use block::Capabilities;
pub use error::{Error, Refusal, Rule};
pub use inspect::{Inspection, inspect};
pub use scheme::{Scheme, Schemes, SignerCertificate};
pub use sdk::SdkRange;
pub use source::Source;
pub use verify::{LineageCertificate, Verification, verify};
pub use warning::{Warning, WarningKind};
