//! Servers' statements.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Conn, HAS_SERVERS, NOW};
use crate::error::Fault;
use crate::rows::clean;
use crate::schema::servers;
use crate::servers::FORGOTTEN_AFTER;
use crate::time::{micros, moment};
use crate::{Error, HEARTBEAT_FRESH_FOR, MAX_SERVERS_LISTED, ServerHeartbeat};

pub(crate) fn announce(conn: &mut Conn, id: &str, version: &str, now: DateTime<Utc>) -> Result<(), Fault> {
    diesel::sql_query(format!(
        "INSERT INTO servers (id, version, started_at, seen_at) VALUES ($1, $2, $3, {NOW})
         ON CONFLICT (id) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at"
    ))
    .bind::<Text, _>(clean(id))
    .bind::<Text, _>(clean(version))
    .bind::<BigInt, _>(micros(now))
    .execute(conn)?;
    let limit = length(FORGOTTEN_AFTER);
    diesel::sql_query(format!(
        "DELETE FROM servers WHERE abs({NOW} - seen_at) > {limit}"
    ))
    .execute(conn)?;
    Ok(())
}

pub(crate) fn leave(conn: &mut Conn, id: &str) -> Result<(), Fault> {
    diesel::delete(servers::table.find(clean(id))).execute(conn)?;
    Ok(())
}

pub(crate) fn list(conn: &mut Conn) -> Result<Vec<ServerHeartbeat>, Fault> {
    #[derive(QueryableByName)]
    #[diesel(table_name = servers)]
    struct Row {
        id: String,
        version: String,
        started_at: i64,
        #[diesel(sql_type = BigInt)]
        ago: i64,
    }
    // The distance, as below.
    let sql = format!(
        "SELECT id, version, started_at, ago
         FROM (SELECT id, version, started_at, abs({NOW} - seen_at) AS ago FROM servers) AS s
         ORDER BY ago, id LIMIT {MAX_SERVERS_LISTED}"
    );
    let rows: Vec<Row> = diesel::sql_query(sql).load(conn)?;
    let told = rows.into_iter().map(|row| {
        Ok(ServerHeartbeat {
            id: row.id,
            version: row.version,
            started_at: moment(row.started_at)?,
            seen_ago: Duration::from_micros(row.ago.unsigned_abs()),
        })
    });
    told.collect()
}

/// Refuses when a server was seen lately. Tables of before servers announced themselves have none to show.
pub(crate) fn none_runs(conn: &mut Conn) -> Result<(), Fault> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    #[derive(QueryableByName)]
    #[diesel(table_name = servers)]
    struct Seen {
        id: String,
        version: String,
        #[diesel(sql_type = BigInt)]
        ago: i64,
    }
    let tables: Count = diesel::sql_query(HAS_SERVERS).get_result(conn)?;
    if tables.count == 0 {
        return Ok(());
    }
    // The distance: a clock that was set back must not make a server run for ever.
    let sql = format!(
        "SELECT id, version, ago FROM (SELECT id, version, abs({NOW} - seen_at) AS ago FROM servers) AS s
         WHERE ago < {} ORDER BY ago LIMIT 1",
        length(HEARTBEAT_FRESH_FOR)
    );
    let seen: Option<Seen> = diesel::sql_query(sql).get_result(conn).optional()?;
    match seen {
        Some(Seen { id, version, ago }) => Err(Error::OtherServers {
            id,
            version,
            seen_ago_s: ago / 1_000_000,
        }
        .into()),
        None => Ok(()),
    }
}

/// In microseconds.
fn length(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
