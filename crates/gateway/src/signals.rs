//! When the process is asked to end.

use std::io;

/// Waits for SIGTERM, as service managers send it, or SIGINT, as Ctrl-C does. Once this future was polled, the
/// signals no longer end the process by themselves.
///
/// # Errors
/// When the system takes no handler.
#[cfg(unix)]
pub(crate) async fn asked_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits for Ctrl-C.
///
/// # Errors
/// When the system takes no handler.
#[cfg(not(unix))]
pub(crate) async fn asked_to_end() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
