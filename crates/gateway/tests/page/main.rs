//! The operator's page in a real browser, against the very server that operators run.
//!
//! `just browser` installs Chromium and its driver, `just axe` fetches what looks for barriers; `just test` does both.
//! Pictures of every page and dialog are left in `target/screenshots`.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

mod comforts;
mod day;
mod devices;
mod dialogs;
mod fixture;
mod gates;
mod hostile;
mod looks;
mod nudges;
mod overview;
mod plain;
mod release_terms;
mod releases;
mod sessions;
mod settings;
mod standings;
mod upload;
