//! # The rules of a fleet's updates
//!
//! This crate decides which device is offered which build, and what an operator's verbs do to a release. It is
//! the part of Tidegate that must never be wrong, so it is a crate of its own that can be read and tested as a whole:
//! it has no I/O, no async, no clock, no randomness and no logging. The time, ids and everything known about a device
//! come in as arguments, and a rule's answer depends on nothing else.
//!
//! It must never know how a build is stored, how a poll arrives, or who is allowed to ask. That is what lets other
//! services embed it: a backend that knows the catalog can answer "would this device be offered that build, and
//! why?" without talking to a server.
//!
//! ```
//! use tidegate_domain::{Position, Percent, cohort};
//!
//! assert_eq!(cohort("abc123"), 22);
//! assert!(!Position::of("abc123", None).is_within(Percent::new(22)?));
//! assert!(Position::of("abc123", None).is_within(Percent::new(23)?));
//! # Ok::<(), tidegate_domain::Error>(())
//! ```
//!
//! - [`decide`] and [`explain`]: the poll's answer and the chain of rules behind it, over a [`Catalog`].
//! - [`PolicySet`], [`Overlay`]: what holds devices back whatever a rollout says, and the tags that it asks for.
//! - [`Track`]: promote, adjust, pause, resume, roll back, as transitions that return a [`Change`].
//! - [`Experiment`]: builds tried side by side, each a rollout on a slice of its own.
//! - [`Plan`]: the steps by which a rollout's share grows by itself; [`Approval`]: what waits for a second person.
//! - [`Audience`]: whom a rollout addresses, as an expression.
//! - [`Calendar`], [`CompiledCalendars`]: when devices may be reached, and the moments worked out from it.
//! - [`CampaignState`], [`DeliveryFailure`]: the states of a nudge campaign, and why a command was not delivered.
//! - [`DeviceBuild`]: what a device's [`Report`] about a build means for further offers. Server and agent both use it.
//! - [`KnownDevice`]: who may enrol an id that is known already.
//! - [`forecast`]: what a rollout would do that nobody has made yet.
//! - [`gate`]: whether a release goes on, by what its devices show.
//! - [`preflight`]: the safety rules that a device asks before it fetches and before it installs.
//! - [`wanted_patches`]: which patches a fleet is worth; [`PatchOutcome`]: what became of them on devices.
//! - [`Position`], [`DeviceId`], [`Percent`] and the other values, parsed once at the edge.

mod approval;
mod audience;
mod build;
mod calendar;
mod catalog;
mod change;
mod cohort;
mod decision;
mod device;
mod device_build;
mod digest;
mod enrolment;
mod error;
mod experiment;
pub mod forecast;
pub mod gate;
mod ids;
mod install_terms;
mod installability;
mod limits;
mod nudge;
mod patch;
mod plan;
mod policy;
mod poll;
mod preflight;
mod reason;
mod report;
mod role;
mod rollout;
mod share;
mod stats;
mod tag;
mod tag_index;
mod track;
mod visible;

