//! Checking: polls the server and acts on the answer.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::AUTHORIZATION;
use tidegate_domain::{PATCH_FORMAT, ReportStatus, VersionCode, poll_after};

use crate::address::may_be_called;
use crate::agent::Agent;
use crate::agent_state::{AgentState, State};
use crate::backoff::{MAX_PAUSE, MAX_WAIT, POLL_INTERVAL, pause, requested_wait, retry_after};
use crate::config::ONLY_HTTPS;
use crate::deadline::Deadline;
use crate::exchange::{self, Answer};
use crate::protocol::{
    MAX_CONDITION_BYTES, MAX_FILE_BYTES, MAX_INSTALL_TERMS, MAX_OFFER_BYTES, MAX_URL_BYTES, Manifest,
    POLL_AFTER, PROTOCOL, REASON,
};
use crate::report_details::ReportDetails;
use crate::server_clock::ServerClock;
use crate::{Config, Error, Platform, StateStore, Transport};

/// Reasons for "no update" after which the same file is not to be expected soon. A partial file is deleted then. It is kept
/// after any other reason, also after one that this agent doesn't know: what a later server waits for may pass.
const LASTING_REASONS: [&str; 10] = [
    "no_current_build",
    "already_current",
    "newer_installed",
    "not_in_cohort",
    "not_in_audience",
    "incompatible_sdk",
    "incompatible_abi",
    "rejected_by_device",
    "needs_intermediate",
    "above_ceiling",
];

