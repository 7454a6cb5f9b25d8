//! Downloading: fetches the file, or what is missing of it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use tidegate_domain::{DeferReason, ReportStatus, look_again_after};

use crate::agent::Agent;
use crate::exchange::{self, EXCHANGE_LIMIT};
use crate::memory::{Partial, Said, State};
use crate::patience::{Alarm, obeyed, pause, retry_after};
use crate::platform::conditions;
use crate::protocol::Manifest;
use crate::{Body, Error, Platform, StateStore, Transport};

/// After so many bytes what was fetched is made safe from a loss of power.
const SYNC_BYTES: u64 = 1024 * 1024;

/// How one connection ended.
enum Ending {
    /// The file is whole.
    Whole,
    /// A safety rule stopped it.
    Unsafe(DeferReason),
    /// The connection broke, or something strange answered: go on later.
    Cut(Error, Option<std::time::Duration>),
    /// The URL is worth nothing any more: ask for another.
    UrlRefused,
    /// The server's file is not of the size that the manifest names.
    WrongSize(String),
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn download(&mut self, job: &Manifest, now: DateTime<Utc>) -> Result<(), Error> {
        self.make_room_for(job)?;
        let had = self.fetched(job);
        if had < job.file_size && self.is_to_ask_again(now) {
            // And what is its URL now?
            return self.ask_again(now);
        }
        if let Err(reason) = self.permission(job) {
            return self.defer(job, reason);
        }
        if had == job.file_size {
            return self.change(|memory| memory.state = State::Verifying { job: job.clone() });
        }
        let ending = self.fetch(job, had).await?;
        self.conclude(job, had, ending)
    }

    /// Another file than the one that is here is let go of.
    fn make_room_for(&mut self, job: &Manifest) -> Result<(), Error> {
        let ours = self
            .memory
            .partial
            .is_some_and(|partial| partial.sha256 == job.sha256 && partial.synced <= job.file_size);
        if !ours {
            self.discard_file()?;
        } else if self.store.file_len()? != self.fetched(job) {
            // A transition that failed left more than it noted.
            self.store.truncate(self.fetched(job))?;
        }
        Ok(())
    }

