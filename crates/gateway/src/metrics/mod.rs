//! What Prometheus is told.
//!
//! Nothing is counted here. The counts are plain numbers where things happen (`tidegate_service::Counters`, the poll's
//! own buffer, `tidegate_api::RequestMetrics`) and are read when somebody scrapes, so that a server that nobody scrapes does no
//! work for its metrics and a poll pays for two additions. OpenTelemetry has no histogram that is read rather than
//! written, so the request times go to the page by a collector of their own.
//!
//! No label grows with the fleet. Those that name builds are bounded by `tidegate_service::MAX_COUNTED_BUILDS`,
//! those that name packages alone by `tidegate_service::MAX_COUNTED_PACKAGES`, those that name rollouts by
//! `tidegate_service::MAX_COUNTED_OVERDUE`.

mod instruments;
mod openmetrics;
mod requests;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::BoxFuture;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};
use tidegate_api::{MetricsFormat, MetricsPage, RequestMetrics};
use tidegate_domain::BuildId;
use tidegate_service::{
    ActivityBuffer, Adoption, BuildCounts, Clock, Counters, DownloadSlots, Fleet, Policies, PollPace,
    ReportQueue, RolloutNumbers, Snapshots,
};
use tidegate_storage::Store;

use self::shared::Shared;
use crate::Error;

/// How long a scrape waits for the numbers that are the database's. After that it is given the last ones.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where the numbers are.
pub(crate) struct Sources {
    pub(crate) store: Store,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) activity: Arc<ActivityBuffer>,
    pub(crate) reports: ReportQueue,
    pub(crate) counts: Arc<Counters>,
    pub(crate) request_metrics: Arc<RequestMetrics>,
    pub(crate) adoption: Adoption,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) pace: Arc<PollPace>,
    pub(crate) slots: Arc<DownloadSlots>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Arc<Policies>,
    /// Whether a second master key is accepted.
    pub(crate) rotating: bool,
}

/// What the database was asked for when somebody last scraped.
#[derive(Default)]
struct Asked {
    rollouts: ArcSwap<Vec<RolloutNumbers>>,
    nudges_queued: AtomicU64,
    campaigns_suspended: AtomicU64,
}

/// The metrics page.
pub(crate) struct Metrics {
    registry: Registry,
    sources: Arc<Sources>,
    asked: Arc<Asked>,
    /// What scrapers who ask at the same moment share, by format.
    prometheus: Shared<Bytes>,
    openmetrics: Shared<Bytes>,
    /// Kept, because the instruments end with it.
    _provider: SdkMeterProvider,
}

impl Metrics {
    /// Makes the instruments over these numbers.
    pub(crate) fn new(sources: Sources) -> Result<Self, Error> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(|fault| Error::unusable("metrics")(&fault))?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let (sources, asked) = (Arc::new(sources), Arc::default());
        instruments::register(&provider, &sources, &asked);
        registry
            .register(Box::new(requests::RequestTimes::new(Arc::clone(
                &sources.request_metrics,
            ))))
            .map_err(|fault| Error::unusable("metrics")(&fault))?;
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .map_err(|fault| Error::unusable("metrics")(&fault))?;
        Ok(Self {
            registry,
            sources,
            asked,
            prometheus: Shared::default(),
            openmetrics: Shared::default(),
            _provider: provider,
        })
    }

    async fn write(&self, format: MetricsFormat) -> String {
        self.refresh().await;
        let families = self.registry.gather();
        match format {
            MetricsFormat::OpenMetrics => openmetrics::write(&families),
            MetricsFormat::Prometheus => {
                TextEncoder::new()
                    .encode_to_string(&families)
                    .unwrap_or_else(|error| {
                        tracing::error!(%error, "the metrics cannot be written");
                        String::new()
                    })
            }
        }
    }

    async fn refresh(&self) {
        match tokio::time::timeout(TIMEOUT, self.ask()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the metrics show the rollouts as they were"),
            Err(_) => tracing::warn!("the database is slow: the metrics show the rollouts as they were"),
        }
    }

    async fn ask(&self) -> Result<(), tidegate_service::Error> {
        let rollouts = self.sources.adoption.rollouts().await?;
        self.asked.rollouts.store(Arc::new(rollouts));
        let campaigns = self.sources.store.live_campaigns().await?;
        let queued = campaigns.iter().map(|campaign| campaign.progress.queued).sum();
        self.asked.nudges_queued.store(queued, Ordering::Relaxed);
        let suspended = self.sources.store.suspended_campaigns().await?;
        self.asked.campaigns_suspended.store(suspended, Ordering::Relaxed);
        Ok(())
    }
}

impl MetricsPage for Metrics {
    fn text(&self, format: MetricsFormat) -> BoxFuture<'_, Bytes> {
        let shared = match format {
            MetricsFormat::OpenMetrics => &self.openmetrics,
            MetricsFormat::Prometheus => &self.prometheus,
        };
        Box::pin(shared.get(async move || self.write(format).await.into()))
    }
}

impl Sources {
    /// The outcomes of each build. Builds that are offered and have no outcome yet are among them: Prometheus' `rate` would
    /// miss the first event of a counter that appears with it.
    fn builds(&self, rollouts: &[RolloutNumbers]) -> BTreeMap<BuildId, BuildCounts> {
        let mut builds = self.counts.builds();
        for rollout in rollouts {
            builds.entry(rollout.build).or_default().version_code = Some(rollout.version_code);
        }
        builds
    }
}
