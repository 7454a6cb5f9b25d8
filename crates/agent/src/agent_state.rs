//! What an agent keeps over restarts: the content of its state file.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_domain::{DeferReason, DeviceId, Sha256 as FileHash};
use tidegate_signing::CommandMemory;

use crate::deadline::{Deadline, is_due};
use crate::file_history::FileHistory;
use crate::outbox::{Outbox, Outgoing};
use crate::patch_history::PatchHistory;
use crate::protocol::{ActionResultBody, Manifest};
use crate::server_clock::ServerClock;

/// The version of the state file's format. A file of another version is treated like one that can't be read. Fields
/// may be added without raising it: they get their default from an older file, and older agents ignore them.
const FORM: u32 = 1;

/// How many commands may wait for their answer; the oldest is dropped without one.
const MAX_NUDGES: usize = 16;

/// Where an agent stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// Nothing to do until the next poll.
    Idle,
    /// A poll is due.
    Checking,
    /// A safety rule or the rollout's terms forbid the update for now.
    Waiting(Wait),
    /// The file is being fetched, from the time `at` on.
    Downloading { job: Manifest, at: Deadline },
    /// The whole file is here and has to be verified.
    Verifying { job: Manifest },
    /// The file is verified and Android has to install it.
    Installing { job: Manifest },
    /// Messages have to be sent; afterwards the agent waits, or has nothing to do.
    Reporting { then: Option<Wait> },
}

/// An update that a safety rule or the rollout's terms forbid for now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub job: Manifest,
    pub reason: DeferReason,
    /// When the rules are asked again.
    pub at: Deadline,
}

/// A file, or a patch to it, that is not here as a whole yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Partial {
    pub sha256: FileHash,
    /// How many bytes of it are safe from a loss of power.
    pub synced: u64,
    /// The ETag of the place that it came from, where that was not the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether all of it is here. Polls tell the server, which does not ask the calendar for downloads then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Whether it was made from a patch and synced, and the store has yet to put it in the patch's place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
}

/// A command that was accepted and has to be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nudge {
    pub request_id: String,
    pub action: String,
    /// Whether the server was polled since.
    pub asked: bool,
}

/// Everything that an agent keeps over restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentState {
    form: u32,
    /// When this state was created, in milliseconds since 1970. It is part of each request id, so that a state that
    /// replaces a lost one does not use the same ids.
    born: i64,
    /// The number of the last request id.
    sequence: u64,
    pub state: State,
    /// When the server is to be polled again.
    pub poll_at: Deadline,
    /// The end of the server's last `Retry-After`.
    pub not_before: Option<Deadline>,
    /// How often in a row the server was not reached.
    pub faults: u32,
    /// How often in a row a download URL was refused.
    pub url_refusals: u32,
    /// Whether the server refused our token when it was asked last.
    pub locked_out: bool,
    /// The protocol that the server named last; 0 until it named one.
    #[serde(default)]
    pub server_protocol: u32,
    /// The server's clock beside the device's own, as of the last answer; `None` until one told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_clock: Option<ServerClock>,
    pub outbox: Outbox,
    pub partial: Option<Partial>,
    #[serde(default)]
    pub files: FileHistory,
    #[serde(default)]
    pub patches: PatchHistory,
    pub commands: CommandMemory,
    nudges: Vec<Nudge>,
}

