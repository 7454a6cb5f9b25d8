//! # A fleet of virtual devices
//!
//! This crate lets thousands of real agents live their days against a real server, with empty
//! batteries, calls, lost networks, damaged files and Android's refusals, and then asks one question: **does the
//! server's counts say exactly what the devices did?**
//!
//! It must never know how a server works inside. It speaks the agents' protocol through the agent library and the
//! admin surface over HTTP like any operator, and counts for itself what it sees on the wire. Nor does it
//! decide anything that an agent decides: it plays what surrounds a phone, and agents react to it.
//!
//! **The same seed is the same world.** What happens to a device is a function of the seed and the device's number
//! ([`DeviceRng`]), not of the order in which devices come to run, so concurrency changes nothing, and two
//! runs on two fresh servers agree to the last report.
//!
//! **Compressed time costs nothing but work.** Agents never sleep: each step says when the next is due, and a queue
//! jumps there. Only while the server is away does real time pass.
//!
//! **This machine only.** A load generator must not be usable against other people's servers. The server's address, and
//! every address that it sends devices to, has to be this machine's own.
//!
//! **The server's time can be theirs.** Through a [`clock`] the fleet drives the time of servers that follow it, so that
//! hours of statistics, cool-downs and expiries pass as its own hours do.
//!
//! **The health gate is tried without a server.** A rate of one false halt in a hundred rollouts takes thousands of them, so
//! [`gate`] plays these on the pure rules alone.
//!
//! The binary `tidegate-sim` calls [`run`]; `tidegate demo` uses a [`Fleet`] at an hour a second, and hands it the messages
//! of its push service as [`Push`].

#![allow(
    clippy::disallowed_methods,
    reason = "it measures how long answers really take, and it drives clocks"
)]

mod apk_shelf;
pub mod cli;
pub mod clock;
mod device;
mod device_record;
mod device_rng;
mod error;
mod fleet;
mod forecast_books;
mod formula;
pub mod gate;
pub mod gated_release;
mod gauge;
mod life;
mod openings;
mod operator;
mod patch_books;
mod phone;
mod place;
mod plan_books;
pub mod population;
mod push;
mod queue;
pub mod release_plan;
pub mod report;
mod run;
mod wire;
mod world;

pub use device_rng::DeviceRng;
pub use error::Error;
pub use fleet::{Fleet, MAX_DEVICES, MAX_OUTAGE, Muster, WIDTH};
pub use forecast_books::{Compared, ForecastBooks};
pub use life::Pace;
pub use operator::Counts;
pub use patch_books::{PatchBooks, PatchCounts};
pub use plan_books::PlanBooks;
pub use population::Population;
pub use push::Push;
pub use release_plan::ReleasePlan;
pub use report::Report;
pub use run::{BEGIN, MAX_DURATION, Plan, Progress, Raise, Token, run};
