//! Downloading: fetches the file or a patch to it, or the part of either that is missing.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{ETAG, IF_MATCH, IF_RANGE, LOCATION, RANGE};
use tidegate_domain::{DeferReason, PatchOutcome, ReportStatus, look_again_after, preflight};

use crate::address::may_be_called;
use crate::agent::Agent;
use crate::agent_state::{AgentState, Partial, State};
use crate::answered_part::{etag, first_byte, nothing_more, redirectable, too_long};
use crate::backoff::{pause, requested_wait, retry_after};
use crate::config::ONLY_HTTPS;
use crate::deadline::Deadline;
use crate::exchange::{self, EXCHANGE_LIMIT};
use crate::platform::conditions;
use crate::protocol::{MAX_URL_BYTES, Manifest};
use crate::report_details::ReportDetails;
use crate::target::Target;
use crate::{Body, Error, Platform, StateStore, Transport};

/// How many bytes are written before they are synced.
const SYNC_BYTES: u64 = 1024 * 1024;

/// The longest ETag of another place that is kept, in bytes.
const MAX_ETAG_BYTES: usize = 256;

/// Who sends the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The server itself.
    Server,
    /// Where the server sent the device, such as a bucket.
    Elsewhere,
}

/// How one connection ended.
pub(crate) enum Ending {
    /// The file is whole.
    Whole,
    /// A safety rule stopped it.
    Unsafe(DeferReason),
    /// The connection broke, or the answer was not our server's: try again later.
    Cut(Error, Option<std::time::Duration>),
    /// The URL is no longer valid: poll for another.
    UrlRefused,
    /// The server's file does not have the size that the manifest names.
    WrongSize(String),
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn download(&mut self, job: &Manifest, now: DateTime<Utc>) -> Result<(), Error> {
        if self.is_made(job) {
            return self.adopt_result(job);
        }
        let target = self.choose(job).await?;
        self.discard_other_file(&target)?;
        let had = self.fetched_of(&target);
        if had < target.size && self.is_poll_due(now) {
            // The poll also brings a fresh URL.
            return self.poll_again(now);
        }
        if let Err(reason) = preflight(&conditions(&self.platform), &target.needs(job, had)) {
            return self.defer(job, reason);
        }
        if had == target.size {
            return match &target.patch {
                Some(patch) => self.apply_patch(job, &target, *patch).await,
                None => self.change(|saved| saved.state = State::Verifying { job: job.clone() }),
            };
        }
        let ending = self.fetch(job, &target, had).await?;
        self.conclude(job, &target, had, ending)
    }

    /// Deletes what is here of another file, and bytes that were not noted as synced.
    fn discard_other_file(&mut self, target: &Target) -> Result<(), Error> {
        let is_of_this = self
            .saved
            .partial
            .as_ref()
            .is_some_and(|partial| partial.sha256 == target.sha256 && partial.synced <= target.size);
        if !is_of_this {
            self.discard_file()?;
        } else if self.store.file_len()? != self.fetched_of(target) {
            // A transition failed after it had written and before it had synced.
            self.store.truncate(self.fetched_of(target))?;
        }
        Ok(())
    }

    /// Makes one request, or two where the server sends the device elsewhere.
    async fn fetch(&mut self, job: &Manifest, target: &Target, had: u64) -> Result<Ending, Error> {
        let asked = match self
            .ask_for_file(&redirectable(&target.url), Place::Server, target, had)
            .await
        {
            Ok((head, _)) if head.status == StatusCode::FOUND => match self.elsewhere(&head) {
                Ok(url) => self.ask_for_file(&url, Place::Elsewhere, target, had).await,
                Err(fault) => Err(fault),
            }
            .map(|answer| (Place::Elsewhere, answer)),
            asked => asked.map(|answer| (Place::Server, answer)),
        };
        let (place, (head, body)) = match asked {
            Ok(answer) => answer,
            Err(error) => return Ok(Ending::Cut(error, None)),
        };
        if place == Place::Server {
            self.saved.hear(&head.headers, self.platform.clock());
        }
        let expected = match place {
            Place::Server => Some(etag(target)),
            Place::Elsewhere => self
                .etag_elsewhere(target)
                .filter(|_| head.status != StatusCode::OK),
        };
        if place == Place::Elsewhere && head.status == StatusCode::PRECONDITION_FAILED {
            // Another object of the same bytes, perhaps: what is here is no beginning of it that anybody vouches for.
            self.discard_file()?;
            let fault = "the file was exchanged at its place; it is fetched anew";
            return Ok(Ending::Cut(Error::Malformed(fault.to_owned()), None));
        }
        match first_byte(&head, target, had, expected.as_deref()) {
            Ok(from) => {
                if from < had {
                    self.discard_file()?;
                }
                let tag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
                let tag = tag.filter(|tag| place == Place::Elsewhere && tag.len() <= MAX_ETAG_BYTES);
                self.etag = tag.map(str::to_owned);
                self.receive(job, target, from, body).await
            }
            Err(Ending::Cut(error, _)) => {
                let asked = retry_after(&head.headers, self.platform.clock());
                Ok(Ending::Cut(error, asked))
            }
            Err(ending) => Ok(ending),
        }
    }