/// What an agent does with an offer.
enum Verdict {
    Take,
    /// Nothing. The word answers a command.
    Ignore(&'static str),
    /// It reports that this device can't install a lower version.
    RefuseDowngrade,
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn check(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let answer = exchange::ask(&self.transport, self.poll()?).await;
        let now = self.platform.clock().max(now);
        self.saved.hear_poll(answer.as_ref().ok(), self.platform.clock());
        match answer {
            Ok(answer) => match answer.status {
                StatusCode::OK => match read_manifest(&answer, &self.config) {
                    Ok(job) => self.consider(job, &answer, now),
                    Err(error) => self.failed_to_check(&error, None, now),
                },
                StatusCode::NOT_MODIFIED => self.no_update(&answer, now),
                StatusCode::UNAUTHORIZED => self.token_refused(now),
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
            .append_pair("sdk", &config.sdk.to_string())
            .append_pair("protocol", &PROTOCOL.to_string());
        // Servers of protocol 1 ignore what they don't know in a query, so this needs no permission.
        let optional = [
            ("model", config.model.clone()),
            ("manufacturer", config.manufacturer.clone()),
            ("android", config.android.clone()),
            ("region", config.region.clone()),
            ("abi", config.abis.clone()),
            ("zone", self.platform.zone().or_else(|| config.zone.clone())),
            (
                "crashes",
                self.platform
                    .crashes(&config.package)
                    .map(|count| count.to_string()),
            ),
            ("fetched", self.fetched_file().map(|sha256| sha256.to_string())),
            ("patches", self.takes_patches().then(|| PATCH_FORMAT.to_owned())),
            ("dense", config.dense.then(|| "1".to_owned())),
            ("tags", (!config.tags.is_empty()).then(|| config.tags.join(","))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        let url = self.url(&format!("/v1/agent/update?{}", query.finish()));
        http::Request::get(url)
            .header(AUTHORIZATION, self.credentials.bearer())
            .body(Bytes::new())
            .map_err(|fault| Error::invalid("server", fault.to_string()))
    }

    /// The file that is here as a whole and waits for its installation.
    fn fetched_file(&self) -> Option<tidegate_domain::Sha256> {
        let partial = self.saved.partial.as_ref()?;
        partial.whole.then_some(partial.sha256)
    }

    fn next_poll(&self, answer: &Answer, now: DateTime<Utc>) -> Deadline {
        let wait = match answer.number(POLL_AFTER) {
            Some(seconds) => std::time::Duration::from_secs(seconds.max(1)),
            None => poll_after(self.config.device.as_str(), POLL_INTERVAL),
        };
        Deadline::after(now, wait.min(MAX_WAIT))
    }

    fn consider(&mut self, job: Manifest, answer: &Answer, now: DateTime<Utc>) -> Result<(), Error> {
        let poll_at = self.next_poll(answer, now);
        self.saved.files.heed_grant(&job);
        let verdict = self.judge(&job, now);
        let device = self.config.device.clone();
        self.change(|saved| {
            saved.poll_succeeded(poll_at);
            saved.server_protocol = job.protocol;
            saved.patches.server_knows |= !job.patch.is_absent();
            match verdict {
                Verdict::Take => {
                    let at = Deadline::now(now);
                    saved.state = State::Downloading { job, at };
                }
                Verdict::Ignore(outcome) => {
                    saved.answer_nudges(&device, outcome, now);
                    saved.finish(None, now);
                }
                Verdict::RefuseDowngrade => {
                    tracing::warn!(version = %job.version_code, "this device can't install a lower version");
                    let details = ReportDetails::new(ReportStatus::InstallFailed, "downgrade_refused");
                    saved.report(&job, details, now);
                    saved.answer_nudges(&device, "refused", now);
                    saved.finish(None, now);
                }
            }
        })
    }

    fn judge(&self, job: &Manifest, now: DateTime<Utc>) -> Verdict {
        let installed = self.platform.installed_version(&self.config.package);
        if installed == Some(job.version_code) {
            Verdict::Ignore("no_update")
        } else if self.saved.files.has_given_up(job, now) {
            Verdict::Ignore("given_up")
        } else if installed.is_none_or(|installed| installed < job.version_code) {
            Verdict::Take
        } else if !job.force_downgrade {
            Verdict::Ignore("no_update")
        } else if self.platform.can_downgrade() {
            Verdict::Take
        } else {
            Verdict::RefuseDowngrade
        }
    }

    fn no_update(&mut self, answer: &Answer, now: DateTime<Utc>) -> Result<(), Error> {
        let poll_at = self.next_poll(answer, now);
        let reason = answer.headers.get(REASON).map(http::HeaderValue::as_bytes);
        let lasts = LASTING_REASONS
            .iter()
            .any(|known| reason == Some(known.as_bytes()));
        if self.saved.partial.is_some() && lasts {
            self.discard_file()?;
        }
        let device = self.config.device.clone();
        self.change(|saved| {
            saved.poll_succeeded(poll_at);
            saved.answer_nudges(&device, "no_update", now);
            saved.finish(None, now);
        })
    }

    /// The token is no longer valid. The device has to enrol again, so there is no point in asking often.
    fn token_refused(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        tracing::error!("the server refuses this device's token; the device has to enrol again");
        let poll_at = Deadline::after(now, MAX_PAUSE);
        self.change(|saved| {
            saved.locked_out = true;
            saved.poll_at = poll_at;
            saved.outbox.at = poll_at;
            saved.state = State::Idle;
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
        self.change(|saved| {
            match asked {
                // A server that asks for time is no fault.
                Some(asked) => {
                    let until = Deadline::after(now, requested_wait(device.as_str(), now, asked));
                    (saved.poll_at, saved.not_before) = (until, Some(until));
                }
                None => {
                    saved.faults = saved.faults.saturating_add(1);
                    saved.poll_at = Deadline::after(now, pause(device.as_str(), saved.faults));
                }
            }
            saved.state = State::Idle;
        })
    }
}

impl AgentState {
    /// Reads the server's clock from the answer to a poll. One that tells no time leaves nothing that a clock which was set
    /// since then could falsify: the device's own clock is used.
    fn hear_poll(&mut self, answer: Option<&Answer>, own: DateTime<Utc>) {
        if let Some(answer) = answer {
            self.server_clock = ServerClock::read(&answer.headers, own);
        }
    }

    /// The server answered a poll.
    fn poll_succeeded(&mut self, poll_at: Deadline) {
        self.faults = 0;
        self.locked_out = false;
        self.not_before = None;
        self.poll_at = poll_at;
        self.polled();
    }
}

/// The manifest of an answer, if it is one that can be acted on.
fn read_manifest(answer: &Answer, config: &Config) -> Result<Manifest, Error> {
    let manifest: Manifest = answer.json()?;
    let fault = if manifest.package_name != config.package {
        format!("it is for {}", manifest.package_name)
    } else if !(1..=MAX_FILE_BYTES).contains(&manifest.file_size) {
        format!("a file of {} bytes", manifest.file_size)
    } else if manifest.download_url.len() > MAX_URL_BYTES {
        format!("a URL of {} bytes", manifest.download_url.len())
    } else if !may_be_called(&manifest.download_url, config.allow_http) {
        format!("its download_url {ONLY_HTTPS}")
    } else if let Some(fault) = too_many_terms(&manifest) {
        fault
    } else if manifest.offer.len() > MAX_OFFER_BYTES {
        format!("an offer of {} bytes", manifest.offer.len())
    } else {
        return Ok(manifest);
    };
    Err(Error::Malformed(fault))
}

/// What is too much of a manifest's terms for the installation.
fn too_many_terms(manifest: &Manifest) -> Option<String> {
    let openings = manifest.install_openings.as_ref().map_or(0, Vec::len);
    let conditions = &manifest.install_when;
    let long = conditions.iter().any(|name| name.len() > MAX_CONDITION_BYTES);
    (openings > MAX_INSTALL_TERMS || conditions.len() > MAX_INSTALL_TERMS || long).then(|| {
        let conditions = conditions.len();
        format!("{openings} openings and {conditions} conditions for the installation, or one with too long a name")
    })
}
