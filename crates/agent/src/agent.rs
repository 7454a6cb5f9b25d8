//! The agent: its state machine, one transition at a time.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, DeferReason, Sha256, VersionCode, look_again_after, preflight};
use tidegate_signing::CommandVerifier;

use crate::agent_state::{AgentState, Partial, State, Wait};
use crate::backoff::pause;
use crate::config::Config;
use crate::deadline::{Deadline, is_due};
use crate::expected_apk::ExpectedApk;
use crate::install_terms::Hold;
use crate::platform::conditions;
use crate::protocol::Manifest;
use crate::server_clock::ServerClock;
use crate::target::Target;
use crate::{Credentials, Error, Platform, StateStore, Transport};

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing to do until the next poll.
    Idle,
    /// A poll is due.
    Checking,
    /// A safety rule or the rollout's terms forbid the update for now.
    Waiting(DeferReason),
    /// The file is being fetched.
    Downloading,
    /// The whole file is here and has to be verified.
    Verifying,
    /// The file is verified and Android has to install it.
    Installing,
    /// Messages to the server have to be sent.
    Reporting,
}

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When to call [`Agent::step`] again. This is now if there is more to do. An earlier call does nothing.
    pub at: DateTime<Utc>,
    /// Where the agent stands.
    pub phase: Phase,
}

/// A device's agent for one package.
#[derive(Debug)]
pub struct Agent<P, T, S> {
    pub(crate) config: Config,
    pub(crate) credentials: Credentials,
    pub(crate) platform: P,
    pub(crate) transport: T,
    pub(crate) store: S,
    pub(crate) saved: AgentState,
    pub(crate) verifier: CommandVerifier,
    /// What the file was verified against since this agent was opened.
    pub(crate) verified: Option<ExpectedApk>,
    /// The ETag of the place that the file comes from now, where that is not the server itself.
    pub(crate) etag: Option<String>,
    /// What the device's clock showed at the last step.
    seen: DateTime<Utc>,
    /// How often in a row the device's own storage failed.
    storage_faults: u32,
    /// When it is used again after a failure.
    stalled_until: Option<Deadline>,
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// An agent that continues where the last one on this store stopped, however it stopped. Its first step polls,
    /// unless there is an update to finish first, or the server's `Retry-After` is not over.
    ///
    /// A state that can't be read is set aside, and the agent starts with an empty one: reports that were not
    /// acknowledged are lost, the file is fetched again, and commands that were signed before now are refused, since
    /// they may have been accepted already. Nothing is installed twice, since Android knows what is installed.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Invalid`] for a setting that can't be used, such as a server that is no URL.
    pub fn open(
        config: Config,
        credentials: Credentials,
        platform: P,
        transport: T,
        mut store: S,
    ) -> Result<Self, Error> {
        config.check()?;
        let now = platform.clock();
        let saved = match store.load()? {
            None => AgentState::new(now),
            Some(bytes) => match AgentState::from_bytes(&bytes) {
                Some(saved) => saved,
                None => {
                    tracing::error!("the agent's state can't be read; it starts with an empty one");
                    store.set_aside(&bytes)?;
                    AgentState::lost(now)
                }
            },
        };
        let verifier = CommandVerifier::new(config.device.clone(), credentials.command_keys.clone())
            .with_memory(saved.commands.clone());
        let mut agent = Self {
            config,
            credentials,
            platform,
            transport,
            store,
            saved,
            verifier,
            verified: None,
            etag: None,
            seen: now,
            storage_faults: 0,
            stalled_until: None,
        };
        agent.recover(now)?;
        Ok(agent)
    }

    /// Corrects the state after a restart: the end of the file may be missing, and what an earlier process verified
    /// has to be verified again.
    fn recover(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        if self.saved.partial.as_ref().is_some_and(|partial| partial.made) {
            // It was whole and synced before that was noted.
            self.store.adopt_result()?;
        } else {
            self.store.clear_workbench()?;
        }
        let synced = self.saved.partial.as_ref().map_or(0, |partial| partial.synced);
        let len = self.store.file_len()?;
        if len > synced {
            self.store.truncate(synced)?;
        } else if len < synced {
            // The storage lost bytes that it had synced. What is left may be wrong as well.
            self.store.truncate(0)?;
        }
        let lost = len < synced;
        let protocol = self.credentials.server_protocol;
        self.change(|saved| {
            saved.server_protocol = protocol.unwrap_or(saved.server_protocol);
            if lost {
                saved.partial = None;
            }
            saved.poll_at = Deadline::now(now);
            saved.outbox.at = Deadline::now(now);
            if let State::Installing { job } = &saved.state {
                saved.state = State::Verifying { job: job.clone() };
            }
        })?;
        Ok(())
    }

