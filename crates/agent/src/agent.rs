//! The agent: its state machine, one transition at a time.

use chrono::{DateTime, Utc};
use tidegate_domain::{
    BuildId, DeferReason, DeviceId, PackageName, UpdateNeeds, VersionCode, look_again_after, preflight,
};
use tidegate_signing::CommandVerifier;

use crate::memory::{Memory, State, Wait};
use crate::patience::{Alarm, is_due, pause};
use crate::platform::conditions;
use crate::protocol::Manifest;
use crate::verifying::Promise;
use crate::{Credentials, Error, Platform, StateStore, Transport};

/// Whose agent it is, and of which server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server, such as `https://updates.example.com`.
    pub server: String,
    /// The device.
    pub device: DeviceId,
    /// The package that is kept up to date.
    pub package: PackageName,
    /// `Build.VERSION.SDK_INT`: signatures are verified as this level does.
    pub sdk: u32,
    /// `Build.MODEL`, for audiences.
    pub model: Option<String>,
    /// The region, for audiences.
    pub region: Option<String>,
    /// `Build.SUPPORTED_ABIS`, comma-separated, best first.
    pub abis: Option<String>,
}

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing to do until the next poll.
    Idle,
    /// A poll is due.
    Checking,
    /// A safety rule holds an update up.
    Waiting(DeferReason),
    /// The file is being fetched.
    Downloading,
    /// The file is here and not yet trusted.
    Verifying,
    /// The file is trusted and Android has to say.
    Installing,
    /// The server has to be told.
    Reporting,
}

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When [`Agent::step`] is to be called again: now, when there is more to do at once. An earlier call does
    /// nothing.
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
    pub(crate) memory: Memory,
    pub(crate) verifier: CommandVerifier,
    /// What the file was found to keep by this very agent, since it was opened.
    pub(crate) verified: Option<Promise>,
    /// How often in a row the device's own storage failed, and until when it is left alone.
    storage_faults: u32,
    stalled_until: Option<Alarm>,
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// An agent that goes on where the last one on this store stopped, however it stopped. It polls at its first
    /// step, unless it has something more urgent to finish, or was told by the server to stay away.
    ///
    /// A state that can't be read is set aside, and the agent begins anew: reports that were not acknowledged are
    /// lost, what was fetched is fetched again, and commands that were signed before now are refused, since
    /// they may have been taken. What is installed is asked of Android, so nothing is installed twice.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Invalid`] for a server that is no URL.
    pub fn open(
        config: Config,
        credentials: Credentials,
        platform: P,
        transport: T,
        mut store: S,
    ) -> Result<Self, Error> {
        check_server(&config.server)?;
        let now = platform.clock();
        let memory = match store.load()? {
            None => Memory::new(now),
            Some(bytes) => match Memory::from_bytes(&bytes) {
                Some(memory) => memory,
                None => {
                    tracing::error!("the agent's state can't be read; it begins anew");
                    store.set_aside(&bytes)?;
                    Memory::lost(now)
                }
            },
        };
        let verifier = CommandVerifier::new(config.device.clone(), credentials.command_keys.clone())
            .with_memory(memory.commands.clone());
        let mut agent = Self {
            config,
            credentials,
            platform,
            transport,
            store,
            memory,
            verifier,
            verified: None,
            storage_faults: 0,
            stalled_until: None,
        };
        agent.wake_up(now)?;
        Ok(agent)
    }

    /// What differs after a restart: the file may have lost its end, and nothing is trusted that an earlier process
    /// verified.
    fn wake_up(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let synced = self.memory.partial.map_or(0, |partial| partial.synced);
        let len = self.store.file_len()?;
        if len > synced {
            self.store.truncate(synced)?;
        } else if len < synced {
            // The storage broke its word. What is there may not be what was written.
            self.store.truncate(0)?;
        }
        let lost = len < synced;
        self.change(|memory| {
            if lost {
                memory.partial = None;
            }
            memory.poll_at = Alarm::now(now);
            memory.outbox.at = Alarm::now(now);
            if let State::Installing { job } = &memory.state {
                memory.state = State::Verifying { job: job.clone() };
            }
        })?;
        Ok(())
    }

    /// Makes one transition, if one is due. What it did is in the store when it returns. Dropping the future at
    /// any point is like a loss of power: the agent is to be opened again on what the store holds.
    pub async fn step(&mut self) -> Next {
        let now = self.platform.clock();
        self.set_right(now);
        if is_due(self.wake_at(), now) {
            match self.transit(now).await {
                Ok(()) => (self.storage_faults, self.stalled_until) = (0, None),
                Err(error) => self.stall(&error),
            }
        }
        let now = self.platform.clock();
        self.set_right(now);
        Next {
            at: self.wake_at().max(now),
            phase: self.phase(),
        }
    }

    /// The clock may have been set back, also in the middle of a step.
    fn set_right(&mut self, now: DateTime<Utc>) {
        self.memory.set_right(now);
        if let Some(until) = &mut self.stalled_until {
            until.set_right(now);
        }
    }

    async fn transit(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        match self.memory.state.clone() {
            State::Idle => self.leave_idle(now),
            State::Checking => self.check(now).await,
            State::Waiting(wait) => self.look_around(&wait, now),
            State::Downloading { job, .. } => self.download(&job, now).await,
            State::Verifying { job } => self.verify(&job, now).await,
            State::Installing { job } => self.install(&job, now).await,
            State::Reporting { then } => self.send_letter(then, now).await,
        }
    }

    /// The device's storage fails: the state stays what the store holds, and the transition is tried again.
    fn stall(&mut self, error: &Error) {
        self.storage_faults += 1;
        let wait = pause(self.config.device.as_str(), self.storage_faults);
        tracing::error!(%error, "a step of the agent failed");
        self.stalled_until = Some(Alarm::after(self.platform.clock(), wait));
    }

    fn wake_at(&self) -> DateTime<Utc> {
        let due = match &self.memory.state {
            State::Idle => self.rest_ends(),
            State::Waiting(wait) => self.rest_ends().min(self.memory.heeding(wait.at.at)),
            State::Downloading { at, .. } => self.memory.heeding(at.at).min(self.poll_at()),
            State::Checking
            | State::Verifying { .. }
            | State::Installing { .. }
            | State::Reporting { .. } => DateTime::<Utc>::MIN_UTC,
        };
        self.stalled_until.map_or(due, |until| due.max(until.at))
    }

    fn rest_ends(&self) -> DateTime<Utc> {
        let poll = self.poll_at();
        self.letters_at().map_or(poll, |letters| letters.min(poll))
    }

    fn poll_at(&self) -> DateTime<Utc> {
        self.memory.heeding(self.memory.poll_at.at)
    }

    /// Whether the offer that is being taken is old, as after a restart or a command: it may have been taken back.
    pub(crate) fn is_to_ask_again(&self, now: DateTime<Utc>) -> bool {
        is_due(self.memory.poll_at.at, now)
    }

    /// Asks whether the offer is still meant, as soon as the server lets itself be asked. What was fetched is kept.
    pub(crate) fn ask_again(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let state = if is_due(self.poll_at(), now) {
            State::Checking
        } else {
            State::Idle
        };
        self.change(|memory| memory.state = state)
    }

    fn letters_at(&self) -> Option<DateTime<Utc>> {
        self.memory.letters_at()
    }

    fn leave_idle(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let state = if self.letters_at().is_some_and(|at| is_due(at, now)) {
            State::Reporting { then: None }
        } else {
            State::Checking
        };
        self.change(|memory| memory.state = state)
    }

    /// A wait never ends in an installation: it ends in a poll, since the offer may have been taken back meanwhile.
    fn look_around(&mut self, wait: &Wait, now: DateTime<Utc>) -> Result<(), Error> {
        if self.letters_at().is_some_and(|at| is_due(at, now)) {
            let then = Some(wait.clone());
            return self.change(|memory| memory.state = State::Reporting { then });
        }
        if is_due(self.poll_at(), now) {
            return self.change(|memory| memory.state = State::Checking);
        }
        match self.permission(&wait.job) {
            Ok(()) => self.change(|memory| memory.state = State::Checking),
            Err(reason) => self.defer(&wait.job, reason),
        }
    }

    /// Asks the safety rules.
    pub(crate) fn permission(&self, job: &Manifest) -> Result<(), DeferReason> {
        let here = self.fetched(job);
        let fetch_bytes = job.file_size.saturating_sub(here);
        let needs = UpdateNeeds {
            wifi_only: job.wifi_only,
            fetch_bytes,
            space_bytes: fetch_bytes + job.file_size,
        };
        preflight(&conditions(&self.platform), &needs)
    }

    /// How much of a job's file is here, safely.
    pub(crate) fn fetched(&self, job: &Manifest) -> u64 {
        let ours = |partial: &crate::memory::Partial| partial.sha256 == job.sha256;
        self.memory
            .partial
            .filter(ours)
            .map_or(0, |partial| partial.synced)
    }

    /// Waits because of a safety rule, and reports it once for each rule and attempt.
    pub(crate) fn defer(&mut self, job: &Manifest, reason: DeferReason) -> Result<(), Error> {
        let now = self.platform.clock();
        let wait = Wait {
            job: job.clone(),
            reason,
            at: Alarm::after(now, look_again_after(job.must_install)),
        };
        let device = self.config.device.clone();
        self.change(|memory| {
            memory.defer(job, reason, now);
            memory.answer_nudges(&device, "deferred", now);
            memory.rest(Some(wait), now);
        })
    }

    /// Lets go of the file that is on its way.
    pub(crate) fn discard_file(&mut self) -> Result<(), Error> {
        self.verified = None;
        self.change(|memory| memory.partial = None)?;
        Ok(self.store.truncate(0)?)
    }

    /// Changes the memory: first in the store, then in here, so that what has been done is never more than what is
    /// known to have been done.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Memory)) -> Result<(), Error> {
        let mut memory = self.memory.clone();
        change(&mut memory);
        if memory != self.memory {
            self.store.save(&memory.to_bytes())?;
            self.memory = memory;
        }
        Ok(())
    }

    /// Where the agent stands.
    pub fn phase(&self) -> Phase {
        match &self.memory.state {
            State::Idle => Phase::Idle,
            State::Checking => Phase::Checking,
            State::Waiting(wait) => Phase::Waiting(wait.reason),
            State::Downloading { .. } => Phase::Downloading,
            State::Verifying { .. } => Phase::Verifying,
            State::Installing { .. } => Phase::Installing,
            State::Reporting { .. } => Phase::Reporting,
        }
    }

    /// The build that is being taken, if one is.
    pub fn taking(&self) -> Option<(BuildId, VersionCode)> {
        let job = match &self.memory.state {
            State::Waiting(wait) => &wait.job,
            State::Downloading { job, .. } | State::Verifying { job } | State::Installing { job } => job,
            State::Idle | State::Checking | State::Reporting { .. } => return None,
        };
        Some((job.build_id, job.version_code))
    }

    /// How many things the server has not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.memory.outbox.len()
    }

    /// Whether the server refused the device's token when it was asked last: the device has to enrol again.
    pub fn is_locked_out(&self) -> bool {
        self.memory.locked_out
    }

    /// The device.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The transport.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The store, for instance to take the power away from and open another agent on.
    pub fn into_store(self) -> S {
        self.store
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.server.trim_end_matches('/'))
    }
}

fn check_server(server: &str) -> Result<(), Error> {
    let known = server.starts_with("http://") || server.starts_with("https://");
    match server.parse::<http::Uri>() {
        Ok(uri) if known && uri.query().is_none() => Ok(()),
        _ => Err(Error::invalid(
            "server",
            "must be a URL such as https://updates.example.com",
        )),
    }
}
