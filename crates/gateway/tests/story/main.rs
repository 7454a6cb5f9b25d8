//! The operator's and the device's day, told to the very server that operators run, on SQLite and on PostgreSQL.
//!
//! One file for each part of the day. Every story has a server of its own with a clock that only it moves, and
//! nothing is called but what the network offers. A story that ends in a refusal also looks at what must not have
//! changed.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]
#![expect(
    clippy::print_stdout,
    reason = "shown beside a story that fails, or when asked for"
)]

/// Tells each story twice: once on each database engine.
macro_rules! on_both_engines {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() {
                super::$story(tidegate_testkit::server::Engine::Sqlite).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $story() {
                super::$story(tidegate_testkit::server::Engine::Postgres).await;
            })+
        }
    };
}

mod approval;
mod audiences;
mod audit;
mod behind;
mod bucket;
mod calendars;
mod calendars_page;
mod clients;
mod comparison;
mod conditions;
mod credentials;
mod devices;
mod downloads;
mod durability;
mod enrolment;
mod event_log;
mod experiments;
mod fields;
mod fleet;
mod forecast;
mod frames;
mod full_disk;
mod gates;
mod grpc;
mod grpc_edge;
mod http;
mod identity;
mod leaving;
mod letting_go;
mod manifest;
mod metrics;
mod nudge_answers;
mod nudge_sending;
mod nudges;
mod nudges_unconfigured;
mod openapi;
mod packages;
mod patches;
mod paths;
mod people;
mod plans;
mod policies;
mod progressive;
mod proxies;
mod rate;
mod read_on;
mod reasons;
mod replicas;
mod reports;
mod rollback;
mod rollout;
mod rollouts_page;
mod standings;
mod step_nudges;
mod strangers;
mod uploads;
