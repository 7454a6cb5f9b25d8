//! # A fleet of virtual devices
//!
//! The device's own safety promises live in `tidegate-agent`, and the server's books are only as good as what
//! devices tell it. This crate lets thousands of real agents live their days against a real server, with empty
//! batteries, calls, lost networks, damaged files and Android's refusals, and then asks one question: **does the
//! server's record say exactly what the devices did?**
//!
//! It must never know how a server works inside. It speaks the agents' protocol through the agent library and the
//! admin surface over HTTP like any operator, and keeps books of its own from what it sees on the wire. Nor does it
//! decide anything that an agent decides: it makes weather, and agents live in it.
//!
//! **The same seed is the same world.** What happens to a device is a function of the seed and the device's number
//! ([`fate`](crate::Fate)), not of the order in which devices come to run, so concurrency changes nothing, and two
//! runs on two fresh servers agree to the last report.
//!
//! **Compressed time costs nothing but work.** Agents never sleep: each step says when the next is due, and a queue
//! jumps there. Only while the server is away does real time pass.
//!
//! **This machine only.** A load generator that can be pointed anywhere is a weapon. The server's address, and
//! every address that it sends devices to, has to be this machine's own.
//!
//! The binary `tidegate-sim` is a thin skin over [`run`]; `tidegate demo` takes a [`Fleet`], lets an hour be a second,
//! and brings it what its push service takes, as [`Push`].

mod books;
pub mod cli;
mod device;
mod error;
mod fate;
mod fleet;
mod formula;
mod gauge;
mod life;
mod operator;
mod phone;
mod place;
pub mod population;
mod push;
mod queue;
pub mod report;
mod run;
mod wire;
mod world;

pub use error::Error;
pub use fate::Fate;
pub use fleet::{Fleet, MAX_DEVICES, Muster, PATIENCE, WIDTH};
pub use life::Pace;
pub use operator::Counts;
pub use population::Population;
pub use push::Push;
pub use report::Report;
pub use run::{BEGIN, MAX_DURATION, Plan, Progress, Raise, Token, run};
