//! Puts a fleet into a database, for trying things out at a scale that enrolment would take minutes for:
//!
//! `cargo run --release -p tidegate-storage --example seed_devices -- sqlite:///tmp/fleet.db 100000`
//!
//! The devices are named `device-000000` and so on, and are woken at `token-000000` and so on.

use std::process::ExitCode;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use tidegate_storage::{Settings, Store};

/// 2026-11-23T00:00:00Z, in microseconds since 1970.
const MIDNIGHT: i64 = 1_795_392_000_000_000;

type Fault = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, count] = &arguments[..] else {
        return complain("usage: seed_devices DATABASE_URL COUNT");
    };
    match seed(url, count).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => complain(&fault.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "for whoever started this")]
fn complain(fault: &str) -> ExitCode {
    eprintln!("{fault}");
    ExitCode::FAILURE
}

async fn seed(url: &str, count: &str) -> Result<(), Fault> {
    let last = count.parse::<u32>()?.saturating_sub(1);
    Store::open(&Settings::new(url.to_owned())).await?;
    let insert = format!(
        "INSERT INTO devices (name, tags_json, fcm_token, fcm_token_at, enrolled_at)
         SELECT 'device-' || digits, '[]', 'token-' || digits, {MIDNIGHT}, {MIDNIGHT} FROM numbered"
    );
    match url.strip_prefix("sqlite://") {
        Some(path) => SqliteConnection::establish(path)?.batch_execute(&format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}),
             numbered AS (SELECT printf('%06d', n) AS digits FROM numbers) {insert}"
        ))?,
        None => PgConnection::establish(url)?.batch_execute(&format!(
            "WITH numbered AS (SELECT lpad(n::text, 6, '0') AS digits FROM generate_series(0, {last}) AS n) {insert}"
        ))?,
    }
    Ok(())
}
