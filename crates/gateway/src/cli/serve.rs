//! `tidegate serve`.

use std::process::ExitCode;
use std::sync::Arc;

use tidegate_service::{Actor, Clock, Page};

use super::args::Serve;
use super::runtime;
use crate::signals::Signals;
use crate::wiring;
use crate::{Config, Error, RunningServer, Server, telemetry};

/// Serves until the process is asked to end. Asked a second time, it ends without finishing anything.
pub(super) fn serve(config: &Config, options: &Serve) -> Result<ExitCode, Error> {
    runtime()?.block_on(async {
        let traces = telemetry::start(config)?;
        let mut signals = Signals::listen()?;
        let server = Server::start_at(config, clock(options).await).await?;
        tell_how_to_begin(&server).await;
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

/// Says how somebody logs in for the first time, while nobody can.
async fn tell_how_to_begin(server: &RunningServer) {
    let (console, first) = (Actor::console(), Page::new(Some(1), None));
    let Ok(first) = first else { return };
    match server.api().users.list(&console, first).await {
        Ok(users) if users.items.is_empty() => tracing::info!(
            event = "ota.server.nobody",
            page = format!("http://{}/", server.admin_addr()),
            "nobody can log in yet: run `tidegate admin user add NAME --role admin` with the settings of this server"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the database could not be asked who may log in"),
    }
}

#[cfg(feature = "demo")]
async fn clock(options: &Serve) -> Arc<dyn Clock> {
    match &options.clock {
        Some(path) => crate::DrivenClock::follow(path.clone()).await,
        None => wiring::clock(),
    }
}

#[cfg(not(feature = "demo"))]
async fn clock(_: &Serve) -> Arc<dyn Clock> {
    wiring::clock()
}
