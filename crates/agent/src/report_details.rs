//! What the agent says in a report, and how it queues one.

use chrono::{DateTime, Utc};
use tidegate_domain::{DeferReason, MAX_MESSAGE_BYTES, Report, ReportStatus};

use crate::agent_state::AgentState;
use crate::outbox::Outgoing;
use crate::protocol::{Manifest, ReportBody};

/// What a report says beside which update it is about.
#[derive(Clone, Copy)]
pub(crate) struct ReportDetails<'a> {
    pub status: ReportStatus,
    pub reason: &'a str,
    pub android_status: Option<i32>,
    pub message: &'a str,
}

impl<'a> ReportDetails<'a> {
    pub(crate) fn new(status: ReportStatus, reason: &'a str) -> Self {
        Self {
            status,
            reason,
            android_status: None,
            message: "",
        }
    }
}

impl AgentState {
    /// Puts a report into the outbox, and draws the conclusions about the file that the server will draw.
    pub(crate) fn report(&mut self, job: &Manifest, details: ReportDetails<'_>, now: DateTime<Utc>) {
        let request_id = self.next_id();
        let report = Report {
            build: job.build_id,
            status: details.status,
            reason: Some(details.reason.to_owned()).filter(|reason| !reason.is_empty()),
            android_status: details.android_status,
            message: Some(shortened(details.message)).filter(|message| !message.is_empty()),
            retry_generation: job.attempt,
            request_id: Some(request_id.clone()),
        };
        self.files.take(job.sha256, &report, now);
        let origin = job.origin();
        self.outbox.push(Outgoing::Report(ReportBody {
            build_id: report.build,
            status: report.status,
            reason: report.reason,
            android_status: report.android_status,
            message: report.message,
            attempt: report.retry_generation,
            request_id,
            rollout_id: origin.rollout_id,
            offer: origin.offer,
            patch: self.patches.outcome(job).filter(|_| !job.patch.is_absent()),
        }));
    }

    /// Reports that an update is deferred, once for each reason.
    pub(crate) fn report_deferral(&mut self, job: &Manifest, reason: DeferReason, now: DateTime<Utc>) {
        if self.files.defer(job, reason) {
            self.report(
                job,
                ReportDetails::new(ReportStatus::Deferred, reason.as_str()),
                now,
            );
        }
    }
}

/// The text, cut to the length that a report's message may have.
fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_domain::{BuildId, DeviceBuild, TERMINAL_REASONS};

    use super::*;

    const FILES: u8 = 4;
    const ATTEMPTS: u32 = 4;

    /// What the server makes of a message: it knows no more than what was sent.
    fn received(message: &Outgoing) -> Report {
        let Outgoing::Report(sent) = message else {
            panic!("{message:?} is no report")
        };
        Report {
            build: sent.build_id,
            status: sent.status,
            reason: sent.reason.clone(),
            android_status: sent.android_status,
            message: sent.message.clone(),
            retry_generation: sent.attempt,
            request_id: Some(sent.request_id.clone()),
        }
    }

    #[derive(Clone, Debug)]
    struct Event {
        file: u8,
        attempt: u32,
        status: ReportStatus,
        reason: &'static str,
        android_status: Option<i32>,
        minutes: i64,
    }

    fn events() -> impl Strategy<Value = Event> {
        let mut reasons = TERMINAL_REASONS.to_vec();
        reasons.extend([
            "",
            "",
            "sha256_mismatch",
            "check_failed",
            "storage",
            "not_there",
            "timeout",
            "in_call",
        ]);
        // Failures that may pass are the usual ones, so that budgets are used up.
        let status = prop_oneof![3 => Just(ReportStatus::InstallFailed), 2 => prop::sample::select(&ReportStatus::ALL[..])];
        let reason = prop_oneof![4 => Just("storage"), 1 => prop::sample::select(reasons)];
        let android_status = prop_oneof![4 => Just(Some(6)), 1 => proptest::option::of(-1..10_i32)];
        (
            0..FILES,
            0..ATTEMPTS,
            status,
            reason,
            android_status,
            0..1_000_i64,
        )
            .prop_map(|(file, attempt, status, reason, android_status, minutes)| Event {
                file,
                attempt,
                status,
                reason,
                android_status,
                minutes,
            })
    }

    #[test]
    fn a_grant_is_heeded_once_however_often_the_offer_is_repeated() {
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let conflict = || ReportDetails {
            android_status: Some(5),
            ..ReportDetails::new(ReportStatus::InstallFailed, "conflict")
        };
        let mut agent = AgentState::new(now);
        agent.report(&Manifest::of_file(1, 1), conflict(), now);
        assert!(agent.files.has_given_up(&Manifest::of_file(1, 1), now));

        let mut granted = Manifest::of_file(1, 1);
        granted.retry_granted_at = Some(now);
        agent.files.heed_grant(&granted);
        assert!(!agent.files.has_given_up(&granted, now));
        agent.report(&granted, conflict(), now);
        agent = AgentState::from_bytes(&agent.to_bytes()).unwrap();
        agent.files.heed_grant(&granted);
        assert!(
            agent.files.has_given_up(&granted, now),
            "it tried once for this grant"
        );

        granted.retry_granted_at = Some(now + chrono::TimeDelta::hours(1));
        agent.files.heed_grant(&granted);
        assert!(!agent.files.has_given_up(&granted, now));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The agent over its state file, the server over what it received: after each report they agree on every file
        /// and attempt.
        #[test]
        fn agent_and_server_agree_on_what_the_device_has_given_up(
            events in proptest::collection::vec(events(), 1..60)
        ) {
            let mut now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
            let mut agent = AgentState::new(now);
            let mut server = vec![DeviceBuild::default(); usize::from(FILES)];
            for event in events {
                now += chrono::TimeDelta::minutes(event.minutes);
                let details = ReportDetails {
                    android_status: event.android_status,
                    ..ReportDetails::new(event.status, event.reason)
                };
                agent.report(&Manifest::of_file(event.file, event.attempt), details, now);
                let report = received(agent.outbox.first().unwrap());
                agent.outbox.remove_first();
                prop_assert_eq!(report.build, BuildId(event.file.into()));
                server[usize::from(event.file)].take(&report, now);
                agent = AgentState::from_bytes(&agent.to_bytes()).unwrap();
                for file in 0..FILES {
                    for attempt in 0..=ATTEMPTS {
                        let agent_says = agent.files.has_given_up(&Manifest::of_file(file, attempt), now);
                        let rejection = server[usize::from(file)].rejection;
                        let server_says = rejection.is_some_and(|rejection| rejection.applies_to(attempt, now));
                        prop_assert_eq!(agent_says, server_says, "file {} attempt {}", file, attempt);
                    }
                }
            }
        }
    }
}
