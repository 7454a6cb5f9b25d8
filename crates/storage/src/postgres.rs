//! What only PostgreSQL has or needs.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::PgConnection;
use diesel::connection::{CacheSize, SimpleConnection as _};
use diesel::prelude::*;
use diesel::r2d2::{CustomizeConnection, Error as PoolError};

use crate::error::Fault;
use crate::pool::{Engine, Pool, Transact, begin};
use crate::record::KeyCell;
use crate::{Error, Settings, migrations};

#[path = "queries/mod.rs"]
pub(crate) mod queries;

pub(crate) type Conn = PgConnection;
pub(crate) type Db = diesel::pg::Pg;

/// Advisory locks share one space of numbers in a database: these are "tide" in ASCII and a counter.
const MIGRATION_LOCK: i64 = 0x7469_6465_0000_0001;
const AUDIT_LOCK: i64 = 0x7469_6465_0000_0002;

/// No statement of ours takes as long, so one that does is stuck.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// The database's time in microseconds, as it is when the statement runs: a transaction may have waited before.
const NOW: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// What a query of `m` adds that is to pass over rows which another transaction holds, rather than wait for it.
const SKIP_LOCKED: &str = " FOR NO KEY UPDATE OF m SKIP LOCKED";

/// The function that finds a text in another.
const FIND: &str = "strpos";

/// Whether the table `servers` exists.
const HAS_SERVERS: &str = "SELECT count(to_regclass('servers')) AS count";

/// Whether the table `epochs` exists.
const HAS_EPOCHS: &str = "SELECT count(to_regclass('epochs')) AS count";

/// Behind a pooler two transactions of one connection may meet two sessions of the server. So nothing is left in a
/// session: limits are set in each transaction, and statements have no names.
pub(crate) fn engine(url: &str, settings: &Settings, pooled: bool, record_key: &KeyCell) -> Engine<Conn> {
    let setup = Setup {
        busy_timeout: settings.busy_timeout,
        pooled,
    };
    let begins_with = pooled.then(|| Arc::from(limits("SET LOCAL", settings.busy_timeout)));
    let pool = Pool::new(url, settings.pool_size, settings.busy_timeout, setup, record_key);
    Engine {
        readers: pool.clone(),
        writers: pool,
        begins_with,
        reserve: None,
    }
}

#[derive(Debug)]
struct Setup {
    busy_timeout: Duration,
    pooled: bool,
}

impl CustomizeConnection<Conn, PoolError> for Setup {
    fn on_acquire(&self, conn: &mut Conn) -> Result<(), PoolError> {
        if self.pooled {
            conn.set_prepared_statement_cache_size(CacheSize::Disabled);
            return Ok(());
        }
        conn.batch_execute(&limits("SET", self.busy_timeout))
            .map_err(PoolError::QueryError)
    }
}

/// How long a transaction waits and runs at most, set by `SET` or `SET LOCAL`.
fn limits(set: &str, busy_timeout: Duration) -> String {
    let (lock, whole) = (busy_timeout.as_millis(), STATEMENT_LIMIT.as_millis());
    format!(
        "{set} lock_timeout = {lock}; {set} statement_timeout = {whole}; \
         {set} idle_in_transaction_session_timeout = {whole};"
    )
}

/// Whether a pooler hands out connections by the transaction. While a second connection is in a transaction, the first
/// is asked twice which session of the server it has: without a pooler each has one of its own and keeps it.
///
/// A pooler that happens to give the same session twice is not found, so that the setting says it for sure.
pub(crate) fn is_pooled(url: &str, patience: Duration) -> Result<bool, Error> {
    let (mut one, mut other) = (connect(url, patience)?, connect(url, patience)?);
    let mut look = || {
        let before = session(&mut one)?;
        other.batch_execute("BEGIN")?;
        // Asked first: with a single session for all, the other connection would wait for it.
        let pooled = session(&mut other)? == before || session(&mut one)? != before;
        other.batch_execute("COMMIT")?;
        Ok::<bool, Fault>(pooled)
    };
    Ok(look()? || look()?)
}

