//! Builders of test data, a throwaway PostgreSQL and the real server in process, for Tidegate's own tests.
//!
//! [`server::TestServer`] is a server that listens on loopback. An [`operator::Operator`] uploads and releases builds, an
//! [`agent::Agent`] is a device that polls, fetches and reports. Both call the server over HTTP. The test moves the
//! server's [`clock::ManualClock`].
//!
//! The features keep the lower crates' tests quick. Without any, this is the database alone; `use-cases` adds the clock
//! and small signed APKs, `server` all the rest but the browser.

#![allow(clippy::disallowed_methods, reason = "a test waits in real time")]

#[cfg(feature = "server")]
pub mod agent;
#[cfg(feature = "server")]
pub mod answer;
#[cfg(feature = "use-cases")]
pub mod apks;
#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "use-cases")]
pub mod clock;
pub mod disk;
#[cfg(feature = "server")]
pub mod fcm;
#[cfg(feature = "server")]
pub mod operator;
pub mod pgbouncer;
pub mod postgres;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "server")]
pub mod server;

/// Cargo's folder for what is made.
pub fn target() -> std::path::PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    }
}
