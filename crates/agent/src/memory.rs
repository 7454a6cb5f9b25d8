//! What an agent remembers: its state, as it stands in the state file.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_domain::{
    BuildId, Consequence, DeferReason, DeviceBuild, DeviceId, Rejection, Report, ReportStatus,
    Sha256 as FileHash,
};
use tidegate_signing::CommandMemory;

use crate::outbox::{Letter, Outbox};
use crate::patience::{Alarm, is_due};
use crate::protocol::{ActionResultBody, Manifest, ReportBody};

/// The form of the state file. One that a later agent wrote in another form is like one that can't be read.
const FORM: u32 = 1;

/// How many builds that were given up are remembered; the oldest are forgotten first. The server remembers them
/// too.
const MAX_REJECTIONS: usize = 32;

/// How many commands may wait for their answer; the oldest goes without one.
const MAX_NUDGES: usize = 16;

/// The longest `message` that is sent, in bytes.
const MAX_MESSAGE_BYTES: usize = tidegate_domain::MAX_MESSAGE_BYTES;

/// Where an agent stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// Nothing to do until the next poll.
    Idle,
    /// A poll is due.
    Checking,
    /// A safety rule holds an update up.
    Waiting(Wait),
    /// The file is being fetched, from `at` on.
    Downloading { job: Manifest, at: Alarm },
    /// The file is here and not yet trusted.
    Verifying { job: Manifest },
    /// The file is trusted and Android has to say.
    Installing { job: Manifest },
    /// The server has to be told; afterwards the agent waits, or has nothing to do.
    Reporting { then: Option<Wait> },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub job: Manifest,
    pub reason: DeferReason,
    /// When the rules are asked again.
    pub at: Alarm,
}

/// The file that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Partial {
    pub sha256: FileHash,
    /// So many bytes survive a loss of power.
    pub synced: u64,
}

/// How often a build failed in a way that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failures {
    pub build: BuildId,
    pub attempt: u32,
    pub count: u32,
}

/// Why an update was deferred, as far as the server was told: each reason once, however often they take turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deferrals {
    build: BuildId,
    attempt: u32,
    /// At most as many as there are.
    reasons: Vec<DeferReason>,
}

/// A command that was taken and is to be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nudge {
    pub request_id: String,
    pub action: String,
    /// Whether the server was asked since.
    pub asked: bool,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    form: u32,
    /// Tells this memory's request ids from those of one that was lost, in milliseconds since 1970.
    born: i64,
    /// The number of the next request id.
    sequence: u64,
    pub state: State,
    /// When the server is to be asked again.
    pub poll_at: Alarm,
    /// Until when the server asked to be left alone.
    pub not_before: Option<Alarm>,
    /// How often in a row the server was not reached.
    pub faults: u32,
    /// How often in a row a download URL was refused.
    pub url_refusals: u32,
    /// Whether the server no longer knows our token.
    pub locked_out: bool,
    pub outbox: Outbox,
    pub partial: Option<Partial>,
    pub failures: Option<Failures>,
    rejections: Vec<(BuildId, Rejection)>,
    /// What was reported of the update that was deferred last.
    #[serde(default)]
    deferrals: Option<Deferrals>,
    pub commands: CommandMemory,
    nudges: Vec<Nudge>,
}

