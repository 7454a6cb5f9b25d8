//! # The device side of Tidegate
//!
//! An [`Agent`] keeps one package of one device up to date: it polls, fetches, verifies, installs, and tells the
//! server what became of it. The promises to whoever holds the device are kept here and nowhere else: nothing is
//! installed that is not, byte for byte, what the server offered and whoever made the installed app signed; nothing
//! happens in a call or on a low battery, or over mobile data when that is forbidden; and a loss of power at any
//! moment costs nothing but time.
//!
//! It must never know how a device does what it does. What it needs of one is the small trait [`Platform`]; its
//! requests go through [`Transport`] and what has to outlive it lies in a [`StateStore`]. An embedder on a real
//! device implements the first and takes [`HttpTransport`] and [`FolderStore`]; a simulator implements all three and
//! holds ten thousand agents in memory.
//!
//! **It is driven, not driving.** [`Agent::step`] makes one transition of the state machine, writes the new state,
//! and says when it wants to be called again. It never sleeps and reads no clock but the platform's. That makes
//! compressed time possible, and a loss of power testable: drop the future, or the agent, wherever it stands, and
//! open another one on the same store. [`Agent::run`] is the loop for those who live in real time.
//!
//! **What has been done is never more than what is known to have been done.** A transition's result is stored
//! before the next one begins, and each can be repeated: a download goes on from the last byte that was synced, an
//! installation is preceded by a look at the installed version, a report carries the same id each time.
//!
//! **A wait ends in a poll, not in an installation.** What was offered before a night without Wi-Fi may have been
//! taken back since.
//!
//! The protocol, for those who write an agent in another language, is in `docs/agent.md`.

mod agent;
mod checking;
mod downloading;
mod enroll;
mod error;
mod exchange;
mod folder_store;
mod hearing;
#[cfg(feature = "http")]
mod http_transport;
mod installing;
mod memory;
mod outbox;
mod patience;
mod platform;
mod protocol;
mod reporting;
mod run;
mod store;
mod transport;
mod verifying;

pub use agent::{Agent, Config, Next, Phase};
pub use enroll::{Credentials, Enrollment, enroll};
pub use error::Error;
pub use folder_store::FolderStore;
pub use hearing::UPDATE;
#[cfg(feature = "http")]
pub use http_transport::HttpTransport;
pub use outbox::MAX_OUTBOX;
pub use patience::{MAX_PAUSE, MAX_REST};
pub use platform::{InstallOutcome, Installation, Platform, STATUS_SUCCESS, StoredFile};
pub use protocol::{ActionResultBody, MAX_ANSWER_BYTES, MAX_FILE_BYTES, Manifest, ReportBody};
pub use run::Signal;
pub use store::{MemoryStore, StateStore};
pub use transport::{Body, Transport};

// What embedders need of the crates below, so that they depend on this one alone.
pub use tidegate_apk as apk;
pub use tidegate_domain as domain;
pub use tidegate_signing as signing;
