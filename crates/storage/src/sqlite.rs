//! What only SQLite has or needs.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::r2d2::{CustomizeConnection, Error as PoolError};

use crate::error::Fault;
use crate::pool::{Engine, Pool, Transact};
use crate::record::KeyCell;
use crate::reserve::Reserve;
use crate::{Error, Settings, migrations};

#[path = "queries/mod.rs"]
pub(crate) mod queries;

pub(crate) type Conn = SqliteConnection;
pub(crate) type Db = diesel::sqlite::Sqlite;

/// The machine's time in microseconds: this database has no other.
const NOW: &str = "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)";

/// What a query adds that is to pass over rows which another transaction holds: here there is no other.
const SKIP_LOCKED: &str = "";

/// Whether the table `servers` exists.
const HAS_SERVERS: &str =
    "SELECT count(*) AS count FROM sqlite_schema WHERE type = 'table' AND name = 'servers'";

/// Whether the table `epochs` exists.
const HAS_EPOCHS: &str =
    "SELECT count(*) AS count FROM sqlite_schema WHERE type = 'table' AND name = 'epochs'";

/// The function that finds a text in another.
const FIND: &str = "instr";

/// Opens a file, which is created if it is not there; its folder must be.
pub(crate) fn engine(path: &Path, settings: &Settings, record_key: &KeyCell) -> Result<Engine<Conn>, Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Error::Unavailable(format!(
            "the folder {} of the database does not exist",
            folder.display()
        )));
    }
    let Some(file) = path.to_str() else {
        return Err(Error::Settings(format!(
            "the database's path {} is not UTF-8",
            path.display()
        )));
    };
    create_private(path)?;
    let reserve = match settings.reserve_bytes {
        0 => None,
        bytes => Some(Arc::new(Reserve::beside(path, bytes))),
    };
    let busy_timeout = settings.busy_timeout;
    let setup = |query_only| Setup {
        busy_timeout,
        query_only,
    };
    Ok(Engine {
        readers: Pool::new(file, settings.pool_size, busy_timeout, setup(true), record_key),
        writers: Pool::new(file, 1, busy_timeout, setup(false), record_key),
        begins_with: None,
        reserve,
    })
}

/// The file holds password hashes and wake-up tokens: it is its owner's alone, and SQLite gives the files beside
/// it the same mode. One that is there already keeps what it has.
fn create_private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(fault) if fault.kind() != ErrorKind::AlreadyExists => Err(Error::Unavailable(format!(
            "the database {} cannot be created: {fault}",
            path.display()
        ))),
        _ => Ok(()),
    }
}

#[derive(Debug)]
struct Setup {
    busy_timeout: Duration,
    query_only: bool,
}

impl CustomizeConnection<Conn, PoolError> for Setup {
    fn on_acquire(&self, conn: &mut Conn) -> Result<(), PoolError> {
        conn.batch_execute(&format!(
            "PRAGMA busy_timeout = {}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA recursive_triggers = ON; PRAGMA trusted_schema = OFF;",
            self.busy_timeout.as_millis()
        ))
        .map_err(PoolError::QueryError)?;
        if self.query_only {
            return conn
                .batch_execute("PRAGMA query_only = ON")
                .map_err(PoolError::QueryError);
        }
        into_wal(conn, self.busy_timeout).map_err(PoolError::QueryError)
    }
}

/// SQLite does not wait for its busy timeout when two processes switch a new file to WAL at the same moment.
fn into_wal(conn: &mut Conn, busy_timeout: Duration) -> QueryResult<()> {
    #[allow(
        clippy::disallowed_methods,
        reason = "a wait for another process, which is real"
    )]
    let begun = Instant::now();
    loop {
        match conn.batch_execute("PRAGMA journal_mode = WAL") {
            Err(_) if begun.elapsed() < busy_timeout => sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
}

impl Transact for Conn {
    /// Immediate: a transaction that began by reading could not be upgraded while another one writes.
    fn write<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.immediate_transaction(job)
    }

    /// In WAL mode a transaction sees the state at its first read.
    fn snapshot<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.transaction(job)
    }
}

/// The write lock is the migrations' lock.
pub(crate) fn migrate(conn: &mut Conn) -> Result<Vec<String>, Fault> {
    conn.exclusive_transaction(|conn| {
        if !migrations::pending(conn, migrations::SQLITE)?.is_empty() {
            queries::servers::none_runs(conn)?;
        }
        migrations::up(conn, migrations::SQLITE)
    })
}

pub(crate) fn revert(conn: &mut Conn) -> Result<Vec<String>, Fault> {
    conn.exclusive_transaction(|conn| {
        queries::servers::none_runs(conn)?;
        migrations::down(conn, migrations::SQLITE)
    })
}

pub(crate) fn revert_to(conn: &mut Conn, last: &str) -> Result<Vec<String>, Fault> {
    conn.exclusive_transaction(|conn| {
        if migrations::has_later(conn, last)? {
            queries::servers::none_runs(conn)?;
        }
        migrations::down_to(conn, &migrations::SQLITE, last)
    })
}

