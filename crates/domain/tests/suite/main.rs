//! The rules, told as a fleet and its operator meet them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod above_base;
mod agreement;
mod approval;
mod audience;
mod audience_text;
mod audience_truth;
mod barriers;
mod bounds;
mod calendars;
mod cohort;
mod concurrent;
mod decision;
mod device_build;
mod enrolment;
mod experiments;
mod explanation;
mod facts;
mod fleet;
mod forced;
mod forecast;
mod gate;
mod ids;
mod install_terms;
mod nudge;
mod patches;
mod pinned;
mod plans;
mod policies;
mod preflight;
mod property;
mod report;
mod rollback;
mod slices;
mod small_print;
mod states;
mod store;
mod track;
mod values;
mod verbs;
mod windows;
