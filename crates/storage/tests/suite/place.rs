//! An empty database of one's own, and a way into it that goes around the store.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use tempfile::TempDir;
use tidegate_storage::{Settings, Store};
use tidegate_testkit::pgbouncer;
use tidegate_testkit::postgres::{self, Database};

pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres(Database),
    /// Behind a pooler that has few connections. What goes around the store goes around the pooler as well.
    Pooled(Database),
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("no temporary folder"))
    }

    pub(crate) fn postgres(hint: &str) -> Self {
        Self::Postgres(postgres::database(hint))
    }

    pub(crate) fn pooled(hint: &str) -> Self {
        Self::Pooled(postgres::database(hint))
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(match self {
            Self::Sqlite(folder) => format!("sqlite://{}", self.file(folder)),
            Self::Postgres(database) => database.url(),
            Self::Pooled(database) => pgbouncer::through(database),
        });
        settings.pool_size = 4;
        settings.pooled = matches!(self, Self::Pooled(_));
        settings
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.settings()).await.expect("the store opens")
    }

    fn file(&self, folder: &TempDir) -> String {
        let file = folder.path().join("tidegate.db");
        file.to_str().expect("a UTF-8 path").to_owned()
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Runs a statement, and returns the database's own words when it refuses.
    pub(crate) fn execute(&self, sql: &str) -> Result<usize, String> {
        let done = match self {
            Self::Sqlite(folder) => diesel::sql_query(sql).execute(&mut sqlite(&self.file(folder))),
            Self::Postgres(database) | Self::Pooled(database) => {
                diesel::sql_query(sql).execute(&mut pg(&database.url()))
            }
        };
        done.map_err(|fault| fault.to_string())
    }

    /// Runs one migration's script, `up` or `down`, beside the record of migrations.
    pub(crate) fn migrate_by(&self, migration: &str, script: &str) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let engine = if self.is_sqlite() { "sqlite" } else { "postgres" };
        let sql = std::fs::read_to_string(format!("{root}/{engine}/{migration}/{script}.sql"));
        let sql = format!("BEGIN; {} COMMIT;", sql.expect("a migration's script"));
        let done = match self {
            Self::Sqlite(folder) => sqlite(&self.file(folder)).batch_execute(&sql),
            Self::Postgres(database) | Self::Pooled(database) => pg(&database.url()).batch_execute(&sql),
        };
        done.expect("the script runs");
    }

    /// Begins a transaction with a statement and leaves it open until the answer is dropped.
    pub(crate) fn hold(&self, sql: &str) -> Box<dyn std::any::Any> {
        let sql = format!("BEGIN; {sql}");
        match self {
            Self::Sqlite(folder) => {
                let mut conn = sqlite(&self.file(folder));
                conn.batch_execute(&sql).unwrap();
                Box::new(conn)
            }
            Self::Postgres(database) | Self::Pooled(database) => {
                let mut conn = pg(&database.url());
                conn.batch_execute(&sql).unwrap();
                Box::new(conn)
            }
        }
    }

    /// How SQLite means to answer a query.
    pub(crate) fn plan(&self, sql: &str) -> String {
        #[derive(QueryableByName)]
        struct Step {
            #[diesel(sql_type = Text)]
            detail: String,
        }
        let Self::Sqlite(folder) = self else {
            return String::new();
        };
        let query = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps: Vec<Step> = query.load(&mut sqlite(&self.file(folder))).unwrap();
        let steps: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
        steps.join("; ")
    }

    /// The column `value` of a query's rows.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        let rows: QueryResult<Vec<TextRow>> = match self {
            Self::Sqlite(folder) => diesel::sql_query(sql).load(&mut sqlite(&self.file(folder))),
            Self::Postgres(database) | Self::Pooled(database) => {
                diesel::sql_query(sql).load(&mut pg(&database.url()))
            }
        };
        let rows = rows.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        rows.into_iter().map(|row| row.value).collect()
    }

    /// The column `value` of a query's only row.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let row: QueryResult<NumberRow> = match self {
            Self::Sqlite(folder) => diesel::sql_query(sql).get_result(&mut sqlite(&self.file(folder))),
            Self::Postgres(database) | Self::Pooled(database) => {
                diesel::sql_query(sql).get_result(&mut pg(&database.url()))
            }
        };
        row.unwrap_or_else(|fault| panic!("{sql}: {fault}")).value
    }
}

fn sqlite(file: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(file).expect("the file opens");
    diesel::sql_query("PRAGMA busy_timeout = 10000")
        .execute(&mut conn)
        .expect("a pragma");
    conn
}

fn pg(url: &str) -> PgConnection {
    PgConnection::establish(url).expect("the database opens")
}
