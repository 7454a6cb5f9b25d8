//! Connections, handed out in the order they are asked for, to jobs that run beside the async runtime.

use std::sync::Arc;
use std::time::Duration;

use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool as R2d2, R2D2Connection};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::Error;
use crate::error::Fault;
use crate::record::{self, KeyCell};
use crate::reserve::Reserve;

/// How often a transaction runs again that another one got in the way of.
const MAX_RETRIES: u32 = 5;
/// The pause before the first of these; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// What differs between the engines about transactions.
pub(crate) trait Transact: R2D2Connection + 'static {
    /// A transaction that may read before it writes.
    fn write<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault>;
    /// A transaction in which all queries see the same state.
    fn snapshot<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault>;
}

/// How busy a pool of connections is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// What its connections are for: `read`, `write` or `all`.
    pub pool: &'static str,
    /// How many jobs hold a connection.
    pub in_use: usize,
    /// How many can at once.
    pub size: usize,
}

/// An engine's two ways in.
pub(crate) struct Engine<C: Transact> {
    pub(crate) readers: Pool<C>,
    pub(crate) writers: Pool<C>,
    /// What every transaction begins with, where connections keep nothing between two of them. Then no query runs
    /// outside of a transaction.
    pub(crate) begins_with: Option<Arc<str>>,
    /// What is given up when the disk is full, where that is ours to do.
    pub(crate) reserve: Option<Arc<Reserve>>,
}

impl<C: Transact> Engine<C> {
    /// Runs a job of a single query.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut C) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        if self.begins_with.is_some() {
            return self.snapshot(job).await;
        }
        self.readers.run(job).await
    }

    /// Runs a job of several queries that must see the same state.
    pub(crate) async fn snapshot<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut C) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let begins_with = self.begins_with.clone();
        self.readers
            .run(move |conn| {
                conn.snapshot(|conn| begin(conn, begins_with.as_deref()).and_then(|()| job(conn)))
            })
            .await
    }

    /// Runs a job in a transaction of its own; again when another transaction got in the way. Refused while the disk
    /// is full.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl Fn(&mut C) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (begins_with, reserve) = (self.begins_with.clone(), self.reserve.clone());
        self.writers
            .run(move |conn| {
                if reserve.is_some_and(|reserve| !reserve.allows()) {
                    let why = "what is left is kept for holding and taking back rollouts";
                    return Err(Error::Full(why.to_owned()).into());
                }
                repeat(conn, begins_with.as_deref(), &job)
            })
            .await
    }

    /// As [`Engine::write`], for a job that ends harm: when the disk is full it is given the reserve.
    pub(crate) async fn urgent<T: Send + 'static>(
        &self,
        job: impl Fn(&mut C) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (begins_with, reserve) = (self.begins_with.clone(), self.reserve.clone());
        self.writers
            .run(move |conn| {
                let begins_with = begins_with.as_deref();
                match repeat(conn, begins_with, &job) {
                    Err(fault) if fault.is_full() && reserve.is_some_and(|reserve| reserve.give_up()) => {
                        repeat(conn, begins_with, &job)
                    }
                    done => done,
                }
            })
            .await
    }
}

/// What a transaction begins with.
pub(crate) fn begin<C: Transact>(conn: &mut C, begins_with: Option<&str>) -> Result<(), Fault> {
    match begins_with {
        Some(sql) => Ok(conn.batch_execute(sql)?),
        None => Ok(()),
    }
}

/// Runs a transaction until no other one gets in its way, a bounded number of times.
fn repeat<C: Transact, T>(
    conn: &mut C,
    begins_with: Option<&str>,
    job: impl Fn(&mut C) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut pause = FIRST_PAUSE;
    let whole = |conn: &mut C| begin(conn, begins_with).and_then(|()| job(conn));
    for _ in 0..MAX_RETRIES {
        match conn.write(whole) {
            Err(fault) if fault.may_pass() => std::thread::sleep(pause),
            done => return done,
        }
        pause *= 2;
    }
    conn.write(whole)
}

/// A bounded number of connections.
///
/// The permits are what bounds it: waiting for one costs a task and not a thread, so that a flood of requests
/// never fills the runtime's blocking threads.
pub(crate) struct Pool<C: R2D2Connection + 'static> {
    connections: R2d2<ConnectionManager<C>>,
    permits: Arc<Semaphore>,
    size: usize,
    busy_timeout: Duration,
    record_key: KeyCell,
}

/// By hand, because a derived one would demand that connections can be cloned.
impl<C: R2D2Connection + 'static> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            permits: self.permits.clone(),
            size: self.size,
            busy_timeout: self.busy_timeout,
            record_key: self.record_key.clone(),
        }
    }
}

impl<C: R2D2Connection + 'static> Pool<C> {
    /// A pool that connects when it is first asked.
    pub(crate) fn new(
        url: &str,
        size: u32,
        busy_timeout: Duration,
        setup: impl CustomizeConnection<C, diesel::r2d2::Error>,
        record_key: &KeyCell,
    ) -> Self {
        let connections = R2d2::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(busy_timeout)
            .connection_customizer(Box::new(setup))
            .build_unchecked(ConnectionManager::new(url));
        let size = usize::try_from(size).unwrap_or(1);
        Self {
            connections,
            permits: Arc::new(Semaphore::new(size)),
            size,
            busy_timeout,
            record_key: Arc::clone(record_key),
        }
    }

    pub(crate) fn in_use(&self, pool: &'static str) -> PoolUse {
        PoolUse {
            pool,
            in_use: self.size.saturating_sub(self.permits.available_permits()),
            size: self.size,
        }
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut C) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let waited = tokio::time::timeout(self.busy_timeout, self.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = waited else {
            return Err(Error::Busy(format!(
                "all connections stayed in use for {:?}",
                self.busy_timeout
            )));
        };
        let connections = self.connections.clone();
        let key = self.record_key.get().cloned();
        let done = spawn_blocking(move || {
            // The permit goes back when the job ends, even if the caller lost interest meanwhile.
            let _permit = permit;
            let mut connection = connections
                .get()
                .map_err(|error| Error::Unavailable(error.to_string()))?;
            record::with_key(key, || job(&mut connection)).map_err(Error::from)
        });
        match done.await {
            Ok(result) => result,
            Err(fault) if fault.is_panic() => std::panic::resume_unwind(fault.into_panic()),
            Err(_) => Err(Error::Unavailable("the program is shutting down".into())),
        }
    }
}
