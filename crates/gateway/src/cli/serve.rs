//! `tidegate serve`.

use std::process::ExitCode;

use super::runtime;
use crate::{Config, Error, Server, signals, telemetry};

/// Serves until the process is asked to end.
pub(super) fn serve(config: &Config) -> Result<ExitCode, Error> {
    telemetry::start(config)?;
    runtime()?.block_on(async {
        let server = Server::start(config).await?;
        signals::asked_to_end().await?;
        server.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}
