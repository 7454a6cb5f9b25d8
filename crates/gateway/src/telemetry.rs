//! Logs: one line an event, on standard error, so that standard output stays for results.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;
use crate::{Config, Error};

/// Sends the process's events to standard error, in the form and at the level of the settings. Only the first call
/// of a process counts.
///
/// # Errors
/// [`Error::Unusable`] when `log` is no filter.
pub fn start(config: &Config) -> Result<(), Error> {
    start_with(&config.log, config.log_format)
}

/// As [`start`], for commands that have no settings.
///
/// # Errors
/// [`Error::Unusable`] when `filter` is none.
pub fn start_with(filter: &str, format: LogFormat) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter).map_err(|fault| Error::unusable("log")(&fault))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init(),
        LogFormat::Text => lines
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .finish()
            .try_init(),
    };
    // Whoever embeds the server has a subscriber already, and keeps it.
    drop(started);
    Ok(())
}
