//! `tidegate serve`.

use std::process::ExitCode;

use super::runtime;
use crate::{Config, Error, Server, signals, telemetry};

/// Serves until the process is asked to end. Asked a second time, it ends without finishing anything.
pub(super) fn serve(config: &Config) -> Result<ExitCode, Error> {
    telemetry::start(config)?;
    runtime()?.block_on(async {
        let server = Server::start(config).await?;
        signals::asked_to_end().await?;
        tokio::select! {
            () = server.shutdown() => Ok(ExitCode::SUCCESS),
            asked = signals::asked_to_end() => {
                asked?;
                tracing::warn!("asked again: ending without finishing what is under way");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}
