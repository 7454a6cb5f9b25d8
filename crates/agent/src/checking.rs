//! Checking: the poll, and what to make of its answer.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::AUTHORIZATION;
use tidegate_domain::{ReportStatus, VersionCode, poll_after};

use crate::agent::Agent;
use crate::exchange::{self, Answer};
use crate::memory::{Said, State};
use crate::patience::{Alarm, MAX_PAUSE, POLL_INTERVAL, obeyed, pause, retry_after};
use crate::protocol::{MAX_FILE_BYTES, MAX_URL_BYTES, Manifest, POLL_AFTER, REASON};
use crate::{Error, Platform, StateStore, Transport};

/// Reasons for "nothing for you now" under which a file that was begun may still be wanted.
const MAY_COME_AGAIN: [&str; 2] = ["paused", "halted"];

/// What an agent does about an offer.
enum Verdict {
    Take,
    /// There is nothing to do; the word answers a command.
    Leave(&'static str),
    /// It is a step back, which this device can't take.
    RefuseDowngrade,
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn check(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let answer = exchange::ask(&self.transport, self.poll()?).await;
        let now = self.platform.clock().max(now);
        match answer {
            Ok(answer) => match answer.status {
                StatusCode::OK => match read_manifest(&answer, self.config.package.as_str()) {
                    Ok(job) => self.consider(job, &answer, now),
                    Err(error) => self.failed_to_check(&error, None, now),
                },
                StatusCode::NOT_MODIFIED => self.nothing_for_us(&answer, now),
                StatusCode::UNAUTHORIZED => self.shut_out(now),
                _ => {
                    let asked = retry_after(&answer.headers, now);
                    self.failed_to_check(&answer.refusal(), asked, now)
                }
            },
            Err(error) => self.failed_to_check(&error, None, now),
        }
    }

    fn poll(&self) -> Result<http::Request<Bytes>, Error> {
        let config = &self.config;
        let installed = self.platform.installed_version(&config.package);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("device_id", config.device.as_str())
            .append_pair("package_name", config.package.as_str())
            .append_pair(
                "current_version_code",
                &installed.map_or(0, VersionCode::get).to_string(),
            )
            .append_pair("sdk", &config.sdk.to_string());
        let more = [
            ("model", &config.model),
            ("region", &config.region),
            ("abi", &config.abis),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let url = self.url(&format!("/v1/agent/update?{}", query.finish()));
        http::Request::get(url)
            .header(AUTHORIZATION, self.credentials.bearer())
            .body(Bytes::new())
            .map_err(|fault| Error::invalid("server", fault.to_string()))
    }

    fn next_poll(&self, answer: &Answer, now: DateTime<Utc>) -> Alarm {
        let wait = match answer.number(POLL_AFTER) {
            Some(seconds) => std::time::Duration::from_secs(seconds.max(1)),
            None => poll_after(self.config.device.as_str(), POLL_INTERVAL),
        };
        Alarm::after(now, wait.min(crate::patience::MAX_REST))
    }

    fn consider(&mut self, job: Manifest, answer: &Answer, now: DateTime<Utc>) -> Result<(), Error> {
        let poll_at = self.next_poll(answer, now);
        let verdict = self.judge(&job, now);
        let device = self.config.device.clone();
        self.change(|memory| {
            memory.answered(poll_at);
            match verdict {
                Verdict::Take => {
                    let at = Alarm::now(now);
                    memory.state = State::Downloading { job, at };
                }
                Verdict::Leave(outcome) => {
                    memory.answer_nudges(&device, outcome, now);
                    memory.rest(None, now);
                }
                Verdict::RefuseDowngrade => {
                    tracing::warn!(version = %job.version_code, "a downgrade that this device can't do");
                    let said = Said::new(ReportStatus::InstallFailed, "downgrade_refused");
                    memory.report(&job, said, true, now);
                    memory.answer_nudges(&device, "refused", now);
                    memory.rest(None, now);
                }
            }
        })
    }

    fn judge(&self, job: &Manifest, now: DateTime<Utc>) -> Verdict {
        let installed = self.platform.installed_version(&self.config.package);
        if installed == Some(job.version_code) {
            Verdict::Leave("no_update")
        } else if self.memory.has_given_up(job, now) {
            Verdict::Leave("given_up")
        } else if installed.is_none_or(|installed| installed < job.version_code) {
            Verdict::Take
        } else if !job.force_downgrade {
            Verdict::Leave("no_update")
        } else if self.platform.can_downgrade() {
            Verdict::Take
        } else {
            Verdict::RefuseDowngrade
        }
    }

    fn nothing_for_us(&mut self, answer: &Answer, now: DateTime<Utc>) -> Result<(), Error> {
        let poll_at = self.next_poll(answer, now);
        let reason = answer.headers.get(REASON).map(http::HeaderValue::as_bytes);
        let may_come_again = MAY_COME_AGAIN
            .iter()
            .any(|known| reason == Some(known.as_bytes()));
        if self.memory.partial.is_some() && !may_come_again {
            self.discard_file()?;
        }
        let device = self.config.device.clone();
        self.change(|memory| {
            memory.answered(poll_at);
            memory.answer_nudges(&device, "no_update", now);
            memory.rest(None, now);
        })
    }

    /// The token is worth nothing any more. Somebody has to enrol the device again, so there is no hurry.
    fn shut_out(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        tracing::error!("the server does not know this device's token; it has to enrol again");
        let poll_at = Alarm::after(now, MAX_PAUSE);
        self.change(|memory| {
            memory.locked_out = true;
            memory.poll_at = poll_at;
            memory.outbox.at = poll_at;
            memory.state = State::Idle;
        })
    }

    fn failed_to_check(
        &mut self,
        error: &Error,
        asked: Option<std::time::Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        tracing::warn!(%error, "a poll failed");
        let device = self.config.device.clone();
        self.change(|memory| {
            memory.faults = memory.faults.saturating_add(1);
            let faults = memory.faults;
            memory.poll_at = Alarm::after(now, pause(device.as_str(), faults));
            if let Some(asked) = asked {
                memory.not_before = Some(Alarm::after(now, obeyed(device.as_str(), faults, asked)));
            }
            memory.state = State::Idle;
        })
    }
}

impl crate::memory::Memory {
    /// The server answered a poll.
    fn answered(&mut self, poll_at: Alarm) {
        self.faults = 0;
        self.locked_out = false;
        self.not_before = None;
        self.poll_at = poll_at;
        self.asked();
    }
}

/// A manifest that makes sense and is for us.
fn read_manifest(answer: &Answer, package: &str) -> Result<Manifest, Error> {
    let manifest: Manifest = answer.json()?;
    let fault = if manifest.package_name.as_str() != package {
        format!("it is for {}", manifest.package_name)
    } else if !(1..=MAX_FILE_BYTES).contains(&manifest.file_size) {
        format!("a file of {} bytes", manifest.file_size)
    } else if manifest.download_url.len() > MAX_URL_BYTES {
        format!("a URL of {} bytes", manifest.download_url.len())
    } else {
        return Ok(manifest);
    };
    Err(Error::Malformed(fault))
}
