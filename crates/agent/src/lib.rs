//! # The device side of Tidegate
//!
//! An [`Agent`] keeps one package of one device up to date: it polls the server, fetches the file, verifies it, installs
//! it, and reports the outcome. It guarantees to the user of the device:
//!
//! - It installs only a file that is byte for byte the one that the server offered, and that is signed by the signer of
//!   the installed app.
//! - It does not disturb: no update during a call or on a low battery, and none over mobile data if that is forbidden.
//! - A loss of power at any time costs only time.
//!
//! The crate does not know how a device does these things. [`Platform`] is a small trait for what it needs of a device;
//! requests go through a [`Transport`], and what must survive a restart is in a [`StateStore`]. On a real device, an
//! embedder implements [`Platform`] and uses [`HttpTransport`] and [`FolderStore`]. A simulator implements all three,
//! and runs ten thousand agents in one process.
//!
//! **The caller drives it.** [`Agent::step`] makes one transition of the state machine, writes the new state, and returns
//! when it has to be called again. It never sleeps, and reads no clock but the platform's. So a simulator can compress
//! time, and a test can simulate a loss of power: it drops the future or the agent at any point, and opens another agent
//! on the same store. [`Agent::run`] is the loop for real time.
//!
//! **The state is written before it is acted on.** The result of a transition is in the store before the next transition
//! begins, and every transition can be repeated: a download resumes at the last byte that was synced, an installation
//! begins with a look at the installed version, and a report is sent with the same id each time.
//!
//! **A patch is a shorter way to the same file.** A device that can read the installed app's file downloads what has changed, and
//! makes the rest itself. The file is then checked as any other. Whatever is wrong with a patch, the whole file is taken.
//!
//! **After a wait the agent polls.** An offer may have been taken back during a night without Wi-Fi, so a wait never
//! leads to an installation directly.
//!
//! **Windows are the server's.** They are told as UTC and judged by the server's clock, which each answer's `Date` tells. A
//! device whose clock is wrong installs neither earlier nor later for it.
//!
//! **Agent and server judge failures by one rule.** [`domain::DeviceBuild`] says when a device has given a build up, and
//! both run it over the same reports.
//!
//! The protocol, for authors of an agent in another language, is in `docs/agent.md`.

mod address;
mod agent;
mod agent_state;
mod answered_part;
mod applying;
mod backoff;
mod checking;
mod config;
mod deadline;
mod downloading;
mod enroll;
mod error;
mod exchange;
mod expected_apk;
mod file_history;
mod folder_store;
#[cfg(feature = "http")]
mod http_transport;
mod install_terms;
mod installing;
mod outbox;
mod patch_history;
mod patch_offer;
mod patching;
mod platform;
mod protocol;
mod report_details;
mod reporting;
mod run;
mod server_clock;
mod signals;
mod store;
mod target;
mod transport;
mod verifying;
mod workbench;

pub use agent::{Agent, Next, Phase};
pub use backoff::{MAX_PAUSE, MAX_WAIT};
pub use config::Config;
pub use enroll::{Credentials, Enrollment, EnrollmentKey, enroll, enroll_with_previous_token};
pub use error::Error;
pub use folder_store::FolderStore;
#[cfg(feature = "http")]
pub use http_transport::HttpTransport;
pub use install_terms::InstallOpening;
pub use outbox::MAX_OUTBOX;
pub use patch_offer::{ManifestPatch, PatchOffer};
pub use platform::{InstallOutcome, Installation, Platform, STATUS_SUCCESS, StoredFile};
pub use protocol::{ActionResultBody, MAX_ANSWER_BYTES, MAX_FILE_BYTES, Manifest, PROTOCOL, ReportBody};
pub use run::Signal;
pub use signals::UPDATE;
pub use store::{MemoryStore, StateStore};
pub use tidegate_domain::PatchOutcome;
pub use transport::{Body, Transport};
pub use workbench::{WorkFile, Workbench};

// Re-exported so that embedders depend on this crate alone.
pub use tidegate_apk as apk;
pub use tidegate_delta as delta;
pub use tidegate_domain as domain;
pub use tidegate_signing as signing;
