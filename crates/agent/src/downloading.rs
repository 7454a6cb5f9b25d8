//! Downloading: fetches the file, or the part of it that is missing.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_RANGE, LOCATION, RANGE};
use tidegate_domain::{DeferReason, ReportStatus, look_again_after};

use crate::address::may_be_called;
use crate::agent::Agent;
use crate::agent_state::{AgentState, Partial, State};
use crate::backoff::{pause, requested_wait, retry_after};
use crate::config::ONLY_HTTPS;
use crate::deadline::Deadline;
use crate::exchange::{self, EXCHANGE_LIMIT};
use crate::platform::conditions;
use crate::protocol::{MAX_URL_BYTES, Manifest};
use crate::report_details::ReportDetails;
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
enum Ending {
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
        self.discard_other_file(job)?;
        let had = self.fetched(job);
        if had < job.file_size && self.is_poll_due(now) {
            // The poll also brings a fresh URL.
            return self.poll_again(now);
        }
        if let Err(reason) = self.permission(job) {
            return self.defer(job, reason);
        }
        if had == job.file_size {
            return self.change(|saved| saved.state = State::Verifying { job: job.clone() });
        }
        let ending = self.fetch(job, had).await?;
        self.conclude(job, had, ending)
    }

    /// Deletes what is here of another file, and bytes that were not noted as synced.
    fn discard_other_file(&mut self, job: &Manifest) -> Result<(), Error> {
        let is_of_this = self
            .saved
            .partial
            .as_ref()
            .is_some_and(|partial| partial.sha256 == job.sha256 && partial.synced <= job.file_size);
        if !is_of_this {
            self.discard_file()?;
        } else if self.store.file_len()? != self.fetched(job) {
            // A transition failed after it had written and before it had synced.
            self.store.truncate(self.fetched(job))?;
        }
        Ok(())
    }

    /// Makes one request, or two where the server sends the device elsewhere.
    async fn fetch(&mut self, job: &Manifest, had: u64) -> Result<Ending, Error> {
        let asked = match self
            .ask_for_file(&redirectable(&job.download_url), Place::Server, job, had)
            .await
        {
            Ok((head, _)) if head.status == StatusCode::FOUND => match self.elsewhere(&head) {
                Ok(url) => self.ask_for_file(&url, Place::Elsewhere, job, had).await,
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
            Place::Server => Some(etag(job)),
            Place::Elsewhere => self.etag_elsewhere(job).filter(|_| head.status != StatusCode::OK),
        };
        if place == Place::Elsewhere && head.status == StatusCode::PRECONDITION_FAILED {
            // Another object of the same bytes, perhaps: what is here is no beginning of it that anybody vouches for.
            self.discard_file()?;
            let fault = "the file was exchanged at its place; it is fetched anew";
            return Ok(Ending::Cut(Error::Malformed(fault.to_owned()), None));
        }
        match first_byte(&head, job, had, expected.as_deref()) {
            Ok(from) => {
                if from < had {
                    self.discard_file()?;
                }
                let tag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
                let tag = tag.filter(|tag| place == Place::Elsewhere && tag.len() <= MAX_ETAG_BYTES);
                self.etag = tag.map(str::to_owned);
                self.receive(job, from, body).await
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
        job: &Manifest,
        had: u64,
    ) -> Result<(http::response::Parts, Body), Error> {
        let mut request = http::Request::get(url);
        if had > 0 {
            request = request.header(RANGE, format!("bytes={had}-"));
            request = match (place, self.etag_elsewhere(job)) {
                (Place::Server, _) => request.header(IF_RANGE, etag(job)),
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
    fn etag_elsewhere(&self, job: &Manifest) -> Option<String> {
        let partial = self.saved.partial.as_ref()?;
        partial.etag.clone().filter(|_| partial.sha256 == job.sha256)
    }

    async fn receive(&mut self, job: &Manifest, from: u64, mut body: Body) -> Result<Ending, Error> {
        let (mut here, mut unsynced) = (from, 0);
        let ending = loop {
            let piece = match body.chunk().await {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => break Ending::Cut(error, None),
                None => {
                    let detail = format!("it ended after {here} of {} bytes", job.file_size);
                    break Ending::Cut(Error::Transport(detail), None);
                }
            };
            if here + piece.len() as u64 > job.file_size {
                return Ok(Ending::WrongSize(too_long(job)));
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
            if unsynced >= SYNC_BYTES && here < job.file_size {
                self.note(job, here)?;
                unsynced = 0;
            }
            if here == job.file_size {
                if nothing_more(&mut body).await {
                    break Ending::Whole;
                }
                return Ok(Ending::WrongSize(too_long(job)));
            }
            if let Err(reason) = self.may_go_on(job, here) {
                break Ending::Unsafe(reason);
            }
        };
        if !matches!(ending, Ending::Whole) {
            self.note(job, here)?;
        }
        Ok(ending)
    }

    /// What the safety rules say during a download: the device may leave its Wi-Fi or get a call at any time.
    fn may_go_on(&self, job: &Manifest, here: u64) -> Result<(), DeferReason> {
        let fetch_bytes = job.file_size - here;
        let needs = tidegate_domain::UpdateNeeds {
            wifi_only: job.wifi_only,
            fetch_bytes,
            space_bytes: fetch_bytes + job.file_size,
        };
        tidegate_domain::preflight(&conditions(&self.platform), &needs)
    }

    /// Syncs what was written, then notes how much that is.
    fn note(&mut self, job: &Manifest, here: u64) -> Result<(), Error> {
        if here == 0 {
            return Ok(());
        }
        self.store.sync()?;
        let partial = Partial {
            sha256: job.sha256,
            synced: here,
            etag: self.etag.clone(),
            whole: false,
        };
        self.change(|saved| saved.partial = Some(partial))
    }

    fn conclude(&mut self, job: &Manifest, had: u64, ending: Ending) -> Result<(), Error> {
        match ending {
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
                let made_progress = self.fetched(job) > had;
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

    fn downloaded(&mut self, job: &Manifest) -> Result<(), Error> {
        self.store.sync()?;
        let now = self.platform.clock();
        self.change(|saved| {
            saved.partial = Some(Partial {
                sha256: job.sha256,
                synced: job.file_size,
                etag: None,
                whole: true,
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

fn too_long(job: &Manifest) -> String {
    format!("more than the {} bytes of the manifest came", job.file_size)
}

/// Whether the body ends where the file does. A connection that breaks there is fine: all of the file is here.
async fn nothing_more(body: &mut Body) -> bool {
    loop {
        match body.chunk().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(_)) => return false,
            Some(Err(_)) | None => return true,
        }
    }
}

/// The strong ETag of a build's file.
fn etag(job: &Manifest) -> String {
    format!("\"{}\"", job.sha256)
}

/// The download URL, with the word that this agent goes where the server sends it. Servers that know nothing of it, or send
/// nobody elsewhere, answer with the file.
fn redirectable(url: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}redirect=1")
}

/// Which byte of the file the body starts with, if it is a part of this file. `expected`: the ETag that it has to have.
fn first_byte(
    head: &http::response::Parts,
    job: &Manifest,
    had: u64,
    expected: Option<&str>,
) -> Result<u64, Ending> {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let unusable = |what: String| Err(Ending::Cut(Error::Malformed(what), None));
    let other_file = text(ETAG).is_some_and(|tag| expected.is_some_and(|expected| tag != expected));
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match head.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT if other_file => {
            unusable("the ETag is that of another file".to_owned())
        }
        StatusCode::OK => match length {
            Some(length) if length != job.file_size => Err(Ending::WrongSize(format!(
                "{length} bytes are offered, the manifest names {}",
                job.file_size
            ))),
            _ => Ok(0),
        },
        StatusCode::PARTIAL_CONTENT => {
            let range = text(CONTENT_RANGE).and_then(content_range);
            match range {
                Some((_, size)) if size != job.file_size => Err(Ending::WrongSize(format!(
                    "the file has {size} bytes, the manifest names {}",
                    job.file_size
                ))),
                Some((first, _)) if first == had && had > 0 => Ok(had),
                _ => unusable("the answer is another part of the file than requested".to_owned()),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let size =
                text(CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes */")?.parse::<u64>().ok());
            match size {
                Some(size) if size != job.file_size => Err(Ending::WrongSize(format!(
                    "the file has {size} bytes, the manifest names {}",
                    job.file_size
                ))),
                _ => unusable("the server refuses to send the rest of the file".to_owned()),
            }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(Ending::UrlRefused)
        }
        status => unusable(format!("the download was answered with {status}")),
    }
}

/// The first byte and the size of the whole file, from such as `bytes 500-999/8000`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()?))
}
