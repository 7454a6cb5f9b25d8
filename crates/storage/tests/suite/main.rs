//! What storage promises, told once and run on both engines.
#![allow(
    clippy::unwrap_used,
    reason = "a story that goes wrong is to stop where it does"
)]

mod activity;
mod audiences;
mod audit;
mod builds;
mod calendars;
mod campaigns;
mod catalog;
mod changes;
mod conditions;
mod deleted_builds;
mod deliveries;
mod device_filters;
mod device_timeline;
mod devices;
mod enrollment;
mod enrollment_groups;
mod experiments;
mod facts;
mod fleet;
mod forecasts;
mod full_disk;
mod gate_counts;
mod gate_judgement;
mod gate_members;
mod gate_resumption;
mod imports;
mod kept_names;
mod minutes;
mod offers;
mod opening;
mod overdue;
mod packages;
mod patches;
mod people;
mod place;
mod plans;
mod policies;
mod pooler;
mod recipients;
mod record;
mod report_bounds;
mod reports;
mod restorations;
mod retention;
mod retirement;
mod rollouts;
mod samples;
mod schema;
mod servers;
mod statements;
mod tags;
mod tls;
mod users;

/// Runs each story on an empty SQLite file, on an empty PostgreSQL database, and on one behind PgBouncer.
macro_rules! on_both_engines {
    ($($story:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $story() {
                    super::$story(&$crate::place::Place::sqlite()).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $story() {
                    super::$story(&$crate::place::Place::postgres(stringify!($story))).await;
                }
            )*
        }
        mod pooled {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $story() {
                    super::$story(&$crate::place::Place::pooled(stringify!($story))).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_engines;
