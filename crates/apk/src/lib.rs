//! Reads and verifies Android application packages.
//!
//! A few questions, each one call over any random-access [`Source`], whatever its size:
//!
//! - [`inspect`]: what does this file say it is? Package, version, levels, ABIs, and who claims to have
//!   signed it. The archive is checked, the signatures are not.
//! - [`survey`]: the same and more: on which levels the file installs and why not on the others
//!   ([`Installability`]), what it asks for and what it weighs. Two builds are compared by [`diff()`].
//! - [`verify`]: would every device of an [`SdkRange`] install it, and whom would each see as the signer?
//!   Signature schemes v1, v2, v3 and v3.1, with proof of rotation.
//! - [`build`] (feature `build`): a small APK, signed, for demos and tests.
//!
//! An update server hands files to devices that trust it, so the file is the adversary here. All lengths
//! are checked before they are used, all memory is bounded by constants that don't depend on the file, and
//! where two readers could understand a file differently it is refused. An [`Error`] names the rule that
//! was broken and the entry or signer that broke it, because somebody has to explain it to a developer. Which
//! rules these are, and how Android and its tools read the same, stands in [`rules`]. Every text from a file
//! that an error, a warning or a field carries can be shown as it is ([`visible`]).
//!
//! What this crate must never know: where files come from, which packages or signers are welcome (that is
//! the caller's policy, over the fingerprints found here), the time (devices ignore a certificate's dates),
//! and async. It is shaped after what a device does, not after the formats: [`verify`] follows the
//! platform's order of schemes and its fallbacks, because the gaps between schemes are where attacks live.
//! The measure of its verdicts is `apksigner`, the Android project's own verifier.
//!
//! ```no_run
//! use tidegate_apk::{SdkRange, inspect, verify};
//! let file = std::fs::File::open("app.apk")?;
//! let app = inspect(&file).map_err(std::io::Error::other)?;
//! match verify(&file, SdkRange::from(app.min_sdk.max(24))) {
//!     Ok(verdict) => println!("{} {}: {}", app.package, app.version_code, verdict.schemes),
//!     Err(refused) => println!("{refused}"),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod ber;
mod block;
#[cfg(feature = "build")]
pub mod build;
mod bytes;
pub mod cert;
pub mod crypto;
mod diff;
mod error;
mod format;
mod inspect;
mod install;
pub mod jar;
mod manifest;
#[doc = include_str!("rules.md")]
pub mod rules {}
mod scheme;
mod sdk;
mod source;
mod survey;
mod text;
mod verify;
mod warning;
mod zip;

pub use block::Capabilities;
pub use diff::{Change, Diff, Lists, diff};
pub use error::{Error, Refusal, Rule};
pub use inspect::{Inspection, inflated_bytes, inspect, read_entry};
pub use install::{Finding, FindingCode, Installability, Levels, update_findings};
pub use manifest::{Component, ComponentKind, Details, Feature, Library, Permission};
pub use scheme::{Scheme, Schemes, SignerCertificate};
pub use sdk::SdkRange;
pub use source::Source;
pub use survey::{Profile, Sizes, Survey, survey, survey_from};
pub use text::visible;
pub use verify::{LineageCertificate, Verification, verify};
pub use warning::{Warning, WarningKind};
