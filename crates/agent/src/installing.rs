//! Installing: asks the safety rules a last time and the rollout's terms, then Android.

use chrono::{DateTime, Utc};
use tidegate_domain::ReportStatus;

use crate::agent::Agent;
use crate::agent_state::State;
use crate::deadline::Deadline;
use crate::platform::{InstallOutcome, Installation, STATUS_SUCCESS};
use crate::protocol::Manifest;
use crate::report_details::ReportDetails;
use crate::{Error, Platform, StateStore, Transport};

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn install(&mut self, job: &Manifest, now: DateTime<Utc>) -> Result<(), Error> {
        let package = self.config.package.clone();
        let installed = self.platform.installed_version(&package);
        if installed == Some(job.version_code) {
            return self.installed(job);
        }
        if self.verified != Some(self.expected_apk(job)) {
            // Another file was verified, or the installed app was replaced since.
            return self.change(|saved| saved.state = State::Verifying { job: job.clone() });
        }
        if self.is_poll_due(now) {
            return self.poll_again(now);
        }
        let downgrade = installed.is_some_and(|installed| installed > job.version_code);
        if downgrade && !(job.force_downgrade && self.platform.can_downgrade()) {
            // Somebody installed a newer version since the poll. The server may have another offer for it.
            let now = self.platform.clock();
            return self.change(|saved| {
                saved.poll_at = Deadline::now(now);
                saved.state = State::Idle;
            });
        }
        if let Err(reason) = self.permission(job) {
            return self.defer(job, reason);
        }
        if self.doubts_clock(job) {
            let now = self.platform.clock();
            self.change(|saved| saved.poll_at = Deadline::now(now))?;
            return self.poll_again(now);
        }
        if let Some(hold) = self.hold(job) {
            return self.defer_for(job, hold);
        }
        let file = self.store.file()?;
        let outcome = self
            .platform
            .install(Installation {
                package: &package,
                version: job.version_code,
                file: &file,
                downgrade,
            })
            .await;
        let there = self.platform.installed_version(&package) == Some(job.version_code);
        match (outcome.status == STATUS_SUCCESS, there) {
            (true, true) => self.installed(job),
            (true, false) => {
                let detail = "Android reported success, and the version is not installed";
                let outcome = InstallOutcome::failure(1, detail);
                self.not_installed(job, &outcome, "not_there")
            }
            (false, _) => self.not_installed(job, &outcome, outcome.reason()),
        }
    }

    /// Android installed it. This is reported once, since the same change of the state ends the update.
    pub(crate) fn installed(&mut self, job: &Manifest) -> Result<(), Error> {
        tracing::info!(build = job.build_id.0, version = %job.version_code, "an update is installed");
        let now = self.platform.clock();
        let device = self.config.device.clone();
        let details = ReportDetails {
            android_status: Some(STATUS_SUCCESS),
            ..ReportDetails::new(ReportStatus::InstallSuccess, "")
        };
        self.change(|saved| {
            saved.partial = None;
            saved.report(job, details, now);
            saved.answer_nudges(&device, "installed", now);
            saved.finish(None, now);
        })?;
        self.verified = None;
        Ok(self.store.truncate(0)?)
    }

    /// Android refused it. The file is kept for another try, unless the agent has given it up.
    fn not_installed(&mut self, job: &Manifest, outcome: &InstallOutcome, reason: &str) -> Result<(), Error> {
        tracing::warn!(
            build = job.build_id.0,
            status = outcome.status,
            message = outcome.message,
            "an update was not installed"
        );
        let now = self.platform.clock();
        let device = self.config.device.clone();
        let details = ReportDetails {
            android_status: Some(outcome.status),
            message: &outcome.message,
            ..ReportDetails::new(ReportStatus::InstallFailed, reason)
        };
        self.change(|saved| {
            saved.report(job, details, now);
            saved.answer_nudges(&device, "failed", now);
            saved.try_again_soon(job, now);
            saved.finish(None, now);
        })?;
        if self.saved.files.has_given_up(job, now) {
            self.discard_file()?;
        }
        Ok(())
    }
}
