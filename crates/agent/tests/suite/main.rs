//! What an agent guarantees, from a phone's view: with the real server, with one that answers wrongly, and with a loss
//! of power at every moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backoff;
mod busy;
mod commands;
mod elsewhere;
mod enrolling;
mod good_way;
mod install_terms;
mod integrity;
mod intermediates;
mod nudged;
mod page;
mod patched;
mod patches;
mod patches_lost;
mod phone;
mod power;
mod protocol_versions;
mod real;
mod safe_moment;
mod safety;
mod stage;
mod state_file;