    /// Makes one transition, if one is due. Its result is in the store when this returns. Dropping the future is like a
    /// loss of power: open another agent on the store then.
    pub async fn step(&mut self) -> Next {
        let now = self.platform.clock();
        self.follow_clock(now);
        if is_due(self.wake_at(), now) {
            match self.transit(now).await {
                Ok(()) => (self.storage_faults, self.stalled_until) = (0, None),
                Err(error) => self.stall(&error),
            }
        }
        let now = self.platform.clock();
        self.follow_clock(now);
        Next {
            at: self.wake_at().max(now),
            phase: self.phase(),
        }
    }

    /// Corrects all deadlines if the clock was set back, which may happen during a step too. What waits for a time of day
    /// then asks the server for it, or it would wait longer by as much as the clock was set back.
    fn follow_clock(&mut self, now: DateTime<Utc>) {
        self.saved.follow_clock(now);
        if now < self.seen && self.saved.waits_for_time() {
            self.saved.poll_at = Deadline::now(now);
        }
        self.seen = now;
        if let Some(until) = &mut self.stalled_until {
            until.expire_if_clock_went_back(now);
        }
    }

    async fn transit(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        match self.saved.state.clone() {
            State::Idle => self.leave_idle(now),
            State::Checking => self.check(now).await,
            State::Waiting(wait) => self.continue_waiting(&wait, now),
            State::Downloading { job, .. } => self.download(&job, now).await,
            State::Verifying { job } => self.verify(&job, now).await,
            State::Installing { job } => self.install(&job, now).await,
            State::Reporting { then } => self.send_next(then, now).await,
        }
    }

    /// The device's storage failed: the state stays what the store holds, and the transition is tried again later.
    fn stall(&mut self, error: &Error) {
        self.storage_faults += 1;
        let wait = pause(self.config.device.as_str(), self.storage_faults);
        tracing::error!(%error, "a step of the agent failed");
        self.stalled_until = Some(Deadline::after(self.platform.clock(), wait));
    }

    fn wake_at(&self) -> DateTime<Utc> {
        let due = match &self.saved.state {
            State::Idle => self.poll_or_send_at(),
            State::Waiting(wait) => self
                .poll_or_send_at()
                .min(self.saved.respecting_retry_after(wait.at.at)),
            State::Downloading { at, .. } => self.saved.respecting_retry_after(at.at).min(self.poll_at()),
            State::Checking
            | State::Verifying { .. }
            | State::Installing { .. }
            | State::Reporting { .. } => DateTime::<Utc>::MIN_UTC,
        };
        self.stalled_until.map_or(due, |until| due.max(until.at))
    }

    fn poll_or_send_at(&self) -> DateTime<Utc> {
        let poll = self.poll_at();
        self.saved
            .outgoing_at()
            .map_or(poll, |outgoing| outgoing.min(poll))
    }

    fn poll_at(&self) -> DateTime<Utc> {
        self.saved.respecting_retry_after(self.saved.poll_at.at)
    }

    /// Whether the present offer has to be confirmed by a poll, as after a restart or a command: it may have been taken
    /// back.
    pub(crate) fn is_poll_due(&self, now: DateTime<Utc>) -> bool {
        is_due(self.saved.poll_at.at, now)
    }

    /// Polls again before the update goes on, as soon as the server's `Retry-After` allows. What was fetched is kept.
    pub(crate) fn poll_again(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let state = if is_due(self.poll_at(), now) {
            State::Checking
        } else {
            State::Idle
        };
        self.change(|saved| saved.state = state)
    }

    fn is_message_due(&self, now: DateTime<Utc>) -> bool {
        self.saved.outgoing_at().is_some_and(|at| is_due(at, now))
    }

    fn leave_idle(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let state = if self.is_message_due(now) {
            State::Reporting { then: None }
        } else {
            State::Checking
        };
        self.change(|saved| saved.state = state)
    }

    /// Asks the safety rules again. When they allow the update, the agent polls before it goes on, since the offer may
    /// have been taken back.
    fn continue_waiting(&mut self, wait: &Wait, now: DateTime<Utc>) -> Result<(), Error> {
        if self.is_message_due(now) {
            let then = Some(wait.clone());
            return self.change(|saved| saved.state = State::Reporting { then });
        }
        if is_due(self.poll_at(), now) {
            return self.change(|saved| saved.state = State::Checking);
        }
        if let Err(reason) = self.permission(&wait.job) {
            return self.defer(&wait.job, reason);
        }
        match self.hold(&wait.job) {
            Some(hold) => self.defer_for(&wait.job, hold),
            None => self.change(|saved| saved.state = State::Checking),
        }
    }