impl Memory {
    /// That of a new agent, which polls at once.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            form: FORM,
            born: now.timestamp_millis(),
            sequence: 0,
            state: State::Idle,
            poll_at: Alarm::now(now),
            not_before: None,
            faults: 0,
            url_refusals: 0,
            locked_out: false,
            outbox: Outbox::new(now),
            partial: None,
            failures: None,
            rejections: vec![],
            deferrals: None,
            commands: CommandMemory::default(),
            nudges: vec![],
        }
    }

    /// That of an agent whose own can't be read. It may have taken any command that was signed until now.
    pub(crate) fn lost(now: DateTime<Utc>) -> Self {
        Self {
            commands: CommandMemory::lost(now),
            ..Self::new(now)
        }
    }

    /// As it is written: a line with the hash of the rest, and the rest.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // None of the types within can fail to be written.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = FileHash(Sha256::digest(&json).into()).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&json);
        bytes
    }

    /// Reads it; `None` when it is damaged or of another form.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n')?;
        let (sum, json) = (std::str::from_utf8(&bytes[..line]).ok()?, &bytes[line + 1..]);
        if FileHash::parse(sum).ok()?.0[..] != Sha256::digest(json)[..] {
            return None;
        }
        let memory: Self = serde_json::from_slice(json).ok()?;
        (memory.form == FORM).then_some(memory)
    }

    /// Not before the server wants to hear of us again.
    pub(crate) fn heeding(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.not_before.map_or(at, |not_before| at.max(not_before.at))
    }

    /// Sets right what was noted under a clock that has been set back since. A rest that the server asked for
    /// begins anew, since it must not be cut short.
    pub(crate) fn set_right(&mut self, now: DateTime<Utc>) {
        self.poll_at.set_right(now);
        self.outbox.at.set_right(now);
        match &mut self.state {
            State::Waiting(wait) | State::Reporting { then: Some(wait) } => wait.at.set_right(now),
            State::Downloading { at, .. } => at.set_right(now),
            State::Idle
            | State::Checking
            | State::Verifying { .. }
            | State::Installing { .. }
            | State::Reporting { then: None } => {}
        }
        if let Some(not_before) = &mut self.not_before {
            not_before.begin_anew(now);
        }
    }

    /// When there is something to tell the server, if there is.
    pub(crate) fn letters_at(&self) -> Option<DateTime<Utc>> {
        self.outbox.due().map(|at| self.heeding(at))
    }

    /// Comes to rest, after telling the server what there is to tell.
    pub(crate) fn rest(&mut self, wait: Option<Wait>, now: DateTime<Utc>) {
        self.state = if self.letters_at().is_some_and(|at| is_due(at, now)) {
            State::Reporting { then: wait }
        } else {
            wait.map_or(State::Idle, State::Waiting)
        };
    }

    /// Puts a report into the outbox and draws the conclusions that the server will draw. `for_good`: no retry of
    /// this attempt can end otherwise.
    pub(crate) fn report(&mut self, job: &Manifest, said: Said<'_>, for_good: bool, now: DateTime<Utc>) {
        let request_id = self.next_id();
        let report = Report {
            build: job.build_id,
            status: said.status,
            reason: Some(said.reason.to_owned()).filter(|reason| !reason.is_empty()),
            android_status: said.android_status,
            message: Some(shortened(said.message)).filter(|message| !message.is_empty()),
            retry_generation: job.attempt,
            request_id: Some(request_id.clone()),
        };
        let earlier = self.failures_of(job);
        let mut history = DeviceBuild {
            failure_generation: job.attempt,
            failures: earlier,
            ..DeviceBuild::default()
        };
        match history.take(&report, now) {
            Consequence::None => {}
            Consequence::Forgiven => self.failures = None,
            Consequence::Rejected(_) | Consequence::Failed if for_good => self.reject(
                job.build_id,
                Rejection {
                    retry_generation: job.attempt,
                    until: None,
                },
            ),
            Consequence::Rejected(rejection) => self.reject(job.build_id, rejection),
            Consequence::Failed => {
                self.failures = Some(Failures {
                    build: job.build_id,
                    attempt: job.attempt,
                    count: earlier + 1,
                });
            }
        }
        self.outbox.push(Letter::Report(ReportBody {
            build_id: report.build,
            status: report.status,
            reason: report.reason,
            android_status: report.android_status,
            message: report.message,
            attempt: report.retry_generation,
            request_id,
        }));
    }

    fn next_id(&mut self) -> String {
        self.sequence += 1;
        format!("{:x}-{}", self.born, self.sequence)
    }

    fn failures_of(&self, job: &Manifest) -> u32 {
        self.failures
            .filter(|failures| failures.build == job.build_id && failures.attempt == job.attempt)
            .map_or(0, |failures| failures.count)
    }

    fn reject(&mut self, build: BuildId, rejection: Rejection) {
        self.failures = None;
        self.rejections.retain(|(earlier, _)| *earlier != build);
        if self.rejections.len() == MAX_REJECTIONS {
            self.rejections.remove(0);
        }
        self.rejections.push((build, rejection));
    }

    /// Whether the agent gave this build up.
    pub(crate) fn has_given_up(&self, job: &Manifest, now: DateTime<Utc>) -> bool {
        self.rejections
            .iter()
            .any(|(build, rejection)| *build == job.build_id && rejection.applies_to(job.attempt, now))
    }

    /// Reports a deferral, once for each reason.
    pub(crate) fn defer(&mut self, job: &Manifest, reason: DeferReason, now: DateTime<Utc>) {
        let (build, attempt) = (job.build_id, job.attempt);
        let of_this = |told: &Deferrals| told.build == build && told.attempt == attempt;
        let told = self.deferrals.take().filter(of_this);
        let mut told = told.unwrap_or(Deferrals {
            build,
            attempt,
            reasons: vec![],
        });
        let news = !told.reasons.contains(&reason);
        if news {
            told.reasons.push(reason);
        }
        self.deferrals = Some(told);
        if news {
            self.report(
                job,
                Said::new(ReportStatus::Deferred, reason.as_str()),
                false,
                now,
            );
        }
    }

    /// Remembers a command that is to be answered.
    pub(crate) fn take(&mut self, nudge: Nudge) {
        if self.nudges.len() == MAX_NUDGES {
            self.nudges.remove(0);
        }
        self.nudges.push(nudge);
    }

    /// The server was asked: what comes of it answers the commands that were taken before.
    pub(crate) fn asked(&mut self) {
        for nudge in &mut self.nudges {
            nudge.asked = true;
        }
    }

    /// Answers the commands that have led to this.
    pub(crate) fn answer_nudges(&mut self, device: &DeviceId, outcome: &str, now: DateTime<Utc>) {
        let (asked, waiting) = std::mem::take(&mut self.nudges)
            .into_iter()
            .partition(|nudge| nudge.asked);
        self.nudges = waiting;
        let answered: Vec<Nudge> = asked;
        for nudge in answered {
            self.answer(device, nudge.request_id, nudge.action, outcome, now);
        }
    }

    /// Answers one command.
    pub(crate) fn answer(
        &mut self,
        device: &DeviceId,
        request_id: String,
        action: String,
        outcome: &str,
        now: DateTime<Utc>,
    ) {
        self.outbox.push(Letter::ActionResult(ActionResultBody {
            request_id,
            device_id: device.as_str().to_owned(),
            action,
            outcome: outcome.to_owned(),
            message: None,
            finished_at: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        }));
    }
}

/// A report's words.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub status: ReportStatus,
    pub reason: &'a str,
    pub android_status: Option<i32>,
    pub message: &'a str,
}

impl<'a> Said<'a> {
    pub(crate) fn new(status: ReportStatus, reason: &'a str) -> Self {
        Self {
            status,
            reason,
            android_status: None,
            message: "",
        }
    }
}

/// At most as long as a report's message may be.
fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}
