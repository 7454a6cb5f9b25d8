//! Why the program cannot do what it was told.

use std::io;
use std::net::SocketAddr;

use crate::config::Faults;

/// Why the program cannot do what it was told. The message is for the person at the console.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings are wrong: mend them.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// A setting has the right form, and what it names does not work.
    #[error("{setting}: {fault}")]
    Unusable {
        /// The setting's name.
        setting: &'static str,
        /// What the layer below says.
        fault: String,
    },
    /// A port cannot be bound.
    #[error("{setting} = \"{address}\": the port cannot be taken: {source}")]
    Port {
        /// The setting's name.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A use case refuses.
    #[error(transparent)]
    Refused(#[from] tidegate_service::Error),
    /// The demo came to an end that it should not have.
    #[cfg(feature = "demo")]
    #[error("the demo stopped: {0}")]
    Demo(String),
    /// The runtime, the signal handlers or the standard streams fail.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Error {
    pub(crate) fn unusable(setting: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Self {
        move |fault| Self::Unusable {
            setting,
            fault: fault.to_string(),
        }
    }

    pub(crate) fn file(path: &std::path::Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File {
            path: path.display().to_string(),
            source,
        }
    }
}
