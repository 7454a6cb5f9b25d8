//! # A client for Firebase Cloud Messaging
//!
//! Sends one data message to one device through FCM's HTTP v1 interface, and says what the sender has to do when it
//! could not: forget the token, try again later, drop the message, or stop until the configuration is mended.
//!
//! **Decided by FCM's own code, never by the status alone.** A 404 with `UNREGISTERED` means that a device is gone;
//! a bare 404 means that the project's name is wrong. A client that mistook the second for the first would forget the
//! tokens of a whole fleet because of a typing error. So [`Error`] has a variant for each *decision*, read from
//! `error.details[].errorCode`, and only [`Error::Unregistered`] ever says [`Decision::ForgetToken`].
//!
//! **Few connections, many streams.** There is no batch interface any more. Messages go as HTTP/2 requests over a
//! handful of connections ([`Options::connections`]), as Google allows about a hundred streams on each.
//!
//! **One sign-in at a time.** The OAuth token is kept until five minutes before it ends. However many messages wait
//! for a new one, a single request fetches it, and when it is refused all of them learn that from the same answer.
//!
//! This crate knows nothing of devices, campaigns, commands or a database. The caller decides how often a message is
//! tried and how fast: [`Backoff`] and [`RateLimiter`] only compute, and get time and randomness as arguments.
//!
//! With the feature `stand-in`, [`stand_in::StandIn`] is a server that plays FCM and Google's OAuth, with failures as
//! scripted. The demo and the tests use it.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test may look at any clock")
)]

mod account;
mod answer;
mod backoff;
mod client;
mod error;
mod lanes;
mod message;
mod oauth;
mod rate_limiter;
mod retry_after;
#[cfg(feature = "stand-in")]
pub mod stand_in;
mod trusted_url;

pub use account::{MAX_ACCOUNT_BYTES, ServiceAccount};
pub use backoff::Backoff;
pub use client::{Client, DEFAULT_ENDPOINT, MAX_CONNECTIONS, MIN_TIMEOUT, Options};
pub use error::{Decision, Error};
pub use message::{MAX_DATA_BYTES, MAX_TOKEN_BYTES, MAX_TTL, Message, Priority};
pub use rate_limiter::RateLimiter;
pub use trusted_url::TrustedUrl;
