//! Hearing: what the agent is told from outside, by the push service or by whoever embeds it.

use chrono::{DateTime, Utc};
use tidegate_signing::{Command, CommandVerifier};

use crate::agent::Agent;
use crate::memory::{Nudge, State};
use crate::outbox::Letter;
use crate::patience::Alarm;
use crate::{Credentials, Error, Platform, StateStore, Transport};

/// The action of the one command that this agent knows: ask for an update now.
pub const UPDATE: &str = "update";

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// Takes a command that came through the push service: the agent then polls at once, or as soon as what it does
    /// is done. Call [`Agent::step`] next.
    ///
    /// # Errors
    /// [`Error::Command`] for a command that is forged, stale, taken before, or another device's: nothing changes.
    /// [`Error::UnknownAction`] for one that is ours and means nothing here; the server is told so.
    /// [`Error::Storage`] when it can't be remembered; it is not obeyed then, as it could be taken twice.
    pub fn nudge(&mut self, command: &Command) -> Result<(), Error> {
        self.nudge_of(command, self.platform.clock())
    }

    /// The same with a command that came earlier, by the device's clock, and had to wait until the agent could
    /// hear it. Whether it is stale is judged by that moment.
    ///
    /// # Errors
    /// As [`Agent::nudge`].
    pub fn nudge_of(&mut self, command: &Command, arrived: DateTime<Utc>) -> Result<(), Error> {
        let now = self.platform.clock();
        self.verifier.verify(command, arrived)?;
        let commands = self.verifier.memory().clone();
        let device = self.config.device.clone();
        let (request_id, action) = (command.request_id.clone(), command.action.clone());
        if action != UPDATE {
            self.change(|memory| {
                memory.commands = commands;
                memory.answer(&device, request_id, action.clone(), "unsupported", now);
            })?;
            return Err(Error::UnknownAction(action));
        }
        self.change(|memory| {
            memory.commands = commands;
            memory.poll_at = Alarm::now(now);
            memory.take(Nudge {
                request_id,
                action,
                asked: false,
            });
        })
    }

    /// Asks the safety rules at the next step, because something changed: a charger, a network, a call that ended.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn look_again(&mut self) -> Result<(), Error> {
        let now = self.platform.clock();
        self.change(|memory| {
            if let State::Waiting(wait) = &mut memory.state {
                wait.at = wait.at.min(Alarm::now(now));
            }
        })
    }

    /// Tells the server where Firebase reaches this device, until it has acknowledged it. Empty: nowhere any more.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn set_fcm_token(&mut self, token: &str) -> Result<(), Error> {
        self.change(|memory| memory.outbox.push(Letter::FcmToken(token.to_owned())))
    }

    /// Goes on with other credentials, after enrolling again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn set_credentials(&mut self, credentials: Credentials) -> Result<(), Error> {
        let keys = credentials.command_keys.clone();
        self.verifier =
            CommandVerifier::new(self.config.device.clone(), keys).with_memory(self.memory.commands.clone());
        self.credentials = credentials;
        let now = self.platform.clock();
        self.change(|memory| {
            memory.locked_out = false;
            memory.poll_at = Alarm::now(now);
            memory.outbox.at = Alarm::now(now);
        })
    }
}
