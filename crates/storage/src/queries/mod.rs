//! The queries, written once and compiled for each engine: `Conn`, `Db`, `rows` and `lock` are those of the
//! engine whose child this module is. Each noun's file holds every statement on its tables.

use super::{
    Conn, Db, FIND, HAS_EPOCHS, HAS_SERVERS, NOW, SKIP_LOCKED, analyze_deliveries, from_hex, lock, rows,
    skip_numbers, words,
};

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod admin_tokens;
pub(crate) mod audiences;
pub(crate) mod audit;
pub(crate) mod builds;
pub(crate) mod calendars;
pub(crate) mod campaigns;
pub(crate) mod catalog;
pub(crate) mod census;
mod condition_walks;
pub(crate) mod conditions;
pub(crate) mod counts;
pub(crate) mod deliveries;
pub(crate) mod device_columns;
mod device_conditions;
pub(crate) mod device_list;
mod device_rows;
pub(crate) mod device_timeline;
mod device_walks;
pub(crate) mod devices;
pub(crate) mod enroll_tokens;
pub(crate) mod enrollment;
pub(crate) mod enrollment_groups;
pub(crate) mod epochs;
pub(crate) mod experiments;
pub(crate) mod failures;
mod fleet_parts;
pub(crate) mod forecasts;
pub(crate) mod gate_counts;
pub(crate) mod gate_entries;
pub(crate) mod gate_members;
#[cfg(feature = "testing")]
pub(crate) mod gate_observation;
pub(crate) mod gate_polls;
pub(crate) mod gate_readings;
pub(crate) mod gates;
pub(crate) mod histories;
pub(crate) mod imports;
mod kept;
pub(crate) mod leases;
pub(crate) mod minutes;
pub(crate) mod overdue;
pub(crate) mod packages;
pub(crate) mod patch_outcomes;
pub(crate) mod patch_reach;
pub(crate) mod patches;
pub(crate) mod policies;
pub(crate) mod pseudonyms;
pub(crate) mod reasons;
pub(crate) mod recipients;
pub(crate) mod record;
pub(crate) mod rejections;
pub(crate) mod reports;
pub(crate) mod responses;
pub(crate) mod restorations;
pub(crate) mod retention;
pub(crate) mod retirement;
pub(crate) mod rollout_events;
pub(crate) mod rollouts;
mod rollouts_in_use;
pub(crate) mod servers;
pub(crate) mod service_accounts;
pub(crate) mod statement;
pub(crate) mod stats;
pub(crate) mod tags;
pub(crate) mod users;

/// How many rows one statement takes.
const BATCH: usize = 1000;

/// Runs a statement whose `$1` is these rows, see `rows`.
fn execute_on<T: serde::Serialize>(
    conn: &mut Conn,
    sql: &str,
    rows: &[T],
) -> Result<usize, crate::error::Fault> {
    use diesel::prelude::*;
    let json = crate::rows::to_json(&rows)?;
    Ok(diesel::sql_query(sql)
        .bind::<diesel::sql_types::Text, _>(json)
        .execute(conn)?)
}
