//! The store: one handle to the database, whichever engine it is.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use crate::pool::{Engine, PoolUse};
use crate::record::KeyCell;
use crate::reserve::LEAST_FREE;
use crate::settings::{Place, without_password};
use crate::tunnel::Tunnel;
use crate::{Disk, Error, Settings, migrations, postgres, sqlite};

/// A handle to the database; clones share its connections.
#[derive(Clone)]
pub struct Store {
    engine: Arc<AnyEngine>,
    place: Arc<str>,
    record_key: KeyCell,
    /// Kept for as long as connections go through it.
    _tunnel: Option<Arc<Tunnel>>,
}

pub(crate) enum AnyEngine {
    Sqlite(Engine<sqlite::Conn>),
    Postgres(Engine<postgres::Conn>),
}

impl Store {
    /// Connects and brings the tables up to date. Any number of processes may do so at once: one migrates, the
    /// others wait for it.
    ///
    /// # Errors
    /// [`Error::Settings`] for a URL or size that cannot work; [`Error::Unavailable`] when the database does not
    /// answer; [`Error::Busy`] when another process keeps it locked; [`Error::Newer`] and [`Error::OtherServers`] as for
    /// [`Store::migrate`].
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let store = Self::connect(settings).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// A handle to a database whose tables nobody has looked at, for asking what [`Store::migrate`] would do. On
    /// PostgreSQL it is found out whether a pooler stands before it.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Unavailable`].
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let record_key = KeyCell::default();
        let (engine, tunnel) = match settings.check()? {
            Place::Sqlite(path) => {
                let engine = sqlite::engine(&path, settings, &record_key)?;
                (AnyEngine::Sqlite(engine), None)
            }
            Place::Postgres(url) => {
                let tunnel = url.tls.as_ref().map(Tunnel::open).transpose()?;
                let url = match &tunnel {
                    Some(tunnel) => url.through(tunnel.folder()),
                    None => url.plain().to_owned(),
                };
                let pooled = settings.pooled || looks_pooled(&url, settings.busy_timeout).await?;
                let engine = postgres::engine(&url, settings, pooled, &record_key);
                (AnyEngine::Postgres(engine), tunnel.map(Arc::new))
            }
        };
        Ok(Self {
            engine: Arc::new(engine),
            record_key,
            _tunnel: tunnel,
            place: without_password(&settings.url).into(),
        })
    }

    /// Runs the migrations that are missing, under a lock, and returns their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; [`Error::Corrupt`] when one of them fails; [`Error::Newer`] when the tables
    /// are those of a later program; [`Error::OtherServers`] when some are missing and a server was seen lately, see
    /// [`Store::announce`]. Nothing was changed then.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        match &*self.engine {
            AnyEngine::Sqlite(engine) => engine.writers.run(sqlite::migrate).await,
            AnyEngine::Postgres(engine) => {
                let begins_with = engine.begins_with.clone();
                let migrate = move |conn: &mut _| postgres::migrate(conn, begins_with.as_deref());
                engine.writers.run(migrate).await
            }
        }
    }

    /// The names of the migrations that are missing.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn pending(&self) -> Result<Vec<String>, Error> {
        match &*self.engine {
            AnyEngine::Sqlite(engine) => {
                engine
                    .writers
                    .run(|c| migrations::pending(c, migrations::SQLITE))
                    .await
            }
            AnyEngine::Postgres(engine) => {
                let begins_with = engine.begins_with.clone();
                let pending = move |conn: &mut _| postgres::pending(conn, begins_with.as_deref());
                engine.writers.run(pending).await
            }
        }
    }

    /// Takes all migrations back, which drops every table and all that is in them.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn revert(&self) -> Result<Vec<String>, Error> {
        match &*self.engine {
            AnyEngine::Sqlite(engine) => engine.writers.run(sqlite::revert).await,
            AnyEngine::Postgres(engine) => {
                let begins_with = engine.begins_with.clone();
                let revert = move |conn: &mut _| postgres::revert(conn, begins_with.as_deref());
                engine.writers.run(revert).await
            }
        }
    }

    /// Takes back the migrations that came after the one with this number, such as `0003`, and returns their numbers,
    /// newest first. What earlier tables have no place for is lost.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn revert_to(&self, last: &str) -> Result<Vec<String>, Error> {
        let last = last.to_owned();
        match &*self.engine {
            AnyEngine::Sqlite(engine) => engine.writers.run(move |c| sqlite::revert_to(c, &last)).await,
            AnyEngine::Postgres(engine) => {
                let begins_with = engine.begins_with.clone();
                let revert = move |conn: &mut _| postgres::revert_to(conn, begins_with.as_deref(), &last);
                engine.writers.run(revert).await
            }
        }
    }

    /// Whether the database answers and takes a write, which is tried. A writer who is long at work, as one is with a
    /// campaign for a million devices, is no fault: then it is enough that a read is answered.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`], [`Error::Full`].
    pub async fn ready(&self) -> Result<(), Error> {
        if self.disk().is_some_and(|disk| disk.free_bytes < LEAST_FREE) {
            return Err(Error::Full("only the reserve is left".to_owned()));
        }
        match tokio::time::timeout(WRITER_PATIENCE, self.touch()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Busy(_))) | Err(_) => self.epochs().await.map(drop),
            Ok(Err(fault)) => Err(fault),
        }
    }

    async fn touch(&self) -> Result<(), Error> {
        run!(self, write, epochs::touch())
    }

    /// What is left of the disk, where it is this program's to look after: with SQLite and a reserve.
    pub fn disk(&self) -> Option<Disk> {
        match &*self.engine {
            AnyEngine::Sqlite(engine) => engine.reserve.as_ref().map(|reserve| reserve.disk()),
            AnyEngine::Postgres(_) => None,
        }
    }

    /// Whether the database is one behind a pooler, where no connection keeps anything between two transactions.
    pub fn is_pooled(&self) -> bool {
        match &*self.engine {
            AnyEngine::Sqlite(_) => false,
            AnyEngine::Postgres(engine) => engine.begins_with.is_some(),
        }
    }

    /// How busy the connections are. Asks nobody.
    pub fn pools(&self) -> Vec<PoolUse> {
        match &*self.engine {
            AnyEngine::Sqlite(engine) => vec![engine.readers.in_use("read"), engine.writers.in_use("write")],
            AnyEngine::Postgres(engine) => vec![engine.readers.in_use("all")],
        }
    }

    /// The engine's name: `sqlite` or `postgresql`.
    pub fn engine_name(&self) -> &'static str {
        match &*self.engine {
            AnyEngine::Sqlite(_) => "sqlite",
            AnyEngine::Postgres(_) => "postgresql",
        }
    }

    pub(crate) fn engine(&self) -> &AnyEngine {
        &self.engine
    }

    pub(crate) fn record_key(&self) -> &KeyCell {
        &self.record_key
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.place)
    }
}

