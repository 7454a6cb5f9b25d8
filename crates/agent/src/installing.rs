//! Installing: the last look at the safety rules, and then Android's word.

use chrono::{DateTime, Utc};
use tidegate_domain::ReportStatus;

use crate::agent::Agent;
use crate::memory::{Said, State};
use crate::patience::Alarm;
use crate::platform::{InstallOutcome, Installation, STATUS_SUCCESS};
use crate::protocol::Manifest;
use crate::{Error, Platform, StateStore, Transport};

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn install(&mut self, job: &Manifest, now: DateTime<Utc>) -> Result<(), Error> {
        let package = self.config.package.clone();
        let installed = self.platform.installed_version(&package);
        if installed == Some(job.version_code) {
            return self.installed(job);
        }
        if self.verified != Some(self.promise(job)) {
            // Not this file, or not over this app: somebody may have replaced it meanwhile.
            return self.change(|memory| memory.state = State::Verifying { job: job.clone() });
        }
        if self.is_to_ask_again(now) {
            return self.ask_again(now);
        }
        let downgrade = installed.is_some_and(|installed| installed > job.version_code);
        if downgrade && !(job.force_downgrade && self.platform.can_downgrade()) {
            // Somebody installed a newer one meanwhile. The next poll tells whether that is right.
            let now = self.platform.clock();
            return self.change(|memory| {
                memory.poll_at = Alarm::now(now);
                memory.state = State::Idle;
            });
        }
        if let Err(reason) = self.permission(job) {
            return self.defer(job, reason);
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
                let detail = "the installer was content, and the version is not there";
                let outcome = InstallOutcome::failure(1, detail);
                self.not_installed(job, &outcome, "not_there")
            }
            (false, _) => self.not_installed(job, &outcome, outcome.reason()),
        }
    }

    /// It runs. This is said once for each installation, as the state leaves the update with it.
    pub(crate) fn installed(&mut self, job: &Manifest) -> Result<(), Error> {
        tracing::info!(build = job.build_id.0, version = %job.version_code, "an update is installed");
        let now = self.platform.clock();
        let device = self.config.device.clone();
        let said = Said {
            android_status: Some(STATUS_SUCCESS),
            ..Said::new(ReportStatus::InstallSuccess, "")
        };
        self.change(|memory| {
            memory.partial = None;
            memory.report(job, said, false, now);
            memory.answer_nudges(&device, "installed", now);
            memory.rest(None, now);
        })?;
        self.verified = None;
        Ok(self.store.truncate(0)?)
    }

    /// The file stays where a retry may end otherwise: it need not be fetched again.
    fn not_installed(&mut self, job: &Manifest, outcome: &InstallOutcome, reason: &str) -> Result<(), Error> {
        tracing::warn!(
            build = job.build_id.0,
            status = outcome.status,
            message = outcome.message,
            "an update was not installed"
        );
        let now = self.platform.clock();
        let device = self.config.device.clone();
        let said = Said {
            android_status: Some(outcome.status),
            message: &outcome.message,
            ..Said::new(ReportStatus::InstallFailed, reason)
        };
        self.change(|memory| {
            memory.report(job, said, false, now);
            memory.answer_nudges(&device, "failed", now);
            memory.try_again_soon(job, now);
            memory.rest(None, now);
        })?;
        if self.memory.has_given_up(job, now) {
            self.discard_file()?;
        }
        Ok(())
    }
}
