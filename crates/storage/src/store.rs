//! The store: one handle to the database, whichever engine it is.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use crate::pool::{Engine, PoolUse};
use crate::settings::{Place, without_password};
use crate::{Error, Settings, migrations, postgres, sqlite};

/// A handle to the database; clones share its connections.
#[derive(Clone)]
pub struct Store {
    engine: Arc<AnyEngine>,
    place: Arc<str>,
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
    /// answer; [`Error::Busy`] when another process keeps it locked; [`Error::OtherServers`] as for
    /// [`Store::migrate`].
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let store = Self::connect(settings)?;
        store.migrate().await?;
        Ok(store)
    }

    /// A handle that has not connected yet, for asking what [`Store::migrate`] would do.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn connect(settings: &Settings) -> Result<Self, Error> {
        let place = settings.check()?;
        let engine = match &place {
            Place::Sqlite(path) => AnyEngine::Sqlite(sqlite::engine(path, settings)?),
            Place::Postgres(url) => AnyEngine::Postgres(postgres::engine(url, settings)),
        };
        Ok(Self {
            engine: Arc::new(engine),
            place: without_password(&settings.url).into(),
        })
    }

    /// Runs the migrations that are missing, under a lock, and returns their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; [`Error::Corrupt`] when one of them fails; [`Error::OtherServers`] when
    /// some are missing and a server was seen lately, see [`Store::announce`]. Nothing was changed then.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        match &*self.engine {
            AnyEngine::Sqlite(engine) => engine.writers.run(sqlite::migrate).await,
            AnyEngine::Postgres(engine) => engine.writers.run(postgres::migrate).await,
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
                engine
                    .writers
                    .run(|c| migrations::pending(c, migrations::POSTGRES))
                    .await
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
            AnyEngine::Postgres(engine) => engine.writers.run(postgres::revert).await,
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
            AnyEngine::Postgres(engine) => engine.writers.run(move |c| postgres::revert_to(c, &last)).await,
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn ready(&self) -> Result<(), Error> {
        self.epochs().await.map(drop)
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
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.place)
    }
}

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
/// several that must see the same state, `write` for a transaction.
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