/// Waits for a server that is not there yet; one that answers and refuses is not asked again.
fn connect(url: &str, patience: Duration) -> Result<Conn, Error> {
    #[allow(
        clippy::disallowed_methods,
        reason = "a wait for another process, which is real"
    )]
    let begun = Instant::now();
    loop {
        match Conn::establish(url) {
            Ok(mut conn) => {
                conn.set_prepared_statement_cache_size(CacheSize::Disabled);
                return Ok(conn);
            }
            Err(fault) => {
                let words = fault.to_string();
                let passing = ["starting up", "too many", "connection slots"];
                let refused = words.contains("FATAL:") && !passing.iter().any(|why| words.contains(why));
                if refused || begun.elapsed() >= patience {
                    return Err(Error::Unavailable(words));
                }
                sleep(Duration::from_millis(100));
            }
        }
    }
}

/// The number of the server's process that serves this connection at the moment.
fn session(conn: &mut Conn) -> Result<i32, Fault> {
    #[derive(QueryableByName)]
    struct Session {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        pid: i32,
    }
    let session: Session = diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(conn)?;
    Ok(session.pid)
}

impl Transact for Conn {
    /// Read committed: every statement after a lock sees what the lock's last holder wrote.
    fn write<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.build_transaction().read_committed().run(job)
    }

    fn snapshot<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.build_transaction().repeatable_read().read_only().run(job)
    }
}

pub(crate) fn pending(conn: &mut Conn, begins_with: Option<&str>) -> Result<Vec<String>, Fault> {
    alone(conn, begins_with, |conn| {
        migrations::pending(conn, migrations::POSTGRES)
    })
}

pub(crate) fn migrate(conn: &mut Conn, begins_with: Option<&str>) -> Result<Vec<String>, Fault> {
    alone(conn, begins_with, |conn| {
        if !migrations::pending(conn, migrations::POSTGRES)?.is_empty() {
            queries::servers::none_runs(conn)?;
        }
        migrations::up(conn, migrations::POSTGRES)
    })
}

pub(crate) fn revert(conn: &mut Conn, begins_with: Option<&str>) -> Result<Vec<String>, Fault> {
    alone(conn, begins_with, |conn| {
        queries::servers::none_runs(conn)?;
        migrations::down(conn, migrations::POSTGRES)
    })
}

pub(crate) fn revert_to(
    conn: &mut Conn,
    begins_with: Option<&str>,
    last: &str,
) -> Result<Vec<String>, Fault> {
    alone(conn, begins_with, |conn| {
        if migrations::has_later(conn, last)? {
            queries::servers::none_runs(conn)?;
        }
        migrations::down_to(conn, &migrations::POSTGRES, last)
    })
}

/// The lock belongs to the transaction, so that it goes when the process does.
fn alone<T>(
    conn: &mut Conn,
    begins_with: Option<&str>,
    job: impl FnOnce(&mut Conn) -> Result<T, Fault>,
) -> Result<T, Fault> {
    conn.write(|conn| {
        begin(conn, begins_with)?;
        advisory(conn, MIGRATION_LOCK)?;
        job(conn)
    })
}

fn advisory(conn: &mut Conn, key: i64) -> Result<(), Fault> {
    diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
        .bind::<diesel::sql_types::BigInt, _>(key)
        .execute(conn)?;
    Ok(())
}

