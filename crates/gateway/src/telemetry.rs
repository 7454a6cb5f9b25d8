//! Logs: one line an event, on standard error, so that standard output stays for results. And, where the settings name
//! a collector, traces.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::LogFormat;
pub use crate::traces::Traces;
use crate::{Config, Error};

/// Sends the process's events to standard error, in the form and at the level of the settings, and its traces to the
/// collector, if one is named; then the traces are returned, to be finished at the end. Only the first call of a process
/// counts. Must be called in the runtime that the server runs in.
///
/// # Errors
/// [`Error::Unusable`] when `log` is no filter or the collector's address is none.
pub fn start(config: &Config) -> Result<Option<Traces>, Error> {
    let Some(endpoint) = &config.otlp_endpoint else {
        start_with(&config.log, config.log_format)?;
        return Ok(None);
    };
    let traces = Traces::to(endpoint, config)?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer())
        .with_location(false)
        .with_threads(false)
        .with_filter(filter_fn(is_traced).with_max_level_hint(LevelFilter::DEBUG));
    let lines = lines(config.log_format).with_filter(filter(&config.log)?);
    // A program that embeds the server keeps the subscriber that it has set.
    drop(Registry::default().with(lines).with(spans).try_init());
    Ok(Some(traces))
}

/// As [`start`], for commands that have no settings.
///
/// # Errors
/// [`Error::Unusable`] when `filter` is none.
pub fn start_with(filter: &str, format: LogFormat) -> Result<(), Error> {
    let filter = self::filter(filter)?;
    drop(Registry::default().with(filter).with(lines(format)).try_init());
    Ok(())
}

fn filter(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(text).map_err(|fault| Error::unusable("log")(&fault))
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    // https://no-color.org
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match format {
        LogFormat::Auto if !is_terminal => self::lines(LogFormat::Json),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text | LogFormat::Auto => lines.with_ansi(is_terminal && !no_color).boxed(),
    }
}

/// Our own spans, also those that no log shows, and our own events that matter.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("tidegate")
        && (metadata.is_span() || *metadata.level() <= tracing::Level::INFO)
}
