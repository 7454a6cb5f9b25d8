//! # The binary `tidegate`
//!
//! Settings, wiring, ports, logs and the command line. This is the only crate that sees every other one, and the
//! only one that reads a file of settings, an environment variable or a command line; what it learns there it
//! hands down as arguments.
//!
//! It must never hold a rule about builds, rollouts or devices, nor know a route: those live in
//! `tidegate-service` and `tidegate-api`.
//!
//! It is a library beside the binary, so that a test can start the very server that operators run:
//!
//! ```
//! # async fn day() -> Result<(), tidegate_gateway::Error> {
//! use tidegate_gateway::{Config, Server};
//!
//! let mut config = Config::in_folder("some/folder");
//! config.listen = ([127, 0, 0, 1], 0).into();
//! let server = Server::start(&config).await?;
//! println!("http://{}/healthz", server.addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test may look at any clock")
)]

pub mod cli;
#[cfg(feature = "demo")]
mod clock;
pub mod config;
#[cfg(feature = "demo")]
mod demo;
mod error;
mod keys;
mod metrics;
mod nudging;
mod port;
mod server;
mod signals;
pub mod telemetry;
mod traces;
mod wiring;

#[cfg(feature = "demo")]
pub use clock::DrivenClock;
pub use config::Config;
pub use error::Error;
pub use keys::KEY_FILE;
pub use port::{DRAIN_LIMIT, MAX_CONNECTIONS, SILENCE_LIMIT};
pub use server::{RunningServer, Server};
pub use wiring::{FLUSH_LIMIT, STALE_UPLOAD};

/// Makes `ring` the process's cryptography for TLS. To be called before any TLS client is made; later calls change
/// nothing.
pub fn choose_cryptography() {
    // An error means that the choice was made before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
