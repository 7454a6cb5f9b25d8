//! The running server: from settings to open ports, and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_api::{Api, PollEndpoint};
use tidegate_service::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::wiring::{self, BackgroundTasks, Stores};
use crate::{Config, Error, port};

/// Starts servers.
pub struct Server;

/// A server that answers. Dropped, it stops without waiting for what is under way.
pub struct RunningServer {
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    public_url: String,
    api: Arc<Api>,
    shutdown_delay: Duration,
    stop: DropGuard,
    ports: Vec<JoinHandle<()>>,
    background_tasks: BackgroundTasks,
}

impl Server {
    /// Opens the stores, then the ports. When this returns, requests are answered.
    ///
    /// # Errors
    /// [`Error::Unusable`] with the setting at fault, [`Error::Port`], [`Error::File`].
    pub async fn start(config: &Config) -> Result<RunningServer, Error> {
        Self::start_at(config, wiring::clock()).await
    }

    /// As [`Server::start`], with a clock of your own.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_at(config: &Config, clock: Arc<dyn Clock>) -> Result<RunningServer, Error> {
        let rules = port::Rules::new(config)?;
        let stores = Stores::open(config).await?;
        let (listener, addr) = bind("listen", config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(bind("admin_listen", address).await?),
            None => None,
        };
        let public_url = config
            .public_url
            .clone()
            .unwrap_or_else(|| format!("{}://{addr}", config.scheme()));
        let stop = CancellationToken::new();
        let settings = wiring::settings(config, &public_url);
        let (api, dashboard, background_tasks) =
            wiring::wire(stores, config, settings, clock, stop.clone()).await?;

        let page = tidegate_api::Beside {
            routes: tidegate_dashboard::router(dashboard, stop.clone()),
            missing: tidegate_dashboard::missing,
        };
        let admin_addr = admin.as_ref().map(|(_, addr)| *addr);
        let serve = |listener, router, polls| {
            let handlers = port::Handlers { router, polls };
            let served = port::serve(listener, handlers, Arc::clone(&rules), stop.clone());
            tokio::spawn(served)
        };
        let polls = Some(Arc::new(PollEndpoint::new(&api)));
        rules.follow_certificate(stop.clone());
        let ports = match admin {
            None => vec![serve(listener, tidegate_api::router(&api, page), polls)],
            Some((admin, _)) => vec![
                serve(listener, tidegate_api::agent_router(&api), polls),
                serve(admin, tidegate_api::admin_router(&api, page), None),
            ],
        };
        let open = [Some(addr), admin_addr].into_iter().flatten();
        let open: Vec<SocketAddr> = open.filter(|addr| !addr.ip().is_loopback()).collect();
        if config.tls.is_none() && !open.is_empty() {
            tracing::warn!(
                event = "ota.server.plain_http",
                listen = ?open,
                "plain HTTP is served to other machines: tokens travel in the clear unless a proxy with TLS alone reaches this port"
            );
        }
        tracing::info!(
            event = "ota.server.start",
            version = env!("CARGO_PKG_VERSION"),
            listen = %addr,
            admin_listen = admin_addr.map(tracing::field::display),
            public_url,
            "serving"
        );
        Ok(RunningServer {
            addr,
            admin_addr,
            public_url,
            api,
            shutdown_delay: config.shutdown_delay,
            stop: stop.drop_guard(),
            ports,
            background_tasks,
        })
    }
}

impl RunningServer {
    /// Where devices are served.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where people are served: the port of their own, or the devices'.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr.unwrap_or(self.addr)
    }

    /// What download URLs begin with.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The use cases behind the ports. A clone of this delays the end of [`RunningServer::shutdown`] until it is dropped.
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// Lets `/readyz` fail and waits for `shutdown_delay`, so that load balancers send nobody here any more. Then takes no
    /// more connections, finishes the requests under way within [`crate::DRAIN_LIMIT`], and writes all that is buffered.
    pub async fn shutdown(self) {
        tracing::info!(event = "ota.server.stop", "finishing what is under way");
        self.api.readiness.drain();
        tokio::time::sleep(self.shutdown_delay).await;
        self.background_tasks.stop_sending();
        drop(self.stop);
        for port in self.ports {
            if let Err(error) = port.await {
                tracing::error!(%error, "a port's task failed");
            }
        }
        drop(self.api);
        self.background_tasks.finish().await;
        tracing::info!(event = "ota.server.stopped", "stopped");
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let fault = |source| Error::Port {
        setting,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let addr = listener.local_addr().map_err(fault)?;
    Ok((listener, addr))
}
