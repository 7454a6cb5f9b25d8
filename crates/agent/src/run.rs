//! The loop of an agent that lives in real time.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_signing::Command;
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::{Platform, StateStore, Transport};

/// The longest single sleep. A device that slept deeply, or whose clock was set, is back on time after this.
const MAX_SLEEP: Duration = Duration::from_secs(15 * 60);

/// The shortest rest between two steps that are due at once, so that no fault can make an agent spin.
const BREATH: Duration = Duration::from_millis(1);

/// What an agent is told from outside while it runs.
#[derive(Clone)]
pub enum Signal {
    /// A command came through the push service.
    Command {
        /// The command.
        command: Command,
        /// When it came, by the device's clock. The agent may be busy with a download for longer than a command
        /// may be old, and hears of it only then.
        arrived: DateTime<Utc>,
    },
    /// A charger, a network or a call came or went.
    ConditionsChanged,
    /// Firebase reaches the device under another token.
    FcmToken(String),
}

/// Without the push token and the command's signature.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command { .. } => "Command",
            Self::ConditionsChanged => "ConditionsChanged",
            Self::FcmToken(_) => "FcmToken",
        })
    }
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// Steps and sleeps until `shutdown` completes, which may be at any point: what was under way goes on when the
    /// agent is opened again on the store that is returned. Signals are heard between two steps.
    pub async fn run(mut self, mut signals: mpsc::Receiver<Signal>, shutdown: impl Future<Output = ()>) -> S {
        tokio::pin!(shutdown);
        let mut connected = true;
        loop {
            let next = tokio::select! {
                biased;
                () = &mut shutdown => return self.into_store(),
                next = self.step() => next,
            };
            while let Ok(signal) = signals.try_recv() {
                self.hear(signal);
            }
            let wait = (next.at - self.platform.clock()).to_std().unwrap_or(BREATH);
            tokio::select! {
                () = &mut shutdown => return self.into_store(),
                () = tokio::time::sleep(wait.clamp(BREATH, MAX_SLEEP)) => {}
                signal = signals.recv(), if connected => match signal {
                    Some(signal) => self.hear(signal),
                    None => connected = false,
                },
            }
        }
    }

    fn hear(&mut self, signal: Signal) {
        let heard = match signal {
            Signal::Command { command, arrived } => self.nudge_of(&command, arrived),
            Signal::ConditionsChanged => self.look_again(),
            Signal::FcmToken(token) => self.set_fcm_token(&token),
        };
        if let Err(error) = heard {
            tracing::warn!(%error, "a signal was not obeyed");
        }
    }
}
