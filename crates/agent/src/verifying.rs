//! Verifying: checks the file before it is installed.

use chrono::{DateTime, Utc};

use crate::agent::Agent;
use crate::agent_state::State;
use crate::expected_apk::ExpectedApk;
use crate::protocol::Manifest;
use crate::{Error, Platform, StateStore, Transport};

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn verify(&mut self, job: &Manifest, now: DateTime<Utc>) -> Result<(), Error> {
        let package = &self.config.package;
        if self.platform.installed_version(package) == Some(job.version_code) {
            // Android installed it, and then the power was lost or the agent itself replaced.
            return self.installed(job);
        }
        if self.is_poll_due(now) {
            return self.poll_again(now);
        }
        let expected = self.expected_apk(job);
        if expected.installed_signer.is_none() && self.platform.installed_version(package).is_some() {
            // This is not the same as no installed app, over which any signer may install. The file may be right.
            let detail = "the installed app's signer can't be read";
            return self.verification_failed(job, "check_failed", detail, false);
        }
        if self.verified.as_ref() == Some(&expected) {
            // It was verified before the last poll. If it were verified again after each poll, a large file would
            // never be installed where polls are frequent.
            return self.change(|saved| saved.state = State::Installing { job: job.clone() });
        }
        let (file, held_to) = (self.store.file()?, expected.clone());
        // Hashing a large file takes seconds, and others may share the runtime.
        let checked = tokio::task::spawn_blocking(move || held_to.check(&file)).await;
        match checked {
            Ok(Ok(None)) => {
                self.verified = Some(expected);
                self.change(|saved| saved.state = State::Installing { job: job.clone() })
            }
            Ok(Ok(Some(flaw))) => self.verification_failed(job, flaw.reason, &flaw.detail, true),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => self.verification_failed(job, "check_failed", "the check of the file crashed", true),
        }
    }

    /// What a job's file has to be, with the app that is installed now.
    pub(crate) fn expected_apk(&self, job: &Manifest) -> ExpectedApk {
        let package = &self.config.package;
        ExpectedApk {
            package: package.clone(),
            version_code: job.version_code,
            file_size: job.file_size,
            sha256: job.sha256,
            signer_fingerprint: job.signer_fingerprint,
            sdk: self.config.sdk,
            installed_signer: self.platform.installed_signer(package),
        }
    }
}
