//! The program as an operator meets it: its exit codes, what it prints where, how it starts and how it ends.
#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

mod admin;
mod apk;
mod artifacts;
mod calendars;
#[cfg(feature = "demo")]
mod clock;
#[cfg(feature = "demo")]
mod demo;
mod deploy;
mod enrolling;
mod flood;
mod flooding;
#[path = "../story/frames.rs"]
mod frames;
mod kill_loop;
mod patch;
mod program;
mod record;
mod rollouts;
mod secrets;
mod serve;
mod settings;
mod tls;
mod traces;
