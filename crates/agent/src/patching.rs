//! Patching: decides between a patch and the whole file, and makes the file from the patch.
//!
//! A patch is tried once for each build and attempt. Whatever goes wrong with it, the whole file is taken, and the reports say
//! why.

use std::io;

use tidegate_apk::inflated_bytes;
use tidegate_domain::{DeferReason, PatchOutcome, Sha256, VersionCode};

use crate::agent::Agent;
use crate::agent_state::{Partial, State};
use crate::applying::{Application, Failure, StopOnDrop, failed};
use crate::deadline::Deadline;
use crate::downloading::Ending;
use crate::expected_apk::hash;
use crate::patch_history::InstalledBase;
use crate::patch_offer::PatchOffer;
use crate::platform::conditions;
use crate::protocol::{Manifest, takes_offers};
use crate::target::{PatchWay, Target};
use crate::{Error, Platform, StateStore, StoredFile, Transport};

/// After so many connections in a row that brought nothing, a patch is given up. The pauses between them make half an hour.
const MAX_FAULTS: u32 = 6;

/// An installed file whose directory can't be read is taken to inflate to so many times its size.
const ASSUMED_RATIO: u64 = 8;

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// Whether the server is told that this device applies patches.
    pub(crate) fn takes_patches(&self) -> bool {
        takes_offers(self.saved.server_protocol)
            && self.store.has_workbench()
            && self.platform.installed_apk(&self.config.package).is_some()
    }

    /// The shorter way to a job's file. That a patch is no way at all is noted for the reports.
    pub(crate) async fn choose(&mut self, job: &Manifest) -> Result<Target, Error> {
        let whole_file = Target::whole_file(job);
        let Some(offer) = job.usable_patch(self.config.allow_http) else {
            return Ok(whole_file);
        };
        let missing = job.file_size.saturating_sub(self.fetched(job));
        if !self.store.has_workbench() || self.saved.patches.has_failed(job) || missing <= offer.size {
            return Ok(whole_file);
        }
        let Some(apk) = self.platform.installed_apk(&self.config.package) else {
            return Ok(whole_file);
        };
        let Some(base) = self.base(offer, apk).await? else {
            return self.without_patch(job, PatchOutcome::BaseDiffers);
        };
        let target = Target::patch(offer, base.inflated);
        if !self.has_room(job, &target) && self.has_room(job, &whole_file) {
            return self.without_patch(job, PatchOutcome::NoSpace);
        }
        Ok(target)
    }

    /// Whether the storage rule allows it. What is here of the other way is deleted first.
    fn has_room(&self, job: &Manifest, target: &Target) -> bool {
        let here = self.fetched_of(target);
        let partial = self.saved.partial.as_ref();
        let other = partial.filter(|partial| partial.sha256 != target.sha256);
        let mut conditions = conditions(&self.platform);
        let freed = other.map_or(0, |other| other.synced);
        conditions.free_bytes = conditions.free_bytes.saturating_add(freed);
        !DeferReason::StorageLow.holds(&conditions, &target.needs(job, here))
    }

    fn without_patch(&mut self, job: &Manifest, outcome: PatchOutcome) -> Result<Target, Error> {
        tracing::info!(
            build = job.build_id.0,
            outcome = outcome.as_str(),
            "no patch is taken"
        );
        self.change(|saved| saved.patches.note(job, outcome))?;
        Ok(Target::whole_file(job))
    }

    /// The installed file, if the patch was made from it.
    async fn base(&mut self, offer: &PatchOffer, apk: StoredFile) -> Result<Option<InstalledBase>, Error> {
        let installed = self.platform.installed_version(&self.config.package);
        let Some(version_code) = installed.filter(|version| *version == offer.from_version_code) else {
            return Ok(None);
        };
        let known = self.saved.patches.base;
        let read = tokio::task::spawn_blocking(move || read_base(&apk, version_code, known)).await;
        let base = match read {
            Ok(Ok(base)) => base,
            // It may have been replaced just now. A file that can't be read is no base.
            Ok(Err(error)) => {
                tracing::warn!(%error, "the installed file can't be read");
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        self.change(|saved| saved.patches.base = Some(base))?;
        Ok(Some(base).filter(|base| base.sha256 == offer.from_sha256))
    }

    /// What the end of a connection says about the patch, if it is to be given up.
    pub(crate) fn lost_patch(&self, ending: &Ending, made_progress: bool) -> Option<(PatchOutcome, String)> {
        match ending {
            Ending::WrongSize(detail) => Some((PatchOutcome::Damaged, detail.clone())),
            // A poll brought a fresh URL already.
            Ending::UrlRefused if self.saved.url_refusals > 0 => {
                Some((PatchOutcome::DownloadFailed, "its URL is refused".to_owned()))
            }
            Ending::Cut(error, None) if !made_progress && self.saved.faults + 1 >= MAX_FAULTS => {
                Some((PatchOutcome::DownloadFailed, error.to_string()))
            }
            _ => None,
        }
    }

    /// Takes the whole file instead, and never tries this patch again.
    pub(crate) fn give_up_patch(
        &mut self,
        job: &Manifest,
        outcome: PatchOutcome,
        detail: &str,
    ) -> Result<(), Error> {
        tracing::warn!(
            build = job.build_id.0,
            outcome = outcome.as_str(),
            detail,
            "a patch is given up"
        );
        let at = Deadline::now(self.platform.clock());
        self.change(|saved| {
            saved.patches.note(job, outcome);
            saved.partial = None;
            (saved.faults, saved.url_refusals) = (0, 0);
            let job = job.clone();
            saved.state = State::Downloading { job, at };
        })?;
        self.store.clear_workbench()?;
        Ok(self.store.truncate(0)?)
    }

    /// All of the patch is here. The next step applies it.
    pub(crate) fn patch_is_here(&mut self, job: &Manifest, target: &Target) -> Result<(), Error> {
        self.store.sync()?;
        let partial = Partial {
            sha256: target.sha256,
            synced: target.size,
            etag: None,
            whole: false,
            made: false,
        };
        let at = Deadline::now(self.platform.clock());
        self.change(|saved| {
            saved.partial = Some(partial);
            (saved.faults, saved.url_refusals) = (0, 0);
            let job = job.clone();
            saved.state = State::Downloading { job, at };
        })
    }

    pub(crate) async fn apply_patch(
        &mut self,
        job: &Manifest,
        target: &Target,
        way: PatchWay,
    ) -> Result<(), Error> {
        let stop = StopOnDrop::default();
        let applied = match self.application(job, target, way, &stop) {
            Ok(application) => {
                let crashed = |_| Err(Failure::new(PatchOutcome::ApplyFailed, "applying it crashed"));
                let running = tokio::task::spawn_blocking(move || application.run());
                running.await.unwrap_or_else(crashed)
            }
            Err(failure) => Err(failure),
        };
        if let Err(Failure { outcome, detail }) = applied {
            return self.give_up_patch(job, outcome, &detail);
        }
        let partial = Partial {
            sha256: job.sha256,
            synced: job.file_size,
            etag: None,
            whole: true,
            made: true,
        };
        self.change(|saved| saved.partial = Some(partial))?;
        self.adopt_result(job)
    }

    fn application(
        &mut self,
        job: &Manifest,
        target: &Target,
        way: PatchWay,
        stop: &StopOnDrop,
    ) -> Result<Application, Failure> {
        let apk = self.platform.installed_apk(&self.config.package);
        let gone = || Failure::new(PatchOutcome::ApplyFailed, "the installed file is gone");
        Ok(Application {
            patch: self.store.file().map_err(failed)?,
            patch_sha256: target.sha256,
            base: apk.ok_or_else(gone)?,
            base_sha256: way.from_sha256,
            result_sha256: job.sha256,
            result_size: job.file_size,
            scratch: way.scratch,
            workbench: self.store.workbench().map_err(failed)?,
            stopped: stop.flag(),
        })
    }

    /// Whether the file of a job was made, and is not in its place yet.
    pub(crate) fn is_made(&self, job: &Manifest) -> bool {
        let partial = self.saved.partial.as_ref();
        partial.is_some_and(|partial| partial.made && partial.sha256 == job.sha256)
    }

    /// Puts the file that was made into its place. From here on it is what a whole download is.
    pub(crate) fn adopt_result(&mut self, job: &Manifest) -> Result<(), Error> {
        self.store.adopt_result()?;
        if self.store.file_len()? != job.file_size {
            return self.give_up_patch(job, PatchOutcome::ApplyFailed, "its result is gone");
        }
        self.saved.patches.note(job, PatchOutcome::Applied);
        self.downloaded(job)
    }
}

/// Reads the installed file, unless it is known.
fn read_base(
    apk: &StoredFile,
    version_code: VersionCode,
    known: Option<InstalledBase>,
) -> io::Result<InstalledBase> {
    let source = apk.open()?;
    let size = source.len();
    if let Some(known) = known.filter(|known| (known.version_code, known.size) == (version_code, size)) {
        return Ok(known);
    }
    let inflated = inflated_bytes(source.as_ref());
    Ok(InstalledBase {
        version_code,
        size,
        sha256: Sha256(hash(source.as_ref())?),
        inflated: inflated.unwrap_or(size.saturating_mul(ASSUMED_RATIO)),
    })
}
