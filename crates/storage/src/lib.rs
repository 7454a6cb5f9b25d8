//! # The tables
//!
//! Everything that must survive a restart, on SQLite (a file, nothing to configure) or PostgreSQL (any number of
//! servers beside each other), chosen by the URL when the program starts.
//!
//! This crate must never know why something is written: which release a promotion ends, what a failed
//! installation means and who may do what is decided in `tidegate-domain` and above. It runs those pure rules
//! *inside* its transactions ([`Store::change_track`], [`Store::record_reports`]), because a rule that looked at
//! the data before the transaction began has looked at something else.
//!
//! Nobody else knows the tables: rows and diesel's types never leave, and its errors become [`Error`] at the end
//! of every query.
//!
//! **How one body of queries serves two engines.** `queries/` is compiled twice, as a child of `sqlite.rs` and of
//! `postgres.rs`, each of which brings its connection type and the few statements that only it has. So every
//! query is written once, is checked against both engines by the compiler, and runs without dynamic dispatch.
//! diesel's own `MultiConnection` was left aside because it has no upserts and no `RETURNING`. Columns use only
//! types that both engines share: times are microseconds in a `BIGINT`, JSON is text.
//!
//! **How writers queue.** SQLite has one writer, so one connection writes, and all that want to write wait for it
//! in the order they came; readers have a pool of their own and see the last committed state. On PostgreSQL both
//! are the same pool. There every transaction takes its row locks in one order, so that no two wait for each other:
//!
//! 1. devices, by name; after them what was imported of them, and enrolment tokens with their hours
//! 2. statistics, by build; a build's row guards its hours and the rows of its rollouts; after them the counts of gates.
//!    Members of a gate are their devices'; whoever looks for the silent ones waits for none of them
//! 3. deliveries, campaigns and their counts; tags with their counts
//! 4. patches; epochs
//! 5. people, service accounts and admin tokens, whose changes raise their epoch first: so they come one after the
//!    other, and no two of them remove the last admin
//! 6. the audit chain
//!
//! A deadlock or serialisation failure that happens all the same is tried again a few times.
//!
//! **Behind a pooler.** One that hands out connections by the transaction is found at the start, or named by a setting.
//! Then nothing is left in a session: statements have no names, limits are set in each transaction, and no query runs
//! outside of one. Locks that outlive a transaction are taken nowhere.
//!
//! **TLS.** libpq has none of its own here; a tunnel in front of it has (`tunnel.rs` says why).
//!
//! **The record.** Audit entries and accounts bear MACs, so that it shows when somebody else wrote them (`record.rs`).
//!
//! **A full disk.** With SQLite, room is set aside that only urgent writes get (`reserve.rs`).
//!
//! **Committed means durable.** SQLite runs in WAL mode with `synchronous=FULL`. A method that returned `Ok` has
//! committed.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test may look at any clock")
)]
#![allow(
    clippy::duplicate_mod,
    reason = "`queries` is compiled once for each engine, see above"
)]

mod accounts;
mod activity;
mod admin_tokens;
mod audiences;
mod audit;
mod builds;
mod calendars;
mod campaigns;
mod catalog;
mod census;
mod certificates;
mod chain;
mod condition;
mod deliveries;
mod device_build;
mod device_columns;
mod device_filter;
mod device_timeline;
mod devices;
mod enrollment;
mod error;
mod experiments;
mod failures;
mod forecasts;
#[cfg(feature = "testing")]
mod gate_observation;
mod gate_readings;
mod gate_tally;
mod gates;
mod imports;
mod leases;
mod made;
mod migrations;
mod minutes;
mod overdue;
mod packages;
mod page;
mod patch_reach;
mod patches;
mod policies;
mod pool;
mod postgres;
mod postgres_url;
mod reasons;
mod record;
mod reports;
mod reserve;
mod restorations;
mod retention;
mod retirement;
mod rollouts;
mod rows;
mod schema;
mod servers;
mod service_accounts;
mod settings;
mod sqlite;
mod standing;
mod stats;
mod store;
mod tags;
mod tally;
mod time;
mod tunnel;
mod users;

