//! Signals: what the agent is told by its embedder, such as a command that came through the push service.

use chrono::{DateTime, Utc};
use tidegate_signing::{Command, CommandVerifier};

use crate::agent::Agent;
use crate::agent_state::{Nudge, State};
use crate::deadline::Deadline;
use crate::outbox::Outgoing;
use crate::{Credentials, Error, Platform, StateStore, Transport};

/// The action of the one command that this agent knows: ask for an update now.
pub const UPDATE: &str = "update";

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// Accepts a command that came through the push service. The agent polls at its next step, or after a download that
    /// is under way. Call [`Agent::step`] next.
    ///
    /// # Errors
    /// [`Error::Command`] for a command that is forged, stale, accepted before, or another device's: nothing changes.
    /// [`Error::UnknownAction`] for a genuine one with an unknown action; the server is told so.
    /// [`Error::Storage`] when it can't be stored; it is refused then, since it could be accepted twice.
    pub fn nudge(&mut self, command: &Command) -> Result<(), Error> {
        self.nudge_of(command, self.platform.clock())
    }

    /// The same for a command that came earlier, while the agent was busy. `arrived`, by the device's clock, decides
    /// whether it is stale.
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
            self.change(|saved| {
                saved.commands = commands;
                saved.answer(&device, request_id, action.clone(), "unsupported", now);
            })?;
            return Err(Error::UnknownAction(action));
        }
        self.change(|saved| {
            saved.commands = commands;
            saved.poll_at = Deadline::now(now);
            saved.add_nudge(Nudge {
                request_id,
                action,
                asked: false,
            });
        })
    }

    /// Makes the next step ask the safety rules, because the charger, the network or a call changed.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn look_again(&mut self) -> Result<(), Error> {
        let now = self.platform.clock();
        self.change(|saved| {
            if let State::Waiting(wait) = &mut saved.state {
                wait.at = wait.at.min(Deadline::now(now));
            }
        })
    }

    /// Tells the server this device's Firebase token, and repeats that until it is acknowledged. An empty token tells that
    /// there is none any more.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn set_fcm_token(&mut self, token: &str) -> Result<(), Error> {
        self.change(|saved| saved.outbox.push(Outgoing::FcmToken(token.to_owned())))
    }

    /// Uses other credentials, after enrolling again. Files that were given up get another try, since the server forgets
    /// rejections when a device enrols again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn set_credentials(&mut self, credentials: Credentials) -> Result<(), Error> {
        let keys = credentials.command_keys.clone();
        self.verifier =
            CommandVerifier::new(self.config.device.clone(), keys).with_memory(self.saved.commands.clone());
        self.credentials = credentials;
        let protocol = self.credentials.server_protocol;
        let now = self.platform.clock();
        self.change(|saved| {
            saved.server_protocol = protocol.unwrap_or(saved.server_protocol);
            saved.files.forget_failures();
            saved.locked_out = false;
            saved.poll_at = Deadline::now(now);
            saved.outbox.at = Deadline::now(now);
        })
    }
}
