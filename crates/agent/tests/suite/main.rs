//! The device's promises, told as a phone meets them: against the real server, against one that lies, and with the
//! power going at every moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod good_way;
mod integrity;
mod nudged;
mod page;
mod patience;
mod phone;
mod power;
mod real;
mod safety;
mod stage;