    /// One connection.
    async fn fetch(&mut self, job: &Manifest, had: u64) -> Result<Ending, Error> {
        let mut request = http::Request::get(&job.download_url);
        if had > 0 {
            request = request
                .header(RANGE, format!("bytes={had}-"))
                .header(IF_RANGE, etag(job));
        }
        let request = match request.body(Bytes::new()) {
            Ok(request) => request,
            Err(fault) => return Ok(Ending::Cut(Error::Malformed(fault.to_string()), None)),
        };
        // Only the beginning has a limit: a large file may rightly take an hour.
        let (head, body) = match exchange::within(EXCHANGE_LIMIT, self.transport.send(request)).await {
            Ok(response) => response.into_parts(),
            Err(error) => return Ok(Ending::Cut(error, None)),
        };
        match beginning(&head, job, had) {
            Ok(from) => {
                if from < had {
                    self.discard_file()?;
                }
                self.receive(job, from, body).await
            }
            Err(Ending::Cut(error, _)) => {
                let asked = retry_after(&head.headers, self.platform.clock());
                Ok(Ending::Cut(error, asked))
            }
            Err(ending) => Ok(ending),
        }
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

    /// The rules, in the middle of a download: Wi-Fi may be left and a call may come at any time.
    fn may_go_on(&self, job: &Manifest, here: u64) -> Result<(), DeferReason> {
        let fetch_bytes = job.file_size - here;
        let needs = tidegate_domain::UpdateNeeds {
            wifi_only: job.wifi_only,
            fetch_bytes,
            space_bytes: fetch_bytes + job.file_size,
        };
        tidegate_domain::preflight(&conditions(&self.platform), &needs)
    }

    /// Makes what is here safe, then notes that it is.
    fn note(&mut self, job: &Manifest, here: u64) -> Result<(), Error> {
        if here == 0 {
            return Ok(());
        }
        self.store.sync()?;
        let partial = Partial {
            sha256: job.sha256,
            synced: here,
        };
        self.change(|memory| memory.partial = Some(partial))
    }

    fn conclude(&mut self, job: &Manifest, had: u64, ending: Ending) -> Result<(), Error> {
        match ending {
            Ending::Whole => self.downloaded(job),
            Ending::Unsafe(reason) => self.defer(job, reason),
            Ending::WrongSize(detail) => self.distrust(job, "size_mismatch", &detail, false, true),
            Ending::UrlRefused => {
                let now = self.platform.clock();
                let device = self.config.device.clone();
                self.change(|memory| {
                    // At once for the first time; a server whose new URLs are no better is asked ever less often.
                    memory.faults = memory.faults.saturating_add(1);
                    memory.url_refusals = memory.url_refusals.saturating_add(1);
                    if memory.url_refusals == 1 {
                        memory.state = State::Checking;
                    } else {
                        memory.poll_at = Alarm::after(now, pause(device.as_str(), memory.url_refusals - 1));
                        memory.state = State::Idle;
                    }
                })
            }
            Ending::Cut(error, asked) => {
                tracing::warn!(%error, "a download was cut");
                let now = self.platform.clock();
                let device = self.config.device.clone();
                let came_on = self.fetched(job) > had;
                self.change(|memory| {
                    memory.faults = if came_on {
                        1
                    } else {
                        memory.faults.saturating_add(1)
                    };
                    let wait = match asked {
                        Some(asked) => obeyed(device.as_str(), memory.faults, asked),
                        None => pause(device.as_str(), memory.faults),
                    };
                    memory.state = State::Downloading {
                        job: job.clone(),
                        at: Alarm::after(now, wait),
                    };
                    if asked.is_some() {
                        memory.not_before = Some(Alarm::after(now, wait));
                    }
                })
            }
        }
    }

    fn downloaded(&mut self, job: &Manifest) -> Result<(), Error> {
        self.store.sync()?;
        let now = self.platform.clock();
        self.change(|memory| {
            memory.partial = Some(Partial {
                sha256: job.sha256,
                synced: job.file_size,
            });
            memory.faults = 0;
            memory.url_refusals = 0;
            memory.report(job, Said::new(ReportStatus::Downloaded, ""), false, now);
            memory.state = State::Verifying { job: job.clone() };
        })
    }

    /// The file is not what the manifest says. `for_good`: the same bytes would come again.
    pub(crate) fn distrust(
        &mut self,
        job: &Manifest,
        reason: &str,
        detail: &str,
        for_good: bool,
        discard: bool,
    ) -> Result<(), Error> {
        tracing::warn!(
            build = job.build_id.0,
            reason,
            detail,
            "a file is not to be trusted"
        );
        let now = self.platform.clock();
        let device = self.config.device.clone();
        let said = Said {
            message: detail,
            ..Said::new(ReportStatus::VerifyFailed, reason)
        };
        self.change(|memory| {
            if discard {
                memory.partial = None;
            }
            memory.report(job, said, for_good, now);
            memory.answer_nudges(&device, "failed", now);
            memory.try_again_soon(job, now);
            memory.rest(None, now);
        })?;
        if discard {
            self.verified = None;
            self.store.truncate(0)?;
        }
        Ok(())
    }
}

impl crate::memory::Memory {
    /// A failure that may pass is not left until the next regular poll.
    pub(crate) fn try_again_soon(&mut self, job: &Manifest, now: DateTime<Utc>) {
        if !self.has_given_up(job, now) {
            let soon = Alarm::after(now, look_again_after(job.must_install));
            self.poll_at = self.poll_at.min(soon);
        }
    }
}

fn too_long(job: &Manifest) -> String {
    format!("more than the {} bytes of the manifest came", job.file_size)
}

/// Whether the body ends where the file does. A connection that breaks there has brought all of it.
async fn nothing_more(body: &mut Body) -> bool {
    loop {
        match body.chunk().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(_)) => return false,
            Some(Err(_)) | None => return true,
        }
    }
}

/// The strong ETag that the server gives a build's file.
fn etag(job: &Manifest) -> String {
    format!("\"{}\"", job.sha256)
}

/// Where in the file the body begins, if it is the file's.
fn beginning(head: &http::response::Parts, job: &Manifest, had: u64) -> Result<u64, Ending> {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let strange = |what: String| Err(Ending::Cut(Error::Malformed(what), None));
    let other_file = text(ETAG).is_some_and(|tag| tag != etag(job));
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match head.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT if other_file => {
            strange("another file is at the URL".to_owned())
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
                _ => strange("another part of the file came than was asked for".to_owned()),
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
                _ => strange("the rest of the file is refused".to_owned()),
            }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(Ending::UrlRefused)
        }
        status => strange(format!("the download was answered with {status}")),
    }
}

/// `bytes 500-999/8000`: first byte and size of the whole.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()?))
}
