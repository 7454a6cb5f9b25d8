//! What can end a run before its end.

use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The population file does not describe a fleet. Correct it.
    #[error("the population cannot be played: {0}")]
    Population(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What was asked for makes no sense. Ask otherwise.
    #[error("{0}")]
    Usage(String),
    /// The server is not on this machine. A load generator must not be pointed at somebody else's.
    #[error(
        "{url} is not on this machine ({why}); the simulator plays only against a server that runs beside it"
    )]
    Elsewhere {
        /// The address, without whatever credentials it may carry.
        url: String,
        /// What it resolves to.
        why: String,
    },
    /// The server did not come (back) in time, or cannot be understood. Look at its log.
    #[error("{0}")]
    Server(String),
    /// The server refuses what the operator asks. Another token, or another order of things, may help.
    #[error("{what}: the server answers {status}: {detail}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// Somebody asked to end.
    #[error("interrupted; the counts were not compared")]
    Interrupted,
}
