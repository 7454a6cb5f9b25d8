//! When the process is asked to end.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears SIGTERM, as service managers send it, and SIGINT, as Ctrl-C does. From when it is made the signals no longer
/// end the process by themselves, so it is made before anybody can be told that the process runs.
#[cfg(unix)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits until the process is asked to end, once more each time.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub(crate) async fn asked_to_end(&mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }
}

/// Hears Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits until the process is asked to end.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub(crate) async fn asked_to_end(&mut self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
