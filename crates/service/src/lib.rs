//! # The use cases
//!
//! Everything that Tidegate does for a device or an operator, as functions over typed values: poll, report,
//! enrol, upload, promote, adjust, pause, resume, roll back, nudge, explain. This crate brings the rules of
//! `tidegate-domain` together with the database, the artifact store, the keys and the clock.
//!
//! It must never know a protocol. No header, message or route appears here; an [`Error`] says what kind of refusal
//! it is, and the protocol edge decides how that looks. That is why the surfaces can't differ. The one number that
//! two of them share, [`Kind::http_status`], stands beside the kinds.
//!
//! There is no "application" struct. Each use case's struct ([`Polls`], [`Uploads`], [`Rollouts`], …) holds only
//! what it needs, and only the binary that wires them sees all.
//!
//! What polls read ([`Snapshots`]) and what they leave behind ([`ActivityBuffer`]) is kept in memory; everything that
//! is answered as done has been committed.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test may look at any clock")
)]

mod accounts;
mod activity;
mod actor;
mod admin_tokens;
mod adoption;
mod apk_facts;
mod audiences;
mod audit;
mod authenticator;
pub mod background;
mod blob_check;
mod build_progress;
mod builds;
mod calendars;
mod clerk;
mod clock;
mod comparison;
mod counters;
mod credential_watch;
mod device_search;
mod device_timeline;
mod devices;
mod download;
mod download_slots;
mod enroll_tokens;
mod enrolment;
mod enrolment_groups;
mod error;
mod examination;
mod examiner;
mod experiments;
mod fleet;
mod from_below;
mod gate_arms;
mod gates;
mod imports;
mod login_throttle;
mod network;
mod nudges;
mod outdated_tokens;
mod overlays;
mod packages;
mod patches;
mod per_worker;
mod plan_numbers;
mod policies;
mod poll_pace;
mod polls;
mod provisioning;
mod readiness;
mod record;
mod reports;
mod restorations;
mod retention;
mod rollouts;
mod sender;
mod sent_bytes;
mod servers;
mod service_accounts;
mod settings;
mod signer_policy;
mod snapshots;
mod tags;
mod token_uses;
mod upload;
mod upload_form;
mod upload_pace;
mod user_changes;
mod users;
mod witness;

