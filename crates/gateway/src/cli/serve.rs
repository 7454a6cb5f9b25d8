//! `tidegate serve`.

use std::process::ExitCode;
use std::sync::Arc;

use tidegate_service::{Clock, SystemClock};

use super::args::Serve;
use super::runtime;
use crate::signals::Signals;
use crate::{Config, Error, Server, telemetry};

/// Serves until the process is asked to end. Asked a second time, it ends without finishing anything.
pub(super) fn serve(config: &Config, options: &Serve) -> Result<ExitCode, Error> {
    runtime()?.block_on(async {
        let traces = telemetry::start(config)?;
        let mut signals = Signals::listen()?;
        let server = Server::start_at(config, clock(options).await).await?;
        signals.asked_to_end().await?;
        let ended = async {
            server.shutdown().await;
            if let Some(traces) = traces {
                // It blocks, and must not keep a second signal from being heard.
                let _ = tokio::task::spawn_blocking(|| traces.finish()).await;
            }
        };
        tokio::select! {
            () = ended => Ok(ExitCode::SUCCESS),
            asked = signals.asked_to_end() => {
                asked?;
                tracing::warn!("asked again: ending without finishing what is under way");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

#[cfg(feature = "demo")]
async fn clock(options: &Serve) -> Arc<dyn Clock> {
    match &options.clock {
        Some(path) => crate::DrivenClock::follow(path.clone()).await,
        None => Arc::new(SystemClock),
    }
}

#[cfg(not(feature = "demo"))]
async fn clock(_: &Serve) -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