/// The rows of a JSON array of objects, bound as `$1`, as the table `v` with these columns.
fn rows(columns: &[(&str, &str)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    format!("json_to_recordset($1::json) AS v ({})", columns.join(", "))
}

/// The bytes that a column has in hexadecimal.
fn from_hex(column: &str) -> String {
    format!("decode({column}, 'hex')")
}

/// Tells the planner of deliveries that were just written. Without, it takes the table for empty, and reads a
/// campaign whole for each batch of it until autovacuum comes by.
fn analyze_deliveries(conn: &mut Conn) -> Result<(), Fault> {
    conn.batch_execute("ANALYZE nudge_deliveries")?;
    Ok(())
}

/// Lets the numbers of a table's rows go on from later ones.
fn skip_numbers(conn: &mut Conn, table: &str, by: i64) -> Result<(), Fault> {
    let sql = format!(
        "SELECT setval(numbers, nextval(numbers) + {by})
         FROM (SELECT pg_get_serial_sequence('{table}', 'id')::regclass AS numbers) AS of_table"
    );
    diesel::sql_query(sql).execute(conn)?;
    Ok(())
}

/// Rows that this transaction keeps for itself until it ends. `NO KEY` lets others still refer to them.
mod lock {
    use super::queries::devices::HeldRow;
    use super::{AUDIT_LOCK, Conn, Fault, advisory};
    use crate::schema::{devices, nudge_campaigns, packages};
    use diesel::prelude::*;

    pub(super) fn package(conn: &mut Conn, name: &str) -> Result<Option<i64>, Fault> {
        Ok(packages::table
            .filter(packages::name.eq(name))
            .select(packages::id)
            .for_no_key_update()
            .first(conn)
            .optional()?)
    }

    /// In the order of their names, as everybody else does, so that no two transactions wait for each other.
    pub(super) fn devices(conn: &mut Conn, names: &[&str]) -> Result<Vec<HeldRow>, Fault> {
        Ok(devices::table
            .filter(devices::name.eq_any(names))
            .order(devices::name)
            .select(HeldRow::as_select())
            .for_no_key_update()
            .load(conn)?)
    }

    pub(super) fn campaign(conn: &mut Conn, id: i64) -> Result<Option<String>, Fault> {
        Ok(nudge_campaigns::table
            .find(id)
            .select(nudge_campaigns::state)
            .for_no_key_update()
            .first(conn)
            .optional()?)
    }

    /// The devices whose deliveries are to be sent. Those that another sender is claiming at this moment are left
    /// to it rather than waited for.
    pub(super) fn due(conn: &mut Conn, campaign: i64, now: i64, limit: u32) -> Result<Vec<i64>, Fault> {
        #[derive(QueryableByName)]
        struct Due {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            device_id: i64,
        }
        let sql = format!(
            "SELECT device_id FROM nudge_deliveries
             WHERE campaign_id = {campaign} AND state = 'queued' AND due_at <= {now}
             ORDER BY due_at, device_id LIMIT {limit} FOR UPDATE SKIP LOCKED"
        );
        let due: Vec<Due> = diesel::sql_query(sql).load(conn)?;
        Ok(due.into_iter().map(|due| due.device_id).collect())
    }

    pub(super) fn audit_chain(conn: &mut Conn) -> Result<(), Fault> {
        advisory(conn, AUDIT_LOCK)
    }
}

/// Finding devices by three letters in a row of their ids and aliases.
mod words {
    use diesel::prelude::*;
    use diesel::sql_types::Bool;

    use super::queries::statement::Statement;
    use super::{Conn, Fault};

    pub(super) const FROM: &str = "device_search";
    pub(super) const ID: &str = "device_id";

    pub(super) fn are_long_enough(search: &str) -> bool {
        search.chars().nth(2).is_some()
    }

    /// Where the extension was refused, there is no index. Asked each time: somebody may have made it since.
    pub(super) fn is_indexed(conn: &mut Conn) -> Result<bool, Fault> {
        let exists = diesel::dsl::sql::<Bool>("to_regclass('device_search_words') IS NOT NULL");
        Ok(diesel::select(exists).get_result(conn)?)
    }

    pub(super) fn filter(search: &str) -> Statement {
        let mut pattern = search.to_lowercase();
        for special in ['\\', '%', '_'] {
            pattern = pattern.replace(special, &format!("\\{special}"));
        }
        Statement::of("words LIKE ").text(&format!("%{pattern}%"))
    }
}