impl AgentState {
    /// The state of a new agent, which polls at once.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            form: FORM,
            born: now.timestamp_millis(),
            sequence: 0,
            state: State::Idle,
            poll_at: Deadline::now(now),
            not_before: None,
            faults: 0,
            url_refusals: 0,
            locked_out: false,
            server_protocol: 0,
            server_clock: None,
            outbox: Outbox::new(now),
            partial: None,
            files: FileHistory::default(),
            patches: PatchHistory::default(),
            commands: CommandMemory::default(),
            nudges: vec![],
        }
    }

    /// The state of an agent whose state file can't be read. It may have accepted any command that was signed until
    /// now, so it refuses all of those.
    pub(crate) fn lost(now: DateTime<Utc>) -> Self {
        Self {
            commands: CommandMemory::lost(now),
            ..Self::new(now)
        }
    }

    /// The state file: a line with the SHA-256 of the rest, and the rest as JSON.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // None of the types within can fail to be written.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = FileHash(Sha256::digest(&json).into()).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&json);
        bytes
    }

    /// Reads a state file; `None` when it is damaged or of another format.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n')?;
        let (sum, json) = (std::str::from_utf8(&bytes[..line]).ok()?, &bytes[line + 1..]);
        if FileHash::parse(sum).ok()?.0[..] != Sha256::digest(json)[..] {
            return None;
        }
        let state: Self = serde_json::from_slice(json).ok()?;
        (state.form == FORM).then_some(state)
    }

    /// The server's time when the device's clock shows `own`: the device's own until an answer told the server's.
    pub(crate) fn server_time(&self, own: DateTime<Utc>) -> DateTime<Utc> {
        self.server_clock.map_or(own, |clock| clock.now(own))
    }

    /// Reads the server's clock from an answer, if it tells the time.
    pub(crate) fn hear(&mut self, headers: &http::HeaderMap, own: DateTime<Utc>) {
        self.server_clock = ServerClock::read(headers, own).or(self.server_clock);
    }

    /// The time itself, or the end of the server's `Retry-After` if that is later.
    pub(crate) fn respecting_retry_after(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.not_before.map_or(at, |not_before| at.max(not_before.at))
    }

    /// Corrects the deadlines that were set before the clock was set back: they are due now. Only a `Retry-After`
    /// starts again, since it must not be shortened.
    pub(crate) fn follow_clock(&mut self, now: DateTime<Utc>) {
        self.poll_at.expire_if_clock_went_back(now);
        self.outbox.at.expire_if_clock_went_back(now);
        match &mut self.state {
            State::Waiting(wait) | State::Reporting { then: Some(wait) } => {
                wait.at.expire_if_clock_went_back(now);
            }
            State::Downloading { at, .. } => at.expire_if_clock_went_back(now),
            State::Idle
            | State::Checking
            | State::Verifying { .. }
            | State::Installing { .. }
            | State::Reporting { then: None } => {}
        }
        if let Some(not_before) = &mut self.not_before {
            not_before.restart_if_clock_went_back(now);
        }
    }

    /// Whether an update waits whose terms depend on the time of day.
    pub(crate) fn waits_for_time(&self) -> bool {
        matches!(&self.state, State::Waiting(wait) if wait.job.is_timed())
    }

    /// When the next message is to be sent, if there is one.
    pub(crate) fn outgoing_at(&self) -> Option<DateTime<Utc>> {
        self.outbox.due().map(|at| self.respecting_retry_after(at))
    }

    /// Ends what the agent was doing: it sends what is due, and then waits or is idle.
    pub(crate) fn finish(&mut self, wait: Option<Wait>, now: DateTime<Utc>) {
        self.state = if self.outgoing_at().is_some_and(|at| is_due(at, now)) {
            State::Reporting { then: wait }
        } else {
            wait.map_or(State::Idle, State::Waiting)
        };
    }

    /// A request id that this device has not used before.
    pub(crate) fn next_id(&mut self) -> String {
        self.sequence += 1;
        format!("{:x}-{}", self.born, self.sequence)
    }

    /// Remembers a command that has to be answered.
    pub(crate) fn add_nudge(&mut self, nudge: Nudge) {
        if self.nudges.len() == MAX_NUDGES {
            self.nudges.remove(0);
        }
        self.nudges.push(nudge);
    }

    /// The server was polled: what comes of it answers the commands that were accepted before.
    pub(crate) fn polled(&mut self) {
        for nudge in &mut self.nudges {
            nudge.asked = true;
        }
    }

    /// Answers the commands that led to this outcome.
    pub(crate) fn answer_nudges(&mut self, device: &DeviceId, outcome: &str, now: DateTime<Utc>) {
        let (asked, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.nudges)
            .into_iter()
            .partition(|nudge| nudge.asked);
        self.nudges = waiting;
        for nudge in asked {
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
        self.outbox.push(Outgoing::ActionResult(ActionResultBody {
            request_id,
            device_id: device.as_str().to_owned(),
            action,
            outcome: outcome.to_owned(),
            message: None,
            finished_at: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        }));
    }
}
