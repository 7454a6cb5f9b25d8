//! The pages over plain HTTP: what needs no browser to be seen. Sessions, roles, forms of other sites, hostile texts,
//! sizes. What a browser makes of them is tested with a browser.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

mod audit;
mod builds;
mod changes;
mod devices;
mod first_run;
mod forms;
mod gates;
mod looks;
mod nudges;
mod past;
mod patches;
mod person;
mod plans;
mod release_terms;
mod releases;
mod session;
mod settings;
mod settings_access;
mod settings_release;