pub use activity::{ActivityBuffer, Decisions, MAX_BUFFERED_POLLS};
pub use actor::{Actor, Credential};
pub use admin_tokens::{AdminTokens, MadeToken};
pub use adoption::{Adoption, RolloutNumbers};
pub use audiences::{Audiences, Board, MAX_COUNTED_DEVICES, Reach};
pub use audit::{AuditLog, Walk};
pub use authenticator::Authenticator;
pub use blob_check::{BlobCheck, BlobFault, BlobFindings, MAX_FINDINGS};
pub use build_progress::BuildPoint;
pub use builds::{BuildStats, BuildView, Builds, MAX_STATS_HOURS};
pub use calendars::{Calendars, PREVIEW_DAYS, Preview};
pub use clerk::{CLERK, Clerk};
pub use clock::{Clock, DatabaseClock, SystemClock};
pub use comparison::{Changed, ChangedList, Comparison, MAX_COMPARED, PartSizes, UpdateFindings};
pub use counters::{BuildCounts, Counters, MAX_COUNTED_BUILDS, RemovedKind};
pub use credential_watch::{CredentialWatch, watch_credentials, watch_credentials_now};
pub use device_search::{DeviceQuery, MAX_SEARCH_BYTES};
pub use device_timeline::{DeviceTimeline, Happened, TimelineEntry};
pub use devices::{DeviceExplanation, DeviceState, DeviceView, Devices, SILENT_AFTER};
pub use download::{Download, Downloads, FileStream, REDIRECT_HOLDS};
pub use download_slots::DownloadSlots;
pub use enroll_tokens::{
    DEFAULT_ENROLL_TTL_DAYS, EnrollTokenSpec, IssuedEnrollToken, MAX_ENROLL_TTL_DAYS, MAX_ENROLL_USES,
};
pub use enrolment::{DEFAULT_ALLOWANCE, DeviceCredential, Enrolled, MAX_WAITING_MOVES, NewDevice};
pub use error::{Error, ExistingBuild, Kind};
pub use examiner::Examiner;
pub use experiments::{ArmView, ExperimentView, Experiments};
pub use fleet::{
    Coverage, Fleet, FleetConditions, FleetOverview, Leaving, MAX_COUNTED_OVERDUE, MAX_COUNTED_PACKAGES,
    MAX_LEAVING, MAX_VERSIONS_SHOWN, PackageConditions, PackageStandings, SliceCensus, VersionHistory,
    VersionPoint,
};
pub use gates::Gates;
pub use imports::{ImportReport, Imports, MAX_IMPORT_LINE_BYTES};
pub use login_throttle::{
    LOGIN_PAUSE_MINUTES, MAX_FAILURES_PER_ADDRESS, MAX_FAILURES_PER_BROWSER, MAX_FAILURES_PER_NAME,
};
pub use network::network;
pub use nudges::{
    CampaignWatch, MAX_WATCHERS, Nudged, Nudges, SETTLED_WITHIN, SMALL_CAMPAIGN, WATCHED_EVERY,
};
pub use packages::Packages;
pub use patches::{BuildPatches, OfferedPatch, PatchCoverage, PatchMaker, PatchSet, PatchSettings, Patches};
pub use per_worker::PerWorker;
pub use plan_numbers::{PlanNumbers, halted_gates, plan_numbers};
pub use policies::{HoldSpec, Policies, PolicyEdit};
pub use poll_pace::{MAX_POLL_STRETCH, PollPace};
pub use polls::{PatchOffer, Poll, PollAnswer, Polls, WARMING_UP_RETRY};
pub use provisioning::Provisioning;
pub use readiness::Readiness;
pub use record::open_record;
pub use reports::{
    MAX_QUEUED_REPORTS, MAX_REPORTS_PER_COMMIT, NewReport, ReportQueue, ReportWriter, Reports,
};
pub use restorations::Restorations;
pub use retention::{
    MIN_CAMPAIGNS_KEPT, MIN_REPORTS_KEPT, MIN_STAT_HOURS_KEPT, Retention, RetentionPass, RetentionSettings,
};
pub use rollouts::{
    Adjusted, Forecasts, GateView, MAX_FORECAST_FLEET, Promoted, RolledBack, Rollouts, Timeline,
};
pub use sender::{LOOK_EVERY, Sender, SenderSettings};
pub use sent_bytes::{MAX_RANGES_PER_DOWNLOAD, MAX_UNFINISHED_DOWNLOADS};
pub use servers::Servers;
pub use service_accounts::{DEFAULT_SERVICE_TTL_DAYS, NewServiceAccount, ServiceAccounts};
pub use settings::Settings;
pub use snapshots::Snapshots;
pub use tags::{TagChange, Tags};
pub use tidegate_artifacts::Witness;
pub use tidegate_signing::{BROWSER_DAYS, MAX_ADMIN_TTL_DAYS, RecordSecret};
pub use tidegate_storage::{
    AdminToken, AuditEntry, AuditFilter, Broken, BuildEdit, BuildFailures, BuildOnDevice, BuildRollout,
    Campaign, Condition, CountBound, DeviceCount, DeviceFilter, DeviceHappening, DeviceSort, EnrollToken,
    ExperimentFilter, FailedDelivery, FailureFate, FailureReason, GateEvidence, HourOfStats, LastOutcome,
    MAX_CANDIDATES, MAX_COUNTED, MAX_FAILURES_COUNTED, MAX_OVERDUE_DEVICES, MAX_PAGE_SIZE, NamedBuild,
    OverdueCounts, Package, PackageEdit, PackageEvent, Page, Paged, Patch, PatchStats, PolicyFilter, PoolUse,
    Progress, ReasonCount, Restoration, RolloutEvent, RolloutFilter, RolloutOnDevice, RolloutStats,
    SERVICE_PREFIX, Sealed, ServerHeartbeat, ServiceAccount, Standing, StoredCalendar, TagCount, Tagged,
    TakenBack, Tampered, Told, User, VersionNames,
};
pub use upload::{MAX_NOTES_BYTES, MAX_ORIGIN_BYTES, Upload, UploadNotes, Uploaded, Uploads};
pub use upload_form::{FormToken, STALE_FORM};
pub use upload_pace::{UPLOAD_GRACE, UploadPace};
pub use users::{LOGIN_HOURS, Login, LoginFrom, MAX_CONCURRENT_LOGINS, MAX_USER_NAME_BYTES, Users};
pub use witness::{WitnessFault, Witnessed, check_witness};
