//! What the release before this one wrote, and what its agents send: this server has to take both as they are.
//!
//! `data/previous/README.md` says how the data came about. A new release records them anew.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

/// Makes a test of each for SQLite and for PostgreSQL.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(tidegate_testkit::server::Engine::Sqlite).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(tidegate_testkit::server::Engine::Postgres).await;
            })+
        }
    };
}

mod agent;
mod answers;
mod likeness;
mod previous;
