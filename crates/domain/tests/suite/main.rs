//! The rules, told as a fleet and its operator meet them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;
mod cohort;
mod decision;
mod downgrade;
mod explanation;
mod fleet;
mod ids;
mod kept;
mod nudge;
mod preflight;
mod report;
mod rollback;
mod states;
mod store;
mod track;
mod values;
mod verbs;