/// Tries out whether a pooler stands before PostgreSQL.
async fn looks_pooled(url: &str, patience: Duration) -> Result<bool, Error> {
    let url = url.to_owned();
    let looked = tokio::task::spawn_blocking(move || postgres::is_pooled(&url, patience)).await;
    let pooled = looked.map_err(|_| Error::Unavailable("the program is shutting down".into()))??;
    if pooled {
        tracing::info!("a pooler stands before the database: nothing is kept in its sessions");
    }
    Ok(pooled)
}

/// How long a probe waits for its turn to write.
const WRITER_PATIENCE: Duration = Duration::from_secs(1);

/// How long a call may take before it is logged.
const SLOW_CALL: Duration = Duration::from_secs(1);

/// Follows a call to the database, from waiting for a connection to its end. The span is at the level debug, so that
/// only those pay for it who have traces sent.
pub(crate) async fn followed<T>(query: &'static str, call: impl Future<Output = T>) -> T {
    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    let begun = Instant::now();
    let span = tracing::debug_span!("database", otel.name = query, otel.kind = "client");
    let answer = call.instrument(span).await;
    let took = begun.elapsed();
    if took > SLOW_CALL {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(event = "ota.database.slow", query, took_ms);
    }
    answer
}

/// Runs `queries::…(connection, arguments)` on the store's engine: `read` for a single query, `snapshot` for
/// several that must see the same state, `write` for a transaction, `urgent` for one that ends harm or access, or lets in whoever does.
macro_rules! run {
    ($store:expr, $way:ident, $module:ident::$query:ident($($argument:expr),* $(,)?)) => {
        $crate::store::followed(concat!(stringify!($module), "::", stringify!($query)), async move {
        match $store.engine() {
            $crate::store::AnyEngine::Sqlite(engine) => {
                engine
                    .$way(move |connection| $crate::sqlite::queries::$module::$query(connection, $($argument),*))
                    .await
            }
            $crate::store::AnyEngine::Postgres(engine) => {
                engine
                    .$way(move |connection| $crate::postgres::queries::$module::$query(connection, $($argument),*))
                    .await
            }
        }
        })
        .await
    };
}
pub(crate) use run;
