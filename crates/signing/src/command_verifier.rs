//! The checking side of commands, as an agent runs it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tidegate_domain::DeviceId;

use crate::command::{Command, MAX_ACTION_BYTES, MAX_COMMAND_REQUEST_ID_BYTES, check};
use crate::{CommandKey, CommandKeys};

/// How far a command's time may lie from the agent's, either way, in seconds. What the push service delivers
/// later than this is refused, so it should be told not to.
pub const COMMAND_WINDOW_SECONDS: i64 = 300;

/// How many commands an agent remembers. Only commands that we signed are, so an attacker cannot fill it.
pub const MAX_SEEN_COMMANDS: usize = 1024;

/// The longest RFC 3339 time that is read, in bytes: nanoseconds and an offset fit.
const MAX_TS_BYTES: usize = 40;

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A field cannot be one that we wrote.
    #[error("the command is malformed")]
    Malformed,
    /// It is meant for another device.
    #[error("the command is for another device")]
    Foreign,
    /// Neither of our keys signed it.
    #[error("the command's signature is not ours")]
    Forged,
    /// Its time is too far from ours, before or after.
    #[error("the command's time is outside of the accepted window")]
    Stale,
    /// It was taken before.
    #[error("the command was taken before")]
    Replayed,
    /// More commands came within the window than can be remembered. Refusing more is safe, forgetting is not.
    #[error("too many commands at once")]
    TooMany,
}

/// Which commands were taken, for an agent to keep over a restart. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandMemory {
    /// Request ids, each with the time that its command bears.
    seen: BTreeMap<String, DateTime<Utc>>,
    /// What bears this time or an earlier one is refused, since it is not known whether it was taken.
    forgotten_until: Option<DateTime<Utc>>,
}

impl CommandMemory {
    /// The memory of an agent that lost its own: nothing that was signed before now is taken.
    pub fn lost(now: DateTime<Utc>) -> Self {
        Self {
            seen: BTreeMap::new(),
            forgotten_until: Some(now),
        }
    }

    /// Forgets what could not be taken any more. The latest time among it is kept: were the device's clock set
    /// back, a forgotten command would come into the window again, and must still be refused.
    fn forget_before(&mut self, limit: DateTime<Utc>) {
        let forgotten_until = &mut self.forgotten_until;
        self.seen.retain(|_, ts| {
            let keep = *ts >= limit;
            if !keep {
                *forgotten_until = (*forgotten_until).max(Some(*ts));
            }
            keep
        });
    }
}

/// Takes each command that is meant for its device once, within a window of time.
///
/// The memory of commands taken lives as long as the verifier, unless the agent keeps it
/// ([`CommandVerifier::memory`]) and gives it to the next one ([`CommandVerifier::with_memory`]). An agent that
/// doesn't, and restarts within the window, may take one a second time; that is harmless for commands like
/// `update`, which only ask for what would happen anyway.
#[derive(Debug)]
pub struct CommandVerifier {
    device: DeviceId,
    keys: CommandKeys,
    window: TimeDelta,
    memory: CommandMemory,
}

impl CommandVerifier {
    /// A verifier with the window of [`COMMAND_WINDOW_SECONDS`].
    pub fn new(device: DeviceId, keys: CommandKeys) -> Self {
        Self {
            device,
            keys,
            window: TimeDelta::seconds(COMMAND_WINDOW_SECONDS),
            memory: CommandMemory::default(),
        }
    }

    /// Goes on with what an earlier verifier took.
    #[must_use]
    pub fn with_memory(mut self, memory: CommandMemory) -> Self {
        self.memory = memory;
        self
    }

    /// What was taken until now.
    pub fn memory(&self) -> &CommandMemory {
        &self.memory
    }

    /// Sets another window.
    #[must_use]
    pub fn with_window(mut self, window: TimeDelta) -> Self {
        self.window = window;
        self
    }

    /// Takes a command, or says why not. A refused one leaves no trace.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn verify(&mut self, command: &Command, now: DateTime<Utc>) -> Result<(), CommandError> {
        let ts = read_time(command).ok_or(CommandError::Malformed)?;
        if command.device_id != self.device.as_str() {
            return Err(CommandError::Foreign);
        }
        if !self.keys.iter().any(|key| signed_with(key, command)) {
            return Err(CommandError::Forged);
        }
        let memory = &mut self.memory;
        if (now - ts).abs() > self.window || Some(ts) <= memory.forgotten_until {
            return Err(CommandError::Stale);
        }
        memory.forget_before(now - self.window);
        if memory.seen.contains_key(&command.request_id) {
            return Err(CommandError::Replayed);
        }
        if memory.seen.len() >= MAX_SEEN_COMMANDS {
            return Err(CommandError::TooMany);
        }
        memory.seen.insert(command.request_id.clone(), ts);
        Ok(())
    }
}

/// The command's time, if all its fields have their form.
fn read_time(command: &Command) -> Option<DateTime<Utc>> {
    check("action", &command.action, MAX_ACTION_BYTES).ok()?;
    check("request_id", &command.request_id, MAX_COMMAND_REQUEST_ID_BYTES).ok()?;
    if command.ts.len() > MAX_TS_BYTES {
        return None;
    }
    Some(DateTime::parse_from_rfc3339(&command.ts).ok()?.to_utc())
}

fn signed_with(key: &CommandKey, command: &Command) -> bool {
    let tag = command.tag(key);
    let by = |hmac: &str| tag.ct_eq(hmac.as_bytes());
    let by_either = by(&command.hmac) | command.hmac_rotation.as_deref().map_or(0.into(), by);
    by_either.into()
}