pub use accounts::{AccountChanges, SERVICE_PREFIX, service_subject};
pub use activity::{Activity, ActivityOutcome, Checks, Seen, Standing};
pub use admin_tokens::{AdminToken, NewAdminToken, TOKENS_KEPT_FOR};
pub use audiences::{FleetExtent, FleetPart, MAX_AUDIENCE_EXAMPLES, MAX_FLEET_PART};
pub use audit::{Actor, AuditEntry, AuditFilter, AuditNote, Broken};
pub use builds::{BuildEdit, BuildFilter, Deleted};
pub use calendars::{CalendarChange, StoredCalendar};
pub use campaigns::{
    ANSWER_MARGIN, Campaign, FOLLOWED_FOR, FailedDelivery, MAX_LIVE_CAMPAIGNS, NewCampaign, Progress,
};
pub use catalog::Epochs;
pub use census::{Census, MAX_CENSUS_ROWS, MAX_VERSIONS_KEPT, PackageCensus, VersionCensus, VersionHour};
pub use condition::{Condition, MAX_TAKEN_BACK, TakenBack};
pub use deliveries::{Answered, Claim, Claimed, DeliveryOutcome, MAX_CLAIM, Outcome, Recorded};
pub use device_columns::{LastOutcome, VersionNames};
pub use device_filter::{
    CountBound, DeviceCount, DeviceFilter, DeviceSort, FailureFate, MAX_CANDIDATES, MAX_COUNTED, Trouble,
};
pub use device_timeline::{DeviceEvent, DeviceHappening, MAX_TIMELINE_PAGE, NamedBuild};
pub use devices::{BuildOnDevice, MAX_DEVICE_BUILDS, RolloutOnDevice};
pub use enrollment::{
    EnrollCredential, EnrollToken, Enrolled, EnrolledAs, Enrollment, Grouped, MAX_NOTED_REFUSALS,
    MAX_PREVIOUS_TOKEN_TRIES, NewEnrollToken, PREVIOUS_TOKEN_WINDOW, PreviousToken,
};
pub use error::{Error, TokenFault};
pub use experiments::{ExperimentChanged, ExperimentFilter, ExperimentWithArms};
pub use failures::{BuildFailures, FailureReason, MAX_FAILURE_REASONS, MAX_FAILURES_COUNTED};
pub use forecasts::ForecastOrder;
#[cfg(feature = "testing")]
pub use gate_observation::{GateLooks, GateObservation};
pub use gate_readings::{GateEvidence, MAX_GATE_READINGS};
pub use gates::{
    GateAtHand, GateFailures, GateJudged, GateLook, GateQuestion, GatesLooked, KnownMember, MAX_TREATED,
};
pub use imports::{DeviceImport, ImportOutcome, ImportedDevice};
pub use minutes::{BuildMinute, MINUTES_KEPT, VersionMinute};
pub use overdue::{MAX_OVERDUE_DEVICES, OverdueCounts};
pub use packages::{Package, PackageEdit};
pub use page::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Page, Paged};
pub use patches::{MAX_PATCH_ATTEMPTS, Patch, PatchCounted, PatchEnd, PatchJob, PatchStats, StalePatch};
pub use policies::{PolicyChange, PolicyFilter};
pub use pool::PoolUse;
pub use reasons::{MAX_REASONS, ReasonCount};
pub use record::{MAX_TAMPERED, RecordKey, Sealed, Tampered, WrappedKey};
pub use reports::{Fetched, NewDownload, NewReport, Refusal, RejectionChange, ReportOutcome};
pub use reserve::Disk;
pub use restorations::{GENERATIONS_SKIPPED, NUMBERS_SKIPPED, Restoration};
pub use retention::Removed;
pub use retirement::{InactiveCursor, Marked};
pub use rollouts::{
    Attempts, BuildRollout, MAX_PACKAGE_EVENTS, PackageEvent, RolloutEvent, RolloutFilter, TrackChange,
};
pub use servers::{HEARTBEAT_EVERY, HEARTBEAT_FRESH_FOR, MAX_SERVERS_LISTED, ServerHeartbeat};
pub use service_accounts::{MAX_SERVICE_ACCOUNTS, MAX_TOKENS_PER_ACCOUNT, NewServiceAccount, ServiceAccount};
pub use settings::{MAX_POOL_SIZE, Settings};
pub use standing::Told;
pub use stats::{BuildStats, HourOfStats, MAX_ROLLOUTS_OF_BUILD, MAX_STAT_HOURS, RolloutStats};
pub use store::Store;
pub use tags::{TagCount, TagCursor, Tagged};
pub use users::{User, UserChange};