    /// What the rollout's terms say to an installation now. A file that is not here as a whole is fetched first.
    pub(crate) fn hold(&self, job: &Manifest) -> Option<Hold> {
        if self.fetched(job) < job.file_size {
            return None;
        }
        let now = self.saved.server_time(self.platform.clock());
        job.hold(self.config.device.as_str(), &self.platform, now)
    }

    /// Whether the device's clock may have been set since the server's was read, where that matters.
    pub(crate) fn doubts_clock(&self, job: &Manifest) -> bool {
        let own = self.platform.clock();
        let is_old = |clock: ServerClock| !clock.is_fresh(own);
        job.is_timed() && self.saved.server_clock.is_some_and(is_old)
    }

    /// What the safety rules say to an update.
    pub(crate) fn permission(&self, job: &Manifest) -> Result<(), DeferReason> {
        let needs = Target::whole_file(job).needs(job, self.fetched(job));
        preflight(&conditions(&self.platform), &needs)
    }

    /// How many bytes of a job's file are here and safe from a loss of power.
    pub(crate) fn fetched(&self, job: &Manifest) -> u64 {
        self.fetched_with(job.sha256)
    }

    /// The same of a patch or a file.
    pub(crate) fn fetched_of(&self, target: &Target) -> u64 {
        self.fetched_with(target.sha256)
    }

    fn fetched_with(&self, sha256: Sha256) -> u64 {
        let is_of_this = |partial: &&Partial| partial.sha256 == sha256;
        self.saved
            .partial
            .as_ref()
            .filter(is_of_this)
            .map_or(0, |partial| partial.synced)
    }

    /// Waits because of a safety rule, and reports that once for each rule, file and attempt.
    pub(crate) fn defer(&mut self, job: &Manifest, reason: DeferReason) -> Result<(), Error> {
        let wait = look_again_after(job.must_install);
        self.defer_for(job, Hold { reason, wait })
    }

    /// Waits for as long as a hold says, and reports its reason once for each file and attempt.
    pub(crate) fn defer_for(&mut self, job: &Manifest, hold: Hold) -> Result<(), Error> {
        let now = self.platform.clock();
        let reason = hold.reason;
        let wait = Wait {
            job: job.clone(),
            reason,
            at: Deadline::after(now, hold.wait),
        };
        let device = self.config.device.clone();
        self.change(|saved| {
            saved.report_deferral(job, reason, now);
            saved.answer_nudges(&device, "deferred", now);
            saved.finish(Some(wait), now);
        })
    }

    /// Deletes what was fetched.
    pub(crate) fn discard_file(&mut self) -> Result<(), Error> {
        self.verified = None;
        self.change(|saved| saved.partial = None)?;
        self.store.clear_workbench()?;
        Ok(self.store.truncate(0)?)
    }

    /// Changes the state: first in the store, then here. So when an action follows, the store knows of it already.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut AgentState)) -> Result<(), Error> {
        let mut changed = self.saved.clone();
        change(&mut changed);
        if changed != self.saved {
            self.store.save(&changed.to_bytes())?;
            self.saved = changed;
        }
        Ok(())
    }

    /// Where the agent stands.
    pub fn phase(&self) -> Phase {
        match &self.saved.state {
            State::Idle => Phase::Idle,
            State::Checking => Phase::Checking,
            State::Waiting(wait) => Phase::Waiting(wait.reason),
            State::Downloading { .. } => Phase::Downloading,
            State::Verifying { .. } => Phase::Verifying,
            State::Installing { .. } => Phase::Installing,
            State::Reporting { .. } => Phase::Reporting,
        }
    }

    /// The build that is being installed or waited for, if there is one.
    pub fn taking(&self) -> Option<(BuildId, VersionCode)> {
        let job = match &self.saved.state {
            State::Waiting(wait) => &wait.job,
            State::Downloading { job, .. } | State::Verifying { job } | State::Installing { job } => job,
            State::Idle | State::Checking | State::Reporting { .. } => return None,
        };
        Some((job.build_id, job.version_code))
    }

    /// How many messages the server has not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.saved.outbox.len()
    }

    /// Whether the server refused the device's token when it was asked last. The device has to enrol again then.
    pub fn is_locked_out(&self) -> bool {
        self.saved.locked_out
    }

    /// The device.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The transport.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Ends the agent and returns its store, for another agent.
    pub fn into_store(self) -> S {
        self.store
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.server.trim_end_matches('/'))
    }
}