    async fn ask_for_file(
        &self,
        url: &str,
        place: Place,
        target: &Target,
        had: u64,
    ) -> Result<(http::response::Parts, Body), Error> {
        let mut request = http::Request::get(url);
        if had > 0 {
            request = request.header(RANGE, format!("bytes={had}-"));
            request = match (place, self.etag_elsewhere(target)) {
                (Place::Server, _) => request.header(IF_RANGE, etag(target)),
                (Place::Elsewhere, Some(tag)) => request.header(IF_MATCH, tag),
                // What is here came from the server. The object's name is its hash, and the file's hash is checked.
                (Place::Elsewhere, None) => request,
            };
        }
        let request = request
            .body(Bytes::new())
            .map_err(|fault| Error::Malformed(fault.to_string()))?;
        // Only the wait for the head is limited: a large file may take an hour.
        let answer = exchange::within(EXCHANGE_LIMIT, self.transport.send(request)).await?;
        Ok(answer.into_parts())
    }

    /// Where the server sends the device for the file. The transport follows nothing by itself, and no token goes there.
    fn elsewhere(&self, head: &http::response::Parts) -> Result<String, Error> {
        let url = head.headers.get(LOCATION).and_then(|url| url.to_str().ok());
        let url = url.filter(|url| url.len() <= MAX_URL_BYTES && may_be_called(url, self.config.allow_http));
        let url = url.ok_or_else(|| Error::Malformed(format!("the place of the file {ONLY_HTTPS}")))?;
        Ok(url.to_owned())
    }

    /// The ETag of the part that is here, where it came from elsewhere.
    fn etag_elsewhere(&self, target: &Target) -> Option<String> {
        let partial = self.saved.partial.as_ref()?;
        partial.etag.clone().filter(|_| partial.sha256 == target.sha256)
    }

