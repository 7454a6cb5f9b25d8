//! What can go wrong around an agent, by what its embedder does about it.

use std::io;

use tidegate_signing::CommandError;

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server can't be reached, or the connection broke: try again later.
    #[error("the server was not reached: {0}")]
    Transport(String),
    /// Something else than our server answered, or it answers in a way that this agent does not know.
    #[error("the answer can't be used: {0}")]
    Malformed(String),
    /// The server refuses.
    #[error("the server refuses with {status} {code}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable name of the refusal; empty when none came along.
        code: String,
        /// What is wrong, in words.
        detail: String,
    },
    /// The device's own storage fails.
    #[error("the device's storage fails: {0}")]
    Storage(#[from] io::Error),
    /// The folder belongs to an agent that runs already.
    #[error("another agent works in {0}")]
    Busy(String),
    /// A command is not to be obeyed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A command is ours, and this agent doesn't know what to do about it.
    #[error("the action {0:?} is unknown to this agent")]
    UnknownAction(String),
    /// A setting or a credential does not have the form that it needs.
    #[error("{what} {fault}")]
    Invalid {
        /// Which.
        what: &'static str,
        /// What is wrong with it, to be read after its name.
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