pub use approval::{Approval, ApprovalRequest, Approved, ChangeRequest, Consent};
pub use audience::{
    Audience, Clause, MAX_AUDIENCE_CHARS, MAX_AUDIENCE_DEPTH, MAX_AUDIENCE_ENTRIES, MAX_AUDIENCE_NODES,
    Subject,
};
pub use build::{Build, BuildFacts, BuildSteps, Provenance, SignerRange, Signers};
pub use calendar::{
    Calendar, CalendarName, CalendarTerms, CalendarZone, CompiledCalendars, Freeze, MAX_CALENDAR_NAME_BYTES,
    MAX_CALENDARS, MAX_FREEZES, MAX_TOLD_OPENINGS, MAX_WINDOWS, OPENINGS_AHEAD, Opening, Openings, Window,
    YearDay, ZoneName, clock_text,
};
#[cfg(feature = "calendars")]
pub use calendar::{MAX_PREVIEW_DAYS, Zone, openings};
pub use catalog::Catalog;
pub use change::{By, Change, OfferFacts, Promotion, Resume, RolloutDraft, RolloutEdit, Which};
pub use cohort::{MAX_SALT_BYTES, Position, cohort};
pub use decision::{
    Again, BuildRejection, Decision, Explanation, Offer, PollDecision, PollRequest, Step, decide,
    decide_until, explain,
};
pub use device::{
    Device, DeviceFacts, MAX_ATTRIBUTE_BYTES, MAX_FCM_TOKEN_BYTES, MAX_TAGS, TERMS_SINCE_PROTOCOL,
};
pub use device_build::{
    Capacity, Consequence, DeviceBuild, LastReport, MAX_NEWS_PER_BUILD, MAX_REPORTS_PER_BUILD, Milestones,
    Rejection,
};
pub use digest::{Sha256, SignerFingerprint};
pub use enrolment::{EnrolmentProof, EnrolmentVerdict, KnownDevice, LOST_ANSWER_WINDOW};
pub use error::Error;
pub use experiment::{
    ArmDraft, ArmFacts, Conclusion, ConclusionDraft, DEFAULT_EXPERIMENT_PRIORITY, Experiment,
    ExperimentChange, ExperimentDraft, ExperimentFacts, ExperimentSpec, ExperimentStart, MAX_ARMS, MIN_ARMS,
    Winner,
};
pub use ids::{
    BuildId, CampaignId, DeviceId, ExperimentId, MAX_DEVICE_ID_BYTES, MAX_PACKAGE_NAME_BYTES, PackageName,
    RolloutId, SdkLevel, VersionCode,
};
pub use install_terms::{InstallCondition, InstallTerms, InstallTermsEdit};
pub use installability::{Finding, Installability, Levels};
pub use limits::{Limits, MAX_LIMITED_PACKAGES, Verb};
pub use nudge::{
    ActionResult, CampaignState, DEFAULT_NUDGE_PRIORITY, DEFAULT_NUDGE_TTL, DeliveryFailure,
    MAX_ACTION_BYTES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_NAMED_DEVICES, MAX_NUDGE_TTL, MAX_OUTCOME_BYTES,
    NudgeAudience, NudgeOrder, Priority,
};
pub use patch::{
    COVERED_PERCENT, MAX_PATCH_FORMATS_BYTES, MAX_PATCH_PERCENT, PATCH_FORMAT, PatchOutcome, PatchReach,
    PatchState, WantedPatch, patch_targets, wanted_patches,
};
pub use plan::{
    Coming, DevicesPerHour, MAX_SPAN, MAX_STEPS, Phase, Plan, PlanRun, PlanStep, Progress, Span, Stage,
};
pub use policy::{
    Hold, MAX_POLICIES, MAX_POLICIES_PER_SUBJECT, MAX_REMARK_BYTES, Overlay, Policy, PolicyId, PolicySet,
    PolicySpec, PolicySubject, PolicyTerms, check_tag_count,
};
pub use poll::{poll_after, poll_after_change, poll_often};
pub use preflight::{
    Conditions, DeferReason, LOOK_AGAIN, LOOK_AGAIN_SOON, MIN_BATTERY_PERCENT, MIN_FREE_BYTES, Network,
    UpdateNeeds, look_again_after, preflight,
};
pub use reason::Reason;
pub use report::{
    MAX_MESSAGE_BYTES, MAX_REASON_BYTES, MAX_REQUEST_ID_BYTES, REJECTION_COOL_DOWN_HOURS, RETRY_BUDGET,
    Report, ReportStatus, TERMINAL_REASONS,
};
pub use role::Role;
pub use rollout::{
    MAX_PRIORITY, MAX_ROLLOUT_NAME_BYTES, Release, Rollout, RolloutCalendars, RolloutSettings, RolloutSpec,
    RolloutState,
};
pub use share::{Percent, Share, Slice};
pub use stats::DeploymentStats;
pub use tag::{MAX_TAG_BYTES, MAX_TAG_NAMES, MAX_TAGGED_AT_ONCE, MAX_TAGS_PER_DEVICE, Tag};
pub use track::{KnownSigners, MAX_SERVING, Track};
pub use visible::check_visible;
