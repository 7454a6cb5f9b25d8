//! Builders of test data, a throwaway PostgreSQL and the real server in process, for Tidegate's own tests.
//!
//! A test of the whole reads like a day: [`server::TestServer`] is the machine in the cellar, an
//! [`operator::Operator`] uploads and releases, an [`agent::Agent`] is a device that polls, fetches and reports,
//! and a [`clock::ManualClock`] passes the time. All of it goes over real sockets, as the world does.
//!
//! The features keep the lower crates' tests quick: without `server` this is the database alone.

#![allow(clippy::disallowed_methods, reason = "a test waits in real time")]

#[cfg(feature = "server")]
pub mod agent;
#[cfg(feature = "server")]
pub mod answer;
#[cfg(feature = "server")]
pub mod apks;
#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod fcm;
#[cfg(feature = "server")]
pub mod operator;
pub mod postgres;
#[cfg(feature = "server")]
pub mod server;