/// The rows of a JSON array of objects, bound as `$1`, as the table `v` with these columns. One bind for a whole
/// batch: no limit on parameters, and the same statement for every size.
fn rows(columns: &[(&str, &str)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, _)| format!("value ->> '{name}' AS {name}"))
        .collect();
    format!("(SELECT {} FROM json_each($1)) AS v", columns.join(", "))
}

/// The bytes that a column has in hexadecimal.
fn from_hex(column: &str) -> String {
    format!("unhex({column})")
}

/// Copies the database as it is at this moment. A writer in another connection is not waited for, nor does it wait.
pub(crate) fn copy_to(conn: &mut Conn, file: &Path) -> Result<(), Fault> {
    let unavailable = |fault: String| Error::Unavailable(format!("a copy at {}: {fault}", file.display()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options
        .open(file)
        .map_err(|fault| unavailable(fault.to_string()))?;
    let path = file
        .to_str()
        .ok_or_else(|| unavailable("the path is not UTF-8".to_owned()))?;
    // Into the empty file, so that it has its mode from the beginning.
    diesel::sql_query("VACUUM INTO $1")
        .bind::<diesel::sql_types::Text, _>(path)
        .execute(conn)?;
    made.sync_all()
        .map_err(|fault| unavailable(fault.to_string()).into())
}

/// Lets the numbers of a table's rows go on from later ones.
fn skip_numbers(conn: &mut Conn, table: &str, by: i64) -> Result<(), Fault> {
    let sql = format!("UPDATE sqlite_sequence SET seq = seq + {by} WHERE name = '{table}'");
    if diesel::sql_query(sql).execute(conn)? == 0 {
        // It had no row yet.
        let sql = format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {by})");
        diesel::sql_query(sql).execute(conn)?;
    }
    Ok(())
}

/// SQLite's plans look at no figures.
fn analyze_deliveries(_: &mut Conn) -> Result<(), Fault> {
    Ok(())
}

/// SQLite's writer is alone: nothing is to be locked in a row.
mod lock {
    use super::queries::devices::HeldRow;
    use super::{Conn, Fault};
    use crate::schema::{devices, nudge_campaigns, packages};
    use diesel::prelude::*;

    pub(super) fn package(conn: &mut Conn, name: &str) -> Result<Option<i64>, Fault> {
        Ok(packages::table
            .filter(packages::name.eq(name))
            .select(packages::id)
            .first(conn)
            .optional()?)
    }

    pub(super) fn devices(conn: &mut Conn, names: &[&str]) -> Result<Vec<HeldRow>, Fault> {
        Ok(devices::table
            .filter(devices::name.eq_any(names))
            .select(HeldRow::as_select())
            .load(conn)?)
    }

    pub(super) fn campaign(conn: &mut Conn, id: i64) -> Result<Option<String>, Fault> {
        Ok(nudge_campaigns::table
            .find(id)
            .select(nudge_campaigns::state)
            .first(conn)
            .optional()?)
    }

    /// The devices whose deliveries are to be sent.
    pub(super) fn due(conn: &mut Conn, campaign: i64, now: i64, limit: u32) -> Result<Vec<i64>, Fault> {
        #[derive(QueryableByName)]
        struct Due {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            device_id: i64,
        }
        let sql = format!(
            "SELECT device_id FROM nudge_deliveries
             WHERE campaign_id = {campaign} AND state = 'queued' AND due_at <= {now}
             ORDER BY due_at, device_id LIMIT {limit}"
        );
        let due: Vec<Due> = diesel::sql_query(sql).load(conn)?;
        Ok(due.into_iter().map(|due| due.device_id).collect())
    }

    pub(super) fn audit_chain(_: &mut Conn) -> Result<(), Fault> {
        Ok(())
    }
}

/// Finding devices by three letters in a row of their ids and aliases.
mod words {
    use super::queries::statement::Statement;
    use super::{Conn, Fault};

    pub(super) const FROM: &str = "device_words";
    pub(super) const ID: &str = "rowid";

    /// The most groups of three letters that are asked for; what is found is looked at anyway.
    const MAX_GROUPS: usize = 40;

    pub(super) fn are_long_enough(search: &str) -> bool {
        search.to_lowercase().chars().nth(2).is_some()
    }

    pub(super) fn is_indexed(_: &mut Conn) -> Result<bool, Fault> {
        Ok(true)
    }

    pub(super) fn filter(search: &str) -> Statement {
        let letters: Vec<char> = search.to_lowercase().chars().collect();
        let quoted =
            |group: &[char]| format!("\"{}\"", group.iter().collect::<String>().replace('"', "\"\""));
        let groups: Vec<String> = letters.windows(3).take(MAX_GROUPS).map(quoted).collect();
        Statement::of("device_words MATCH ").text(&groups.join(" AND "))
    }
}
