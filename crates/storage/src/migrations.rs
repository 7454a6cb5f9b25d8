//! The schema's history, built into the program.

use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::Error;
use crate::error::Fault;

pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

pub(crate) fn pending<C, D>(conn: &mut C, all: EmbeddedMigrations) -> Result<Vec<String>, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    let missing = conn.pending_migrations(all).map_err(failed)?;
    Ok(missing
        .iter()
        .map(|migration| migration.name().to_string())
        .collect())
}

/// The caller holds the lock.
pub(crate) fn up<C, D>(conn: &mut C, all: EmbeddedMigrations) -> Result<Vec<String>, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    let done = conn.run_pending_migrations(all).map_err(failed)?;
    Ok(done.iter().map(ToString::to_string).collect())
}

/// The caller holds the lock.
pub(crate) fn down<C, D>(conn: &mut C, all: EmbeddedMigrations) -> Result<Vec<String>, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    let done = conn.revert_all_migrations(all).map_err(failed)?;
    Ok(done.iter().map(ToString::to_string).collect())
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> Fault {
    Fault::Refused(Error::corrupt("a migration failed", error))
}
