//! The use cases, called as the protocol edge calls them: on SQLite in a temporary folder, with a clock that the test
//! moves, and without a server.
//!
//! One file for each use case. What several of them need is in `instance` and `offers`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and waits in real time for what runs beside it"
)]

mod audiences;
mod audit;
mod blobs;
mod deleted_builds;
mod downloads;
mod enrolment;
mod examination;
mod forecasts;
mod gates;
mod imports;
mod instance;
mod nudges;
mod offers;
mod packages;
mod patches;
mod policies;
mod polls;
mod readiness;
mod reports;
mod retention;
mod retirement;
mod rollouts;
mod sending;
mod snapshots;
mod uploads;
mod users;
