//! The loop that drives an agent in real time.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_signing::Command;
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::{Platform, StateStore, Transport};

/// The longest single sleep. After this the loop looks at the clock again, which may have been set, or have gone on
/// while the device slept.
const MAX_SLEEP: Duration = Duration::from_secs(15 * 60);

/// The shortest sleep between two steps, so that no fault can make an agent use a whole processor.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// What an agent is told by its embedder while it runs.
#[derive(Clone)]
pub enum Signal {
    /// A command came through the push service.
    Command {
        /// The command.
        command: Command,
        /// When it came, by the device's clock. A download can keep the agent busy for longer than a command may be
        /// old.
        arrived: DateTime<Utc>,
    },
    /// The charger, the network or a call changed.
    ConditionsChanged,
    /// Firebase gave the device another registration token.
    FcmToken(String),
}

/// Prints the kind only, without the push token and the command's signature.
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
    /// Steps and sleeps until `shutdown` completes, which may interrupt a step: an agent that is opened on the returned
    /// store continues it. Signals are handled between two steps.
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
                self.handle(signal);
            }
            let wait = (next.at - self.platform.clock()).to_std().unwrap_or(MIN_SLEEP);
            tokio::select! {
                () = &mut shutdown => return self.into_store(),
                () = tokio::time::sleep(wait.clamp(MIN_SLEEP, MAX_SLEEP)) => {}
                signal = signals.recv(), if connected => match signal {
                    Some(signal) => self.handle(signal),
                    None => connected = false,
                },
            }
        }
    }

    fn handle(&mut self, signal: Signal) {
        let handled = match signal {
            Signal::Command { command, arrived } => self.nudge_of(&command, arrived),
            Signal::ConditionsChanged => self.look_again(),
            Signal::FcmToken(token) => self.set_fcm_token(&token),
        };
        if let Err(error) = handled {
            tracing::warn!(%error, "a signal was refused");
        }
    }
}
