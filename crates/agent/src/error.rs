//! The errors of an agent, one for each thing that an embedder can do about them.

use std::io;

use tidegate_signing::CommandError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server can't be reached, or the connection broke: try again later.
    #[error("the server was not reached: {0}")]
    Transport(String),
    /// The answer is not one of this protocol. Perhaps something else than the server answered.
    #[error("the answer can't be used: {0}")]
    Malformed(String),
    /// The server refuses.
    #[error("the server refuses with {status} {code}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code of the refusal; empty if the answer has none.
        code: String,
        /// What is wrong, in words.
        detail: String,
    },
    /// The device's own storage fails.
    #[error("the device's storage fails: {0}")]
    Storage(#[from] io::Error),
    /// Another agent uses the folder.
    #[error("another agent uses {0}")]
    Busy(String),
    /// A command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A command is genuine, but this agent doesn't know its action.
    #[error("the action {0:?} is unknown to this agent")]
    UnknownAction(String),
    /// A setting or a credential is malformed.
    #[error("{what} {fault}")]
    Invalid {
        /// Which.
        what: &'static str,
        /// What is wrong with it, as the rest of a sentence that starts with its name.
        fault: String,
    },
}

impl Error {
    pub(crate) fn invalid(what: &'static str, fault: impl Into<String>) -> Self {
        Self::Invalid {
            what,
            fault: fault.into(),
        }
    }
}
