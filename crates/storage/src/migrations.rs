//! The schema's history, built into the program.

use diesel::migration::{Migration, MigrationSource};
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
    refuse_newer(conn, &all)?;
    let missing = conn.pending_migrations(all).map_err(failed)?;
    Ok(names_of(&missing))
}

/// All of SQLite's.
pub(crate) fn names() -> Result<Vec<String>, Error> {
    let all = MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE);
    let all = all.map_err(|error| Error::corrupt("the migrations cannot be read", error))?;
    let mut names = names_of(&all);
    names.sort();
    Ok(names)
}

/// Such as `0001_initial`. Their versions, which the database keeps, are the numbers alone.
fn names_of<D: diesel::backend::Backend>(migrations: &[Box<dyn Migration<D>>]) -> Vec<String> {
    migrations
        .iter()
        .map(|migration| migration.name().to_string())
        .collect()
}

/// Refuses tables that a later program has changed. A number is enough: landed migrations stay as they are.
pub(crate) fn refuse_newer<C, D>(conn: &mut C, all: &EmbeddedMigrations) -> Result<(), Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    let ours = MigrationSource::<D>::migrations(all).map_err(failed)?;
    let ours: Vec<String> = ours.iter().map(|own| own.name().version().to_string()).collect();
    let done = conn.applied_migrations().map_err(failed)?;
    let unknown = done
        .iter()
        .map(ToString::to_string)
        .filter(|done| !ours.contains(done));
    match (unknown.max(), ours.iter().max()) {
        (Some(found), Some(known)) => Err(Error::Newer {
            found,
            known: known.clone(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// The caller holds the lock.
pub(crate) fn up<C, D>(conn: &mut C, all: EmbeddedMigrations) -> Result<Vec<String>, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    let missing = conn.pending_migrations(all).map_err(failed)?;
    conn.run_migrations(&missing).map_err(failed)?;
    Ok(names_of(&missing))
}

/// The caller holds the lock.
pub(crate) fn down<C, D>(conn: &mut C, all: EmbeddedMigrations) -> Result<Vec<String>, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    refuse_newer(conn, &all)?;
    let done = conn.revert_all_migrations(all).map_err(failed)?;
    Ok(done.iter().map(ToString::to_string).collect())
}

/// Whether migrations were run that came after the one with this number.
pub(crate) fn has_later<C, D>(conn: &mut C, last: &str) -> Result<bool, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    let done = conn.applied_migrations().map_err(failed)?;
    Ok(done.iter().any(|version| version.to_string().as_str() > last))
}

/// Those alone that came after the one with this number, such as `0003`. The caller holds the lock.
pub(crate) fn down_to<C, D>(conn: &mut C, all: &EmbeddedMigrations, last: &str) -> Result<Vec<String>, Fault>
where
    C: MigrationHarness<D>,
    D: diesel::backend::Backend,
{
    refuse_newer(conn, all)?;
    let known = MigrationSource::<D>::migrations(all).map_err(failed)?;
    let mut done = vec![];
    // Newest first.
    for version in conn.applied_migrations().map_err(failed)? {
        let migration = known.iter().find(|known| known.name().version() == version);
        if let Some(migration) = migration.filter(|_| version.to_string().as_str() > last) {
            conn.revert_migration(migration.as_ref()).map_err(failed)?;
            done.push(version.to_string());
        }
    }
    Ok(done)
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> Fault {
    Fault::Refused(Error::corrupt("a migration failed", error))
}