    async fn receive(
        &mut self,
        job: &Manifest,
        target: &Target,
        from: u64,
        mut body: Body,
    ) -> Result<Ending, Error> {
        let (mut here, mut unsynced) = (from, 0);
        let ending = loop {
            let piece = match body.chunk().await {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => break Ending::Cut(error, None),
                None => {
                    let detail = format!("it ended after {here} of {} bytes", target.size);
                    break Ending::Cut(Error::Transport(detail), None);
                }
            };
            if here + piece.len() as u64 > target.size {
                return Ok(Ending::WrongSize(too_long(target)));
            }
            match self.store.append(&piece) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                    return Ok(Ending::Unsafe(DeferReason::StorageLow));
                }
                Err(error) => return Err(error.into()),
            }
            here += piece.len() as u64;
            unsynced += piece.len() as u64;
            if unsynced >= SYNC_BYTES && here < target.size {
                self.note(target, here)?;
                unsynced = 0;
            }
            if here == target.size {
                if nothing_more(&mut body).await {
                    break Ending::Whole;
                }
                return Ok(Ending::WrongSize(too_long(target)));
            }
            if let Err(reason) = self.may_go_on(job, target, here) {
                break Ending::Unsafe(reason);
            }
        };
        if !matches!(ending, Ending::Whole) {
            self.note(target, here)?;
        }
        Ok(ending)
    }

    /// What the safety rules say during a download: the device may leave its Wi-Fi or get a call at any time.
    fn may_go_on(&self, job: &Manifest, target: &Target, here: u64) -> Result<(), DeferReason> {
        preflight(&conditions(&self.platform), &target.needs(job, here))
    }

    /// Syncs what was written, then notes how much that is.
    fn note(&mut self, target: &Target, here: u64) -> Result<(), Error> {
        if here == 0 {
            return Ok(());
        }
        self.store.sync()?;
        let partial = Partial {
            sha256: target.sha256,
            synced: here,
            etag: self.etag.clone(),
            whole: false,
            made: false,
        };
        self.change(|saved| saved.partial = Some(partial))
    }

    fn conclude(&mut self, job: &Manifest, target: &Target, had: u64, ending: Ending) -> Result<(), Error> {
        let made_progress = self.fetched_of(target) > had;
        if target.patch.is_some()
            && let Some((outcome, detail)) = self.lost_patch(&ending, made_progress)
        {
            return self.give_up_patch(job, outcome, &detail);
        }
        match ending {
            Ending::Whole if target.patch.is_some() => self.patch_is_here(job, target),
            Ending::Whole => self.downloaded(job),
            Ending::Unsafe(reason) => self.defer(job, reason),
            Ending::WrongSize(detail) => self.verification_failed(job, "size_mismatch", &detail, true),
            Ending::UrlRefused => {
                let now = self.platform.clock();
                let device = self.config.device.clone();
                self.change(|saved| {
                    // The first time it polls at once. If the next URLs are refused as well, it waits longer each time.
                    saved.faults = saved.faults.saturating_add(1);
                    saved.url_refusals = saved.url_refusals.saturating_add(1);
                    if saved.url_refusals == 1 {
                        saved.state = State::Checking;
                    } else {
                        saved.poll_at = Deadline::after(now, pause(device.as_str(), saved.url_refusals - 1));
                        saved.state = State::Idle;
                    }
                })
            }
            Ending::Cut(error, asked) => {
                tracing::warn!(%error, "a download was cut");
                let now = self.platform.clock();
                let device = self.config.device.clone();
                self.change(|saved| {
                    let wait = match asked {
                        // A server that asks for time is no fault.
                        Some(asked) => requested_wait(device.as_str(), now, asked),
                        None => {
                            saved.faults = match made_progress {
                                true => 1,
                                false => saved.faults.saturating_add(1),
                            };
                            pause(device.as_str(), saved.faults)
                        }
                    };
                    saved.state = State::Downloading {
                        job: job.clone(),
                        at: Deadline::after(now, wait),
                    };
                    if asked.is_some() {
                        saved.not_before = Some(Deadline::after(now, wait));
                    }
                })
            }
        }
    }

    /// The file is here as a whole.
    pub(crate) fn downloaded(&mut self, job: &Manifest) -> Result<(), Error> {
        self.store.sync()?;
        let now = self.platform.clock();
        self.change(|saved| {
            saved.partial = Some(Partial {
                sha256: job.sha256,
                synced: job.file_size,
                etag: None,
                whole: true,
                made: false,
            });
            saved.faults = 0;
            saved.url_refusals = 0;
            saved.report(job, ReportDetails::new(ReportStatus::Downloaded, ""), now);
            saved.state = State::Verifying { job: job.clone() };
        })
    }

    /// The file is not what the manifest says, or could not be checked. `discard` deletes it.
    pub(crate) fn verification_failed(
        &mut self,
        job: &Manifest,
        reason: &str,
        detail: &str,
        discard: bool,
    ) -> Result<(), Error> {
        tracing::warn!(
            build = job.build_id.0,
            reason,
            detail,
            "a file failed its verification"
        );
        let now = self.platform.clock();
        let device = self.config.device.clone();
        let details = ReportDetails {
            message: detail,
            ..ReportDetails::new(ReportStatus::VerifyFailed, reason)
        };
        self.change(|saved| {
            if discard {
                saved.partial = None;
            }
            saved.report(job, details, now);
            if discard && saved.patches.outcome(job) == Some(PatchOutcome::Applied) {
                // It was right when it was made. The whole file is fetched now.
                saved.patches.note(job, PatchOutcome::ApplyFailed);
            }
            saved.answer_nudges(&device, "failed", now);
            saved.try_again_soon(job, now);
            saved.finish(None, now);
        })?;
        if discard {
            self.verified = None;
            self.store.truncate(0)?;
        }
        Ok(())
    }
}

impl AgentState {
    /// After a failure that may pass, polls earlier than the server asked for.
    pub(crate) fn try_again_soon(&mut self, job: &Manifest, now: DateTime<Utc>) {
        if !self.files.has_given_up(job, now) {
            let soon = Deadline::after(now, look_again_after(job.must_install));
            self.poll_at = self.poll_at.min(soon);
        }
    }
}
