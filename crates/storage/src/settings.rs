//! Where the database is, and how long to wait for it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::postgres_url::PostgresUrl;

/// The most connections that a store may be told to keep.
pub const MAX_POOL_SIZE: u32 = 128;

/// Where the database is, and how long to wait for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `sqlite:///absolute/path`, `sqlite://relative/path`, a bare path, or `postgres://user:password@host/name`, with
    /// libpq's parameters. TLS is `sslmode` (`require`, `verify-ca` or `verify-full`) and `sslrootcert` (a PEM file, or
    /// `system`).
    pub url: String,
    /// Connections to keep at most, 1 to [`MAX_POOL_SIZE`]. SQLite keeps one more, its only writer.
    pub pool_size: u32,
    /// How long to wait for a connection, for another process's lock and for PostgreSQL to answer.
    pub busy_timeout: Duration,
    /// Whether a PostgreSQL on another machine may be reached without TLS.
    pub plaintext: bool,
    /// Whether a pooler stands before PostgreSQL that hands connections out by the transaction, such as PgBouncer.
    /// `false`: it is tried out when the database is opened.
    pub pooled: bool,
    /// How much of SQLite's disk is kept for urgent writes when it is full, in bytes; 0 for nothing.
    pub reserve_bytes: u64,
}

impl Settings {
    /// A database with the defaults: 8 connections, a `busy_timeout` of 10 seconds, no reserve.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size: 8,
            busy_timeout: Duration::from_secs(10),
            plaintext: false,
            pooled: false,
            reserve_bytes: 0,
        }
    }

    pub(crate) fn check(&self) -> Result<Place, Error> {
        if !(1..=MAX_POOL_SIZE).contains(&self.pool_size) {
            return Err(Error::Settings(format!(
                "the database's pool_size must be from 1 to {MAX_POOL_SIZE}, not {}",
                self.pool_size
            )));
        }
        Place::parse(&self.url, self.plaintext)
    }
}

/// The URL may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &without_password(&self.url))
            .field("pool_size", &self.pool_size)
            .field("busy_timeout", &self.busy_timeout)
            .field("plaintext", &self.plaintext)
            .field("pooled", &self.pooled)
            .field("reserve_bytes", &self.reserve_bytes)
            .finish()
    }
}

/// What a URL points to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

impl Place {
    fn parse(url: &str, plaintext: bool) -> Result<Self, Error> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(PostgresUrl::parse(url, plaintext)?));
        }
        let path = url.strip_prefix("sqlite://").unwrap_or(url);
        if path.is_empty() || path.contains(":memory:") {
            return Err(Error::Settings(
                "database_url must name a file: each connection to a SQLite database in memory sees another one"
                    .into(),
            ));
        }
        // `file:` would be taken by SQLite itself, with parameters that undo what is set below.
        // `host=… password=…` and `postgres:…@…` are other spellings of PostgreSQL's, which must not become files.
        let is_path = !path.contains("://") && !path.contains(['=', '@']);
        if !is_path
            || ["file:", "sqlite:", "postgres:", "postgresql:"]
                .iter()
                .any(|kind| path.starts_with(kind))
        {
            return Err(Error::Settings(
                "database_url is of an unknown kind: it must be sqlite:///PATH, a path without '=' and '@', or \
                 postgres://USER:PASSWORD@HOST/NAME"
                    .into(),
            ));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.split('?').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> String {
        match Settings::new(url).check() {
            Err(Error::Settings(fault)) => fault,
            other => panic!("{url}: {:?}", other.map(|_| ())),
        }
    }

    #[test]
    fn a_url_chooses_the_engine() {
        let sqlite = |url: &str, path: &str| {
            assert!(
                Settings::new(url).check() == Ok(Place::Sqlite(path.into())),
                "{url}"
            );
        };
        sqlite("sqlite:///var/lib/tidegate/db", "/var/lib/tidegate/db");
        sqlite("sqlite://data/db", "data/db");
        sqlite("data/tidegate.db", "data/tidegate.db");
        let Ok(Place::Postgres(url)) = Settings::new("postgres://u:p@localhost/d?connect_timeout=1").check()
        else {
            panic!("not PostgreSQL");
        };
        assert_eq!(
            url.plain(),
            "postgres://u:p@localhost/d?connect_timeout=1&application_name=tidegate&hostaddr="
        );
    }

    #[test]
    fn what_cannot_work_is_refused_and_no_password_is_repeated() {
        for other in [
            "mysql://root:secret@host/db",
            "host=h password=secret",
            "postgres:ann:secret@host/db",
            "file:db?mode=secret",
        ] {
            assert!(fault(other).contains("unknown kind"), "{other}");
            assert!(!fault(other).contains("secret"), "{other}");
        }
        assert!(fault("sqlite://:memory:").contains("must name a file"));
        assert!(fault("").contains("must name a file"));
        let mut settings = Settings::new("postgres://ann:secret@host:5432/db?x=y");
        assert!(!format!("{settings:?}").contains("secret"));
        settings.pool_size = 0;
        assert!(settings.check().is_err());
    }
}
